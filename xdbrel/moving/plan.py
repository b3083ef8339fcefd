"""Which tables have a part in a move, with which rows, in which order, and what refuses.

Owns the reading of what a project asks for; what refuses is in ``refusals``. Nothing is
written here. Rows are chosen by
conditions and never by lists of keys, so that the plan of a million rows is as small as that
of ten, and is the same after a crash.

With a table go, unasked, the tables of its multi-table parents and children and the tables
in between of its many-to-many relations. What else hangs on the rows goes where it is named
in ``along``, stays where its relation crosses databases, and refuses otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Q

from xdbrel.cascade.graph import concrete
from xdbrel.moving import edges, refusals
from xdbrel.moving.exceptions import CannotMove
from xdbrel.moving.generic import generically
from xdbrel.moving.parts import Part


@dataclass
class Plan:
    """A move: its tables in groups, each before those that hang on it.

    The tables of a group point at each other, or one at itself, and each is there only once
    all are: they are written, and removed, in one transaction.
    """

    source: str
    destination: str
    roots: list[type[models.Model]]
    groups: list[list[Part]] = field(default_factory=list)

    @property
    def parts(self) -> list[Part]:
        """The tables, each before those that hang on it."""
        return [part for group in self.groups for part in group]

    @property
    def label(self) -> str:
        """The models that were asked for."""
        return ", ".join(model._meta.label for model in self.roots)

    def part(self, model: type[models.Model]) -> Part | None:
        """Return the part of a model's table."""
        return next((part for part in self.parts if part.model is model), None)

    def refusal(self, reason: str, remedy: str, label: str = "") -> CannotMove:
        """Return the error that says why the rows cannot be moved."""
        return CannotMove(label or self.label, self.source, self.destination, reason, remedy)

    @staticmethod
    def is_knot(group: Sequence[Part]) -> bool:
        """Tell whether the database watches relations inside the group."""
        models_ = {part.model for part in group}
        return any(
            edges.is_constraint(one) and edges.target(one) in models_
            for part in group
            for one in edges.outgoing(part.model)
        )


def make(
    roots: Sequence[models.QuerySet[Any]], source: str, destination: str, along: Iterable[Any]
) -> Plan:
    """Return the plan of a move; raises ``CannotMove`` where it is not possible."""
    plan = Plan(source, destination, [concrete(root.model) for root in roots])
    refusals.check_ends(plan)
    chosen = _Chosen(plan)
    named: list[type[models.Model]] = []
    for root in roots:
        chosen.add(concrete(root.model), *_rows(plan, root))
    for one in along:
        if isinstance(one, models.QuerySet):
            chosen.add(concrete(one.model), *_rows(plan, one))
        else:
            named.append(concrete(_model(plan, one)))
    chosen.follow(named)
    plan.groups = _ordered(chosen.parts())
    for part in plan.parts:
        refusals.check_tables(plan, part)
    for part in plan.parts:
        part.shared = part.all(destination).exists()
        part.translations = refusals.translations(plan, part)
    refusals.check(plan)
    return plan


def of_tables(
    roots: Sequence[models.QuerySet[Any]], source: str, destination: str, labels: Iterable[str]
) -> Plan:
    """Return the plan of a move that was begun, with all rows of its tables."""
    plan = Plan(source, destination, [concrete(root.model) for root in roots])
    refusals.check_ends(plan)
    parts = [
        Part(model, source, destination, models.QuerySet(model, using=source))
        for model in (_model(plan, label) for label in labels)
    ]
    plan.groups = _ordered(parts)
    return plan


class _Chosen:
    """The rows that go, by table: conditions that any of them may meet."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.conditions: dict[type[models.Model], list[models.QuerySet[Any] | Q]] = {}
        self.whole: set[type[models.Model]] = set()

    def add(self, model: type[models.Model], rows: models.QuerySet[Any] | Q, whole: bool) -> None:
        """Let these rows go, and what is one with them: those of parents."""
        self.conditions.setdefault(model, []).append(rows)
        if whole:
            self.whole.add(model)
        for parent, link in model._meta.parents.items():
            if link is None:
                continue
            inside = self._table(model).filter(self._condition(model)).values(link.attname)
            key: Any = link
            mine = Q(**{f"{key.target_field.attname}__in": inside})
            self.add(concrete(parent), mine, False)

    def follow(self, named: Sequence[type[models.Model]]) -> None:
        """Let go what hangs on the rows, as it is named or as it cannot be parted from them."""
        joining = self._joining(named)
        going = {*self.conditions, *joining}
        while joining:
            # First those that hang on nothing that is still to come; in a circle, any.
            ready = [model for model in joining if self._is_settled(model, going)]
            model = (ready or joining)[0]
            joining.remove(model)
            fields = self._fields(model, model in named)
            conditions = [found for one in fields for found in self._pointing(one)]
            if model in named:
                conditions += self._generically(model)
            if not conditions:
                if model in self.conditions:
                    continue
                raise self.plan.refusal(
                    f"{model._meta.label} is to go along and nothing of it points at what goes",
                    "Name which of its rows go, by a queryset, or leave it out.",
                )
            together = Q()
            for condition in conditions:
                together |= condition
            whole = any(edges.target(one) in self.whole and not one.null for one in fields)
            self.add(model, together, whole)

    def _joining(self, named: Sequence[type[models.Model]]) -> list[type[models.Model]]:
        """Return the tables that go along, parents aside: they go with their children."""
        joining = list(dict.fromkeys(named))
        going = {*self.conditions, *joining}
        while True:
            going |= {concrete(parent) for model in going for parent in model._meta.all_parents}
            more = [
                model
                for model in edges.tables()
                if model not in going
                and any(edges.target(one) in going for one in edges.inseparable(model))
            ]
            if not more:
                return joining
            joining += more
            going.update(more)

    def _is_settled(self, model: type[models.Model], going: set[type[models.Model]]) -> bool:
        own = {model, *map(concrete, model._meta.all_parents)}
        aims = {edges.target(one) for one in edges.pointing(model, going)} - own
        # What points at anything comes after all that it may point at.
        return aims <= self.conditions.keys() and not any(edges.generic(model))

    def parts(self) -> list[Part]:
        """Return the tables and their rows, in no order."""
        return [
            Part(
                model,
                self.plan.source,
                self.plan.destination,
                self._table(model).filter(self._condition(model)),
                whole=model in self.whole,
            )
            for model in self.conditions
        ]

    def _fields(self, model: type[models.Model], is_named: bool) -> list[Any]:
        """Return the fields by which a table's rows go along."""
        if is_named:
            return list(edges.pointing(model, self.conditions))
        return [one for one in edges.inseparable(model) if edges.target(one) in self.conditions]

    def _pointing(self, one: Any) -> Iterator[Q]:
        """Yield what holds for the rows whose ``one`` points at what goes."""
        model = edges.target(one)
        if model not in self.conditions:
            return
        if model in self.whole:
            yield Q(**{f"{column.attname}__isnull": False for column in one.local_related_fields})
            return
        targets = self._table(model).filter(self._condition(model))
        inside = targets.values(*(column.attname for column in one.foreign_related_fields))
        yield Q(**{f"{one.attname}__in": inside})

    def _generically(self, model: type[models.Model]) -> list[Q]:
        """Return what holds for the rows that point generically at what goes."""
        return [
            pointing
            for generic in edges.generic(model)
            for target in list(self.conditions)
            for pointing in generically(
                generic, self._table(target).filter(self._condition(target)), self.plan.source
            )
        ]

    def _table(self, model: type[models.Model]) -> models.QuerySet[Any]:
        return models.QuerySet(model, using=self.plan.source)

    def _condition(self, model: type[models.Model]) -> Q:
        if model in self.whole:
            return Q()
        together = Q()
        for condition in self.conditions[model]:
            if isinstance(condition, models.QuerySet):
                condition = Q(pk__in=condition.values("pk"))
            together |= condition
        return together


def _rows(plan: Plan, root: models.QuerySet[Any]) -> tuple[models.QuerySet[Any], bool]:
    """Return a queryset's rows at the source, and whether these are all of the table."""
    query = root.query
    if query.is_sliced or query.combinator or query.distinct_fields:
        raise plan.refusal(
            "the queryset is sliced or combined, and does not choose the same rows twice",
            "Choose them by filter() alone.",
        )
    rows = root.using(plan.source).order_by()
    rows.query.select_for_update = False
    return (
        rows,
        not query.where and not query.distinct and root.model._meta.proxy_for_model is None,
    )


def _model(plan: Plan, given: Any) -> Any:
    if isinstance(given, str):
        try:
            return apps.get_model(given)
        except (LookupError, ValueError) as error:
            raise plan.refusal(
                f"there is no model {given!r}", "Write app_label.Model, as in INSTALLED_APPS."
            ) from error
    return given


def _ordered(parts: Sequence[Part]) -> list[list[Part]]:
    """Return the parts in groups that hang together, each after those that it points at.

    By Tarjan's algorithm, whose components come out in that very order.
    """
    by_model = {part.model: part for part in parts}
    index: dict[type[models.Model], int] = {}
    low: dict[type[models.Model], int] = {}
    stack: list[type[models.Model]] = []
    groups: list[list[Part]] = []

    def visit(model: type[models.Model]) -> None:
        index[model] = low[model] = len(index)
        stack.append(model)
        for one in edges.outgoing(model):
            aim = edges.target(one)
            if aim not in by_model:
                continue
            if aim not in index:
                visit(aim)
                low[model] = min(low[model], low[aim])
            elif aim in stack:
                low[model] = min(low[model], index[aim])
        if low[model] == index[model]:
            group = []
            while True:
                found = stack.pop()
                group.append(by_model[found])
                if found is model:
                    break
            groups.append(group)

    for part in parts:
        if part.model not in index:
            visit(part.model)
    return groups
