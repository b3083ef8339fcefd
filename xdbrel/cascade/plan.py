"""What a delete means for other databases, found while Django collects it.

Django's ``Collector`` calls a relation's ``on_delete`` with each whole batch of targets
before anything is deleted. ``collect`` is what a crossing relation does there: it notes
the keys, and lets a collector of the sources' own database judge where somebody may
refuse (PROTECT, RESTRICT), or where the caller wants to see everything that would go (the
admin's confirmation page). What is deleted later is found again from the keys: see
``dispatch``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import models
from django.db.models.deletion import Collector, ProtectedError

from xdbrel import keys, placement
from xdbrel.caching import uncached
from xdbrel.cascade import graph, together
from xdbrel.cascade.collector import OwnCollector
from xdbrel.cascade.verdict import Verdict
from xdbrel.compat import keys_of_related_objects

_PLAN = "_xdbrel_plan"


class Plan:
    """What one delete means: the keys for each relation, and a collector for each home.

    ``root`` is the collector that Django made. Those of the other homes are of its class
    and share whatever a subclass keeps for itself, so that the admin's tree of objects
    grows together.
    """

    def __init__(self, root: Collector) -> None:
        self.root = root
        self.collectors: dict[str, Collector] = {root.using: root}
        self.keys: dict[tuple[Any, str], list[Any]] = {}
        own = root if isinstance(root, OwnCollector) else None
        # Where 5.2 needs a subclass, Django 6.1 has an option.
        shows = type(root) is not Collector or getattr(root, "force_collection", False)
        self.shows_all = own.shows_all if own else shows
        self.shows_tree = self.shows_all and not own
        #: What the root's collection has of other databases, for those who look at it.
        self._shown: dict[type[models.Model], set[models.Model]] = {}
        self._depth = 0
        self.restricts = any(graph.reaches_restrict(model) for model in root.data)
        self.judged: set[type[models.Model]] = set()
        self.order = together.Order(root)
        # The one object whose deletion this is gets one more step; the class stays as it is.
        root.delete = self.delete  # type: ignore[method-assign]

    @classmethod
    def of(cls, collector: Collector) -> Plan:
        """Return the plan that ``collector`` belongs to; it is the root of a new one if none."""
        plan: Plan | None = vars(collector).get(_PLAN)
        if plan is None:
            plan = cls(collector)
            setattr(collector, _PLAN, plan)
        return plan

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete what was collected, and what follows."""
        self._hide()
        return together.delete(self.root, self.keys, self.order, self.collectors)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep each collection to what is in its own database while the block goes on.

        In the end the root's has what goes elsewhere as well, where somebody wants to see it:
        ``remove_stale_contenttypes`` counts what is there before it asks for leave.
        """
        self._hide()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self.shows_tree and not self._depth:
                self._show()

    def _show(self) -> None:
        data: Any = self.root.data
        for collector in self.collectors.values():
            for model, objs in collector.data.items() if collector is not self.root else ():
                new = set(objs) - data[model]
                data[model] |= new
                self._shown.setdefault(model, set()).update(new)

    def _hide(self) -> None:
        data: Any = self.root.data
        for model, objs in self._shown.items():
            data[model] -= objs
            if not data[model]:
                del data[model]
        self._shown.clear()

    def note(self, field: Any, source_alias: str, target_keys: list[Any]) -> None:
        """Remember that sources of these targets must follow."""
        self.keys.setdefault((field, source_alias), []).extend(target_keys)

    def collector_for(self, alias: str) -> Collector:
        """Return the collector that judges in the database ``alias``."""
        if alias not in self.collectors:
            made = type(self.root)(using=alias, origin=self.root.origin)
            own = vars(Collector(using=alias))
            for name, value in vars(self.root).items():
                if name not in own and name not in (_PLAN, "delete"):
                    setattr(made, name, value)
            if hasattr(self.root, "force_collection"):
                made.force_collection = self.root.force_collection  # type: ignore[attr-defined]
            made.restricted_objects = self.root.restricted_objects
            setattr(made, _PLAN, self)
            self.collectors[alias] = made
        return self.collectors[alias]

    def answer_for_restricted(self) -> None:
        """Let the root's judgement of RESTRICT know what goes in the other databases."""
        others = {alias: c for alias, c in self.collectors.items() if c is not self.root}
        for collector in others.values():
            for model in {*collector.data, *(q.model for q in collector.fast_deletes)}:
                if model not in self.judged:
                    self.judged.add(model)
                    self.root.fast_deletes.append(Verdict(model, others))  # type: ignore[arg-type]


def collect(policy: Any, collector: Collector, field: Any, sub_objs: Any, using: str) -> None:
    """Plan what deleting the targets of ``sub_objs`` means. Called as an ``on_delete``.

    ``sub_objs`` is the collector's queryset of sources; it is on the targets' alias and is
    not evaluated unless that is the sources' home too. Raises what the policy raises.
    """
    known: Plan | None = vars(collector).get(_PLAN)
    with nullcontext() if known is None else known.collecting():
        _collect(policy, collector, field, sub_objs, using)


def _collect(policy: Any, collector: Collector, field: Any, sub_objs: Any, using: str) -> None:
    target = graph.concrete(field.remote_field.model)
    hint = next(
        (
            obj
            for model, objs in collector.data.items()
            if issubclass(model, target)
            for obj in objs
        ),
        None,
    )
    source_alias = placement.home(field.model, instance=hint)
    if placement.same_home(source_alias, using):
        if getattr(field, "is_generic", False):
            return  # Django follows the GenericRelation.
        _carry_out(policy, collector, field, sub_objs, using)
        return
    if not placement.same_home(placement.home(target, instance=hint), using):
        # These rows are not where the relation looks for its targets: nothing hangs on them.
        return
    plan = Plan.of(collector)
    with plan.collecting():
        # Nothing points at a target whose key is missing.
        target_keys = list(filter(keys.is_whole, keys_of_related_objects(sub_objs, field)))
        if not target_keys:
            return
        plan.order.see(plan.collectors.values())
        if policy not in (models.PROTECT, models.RESTRICT):
            plan.order.note(field, collector.using, source_alias, target_keys)
            if collector is plan.root:
                plan.note(field, source_alias, target_keys)
        if _must_be_judged(plan, policy, field):
            with uncached():
                _judge(plan, policy, field, source_alias, target_keys)
            if plan.restricts:
                plan.answer_for_restricted()
        plan.order.see(plan.collectors.values())


def _must_be_judged(plan: Plan, policy: Any, field: Any) -> bool:
    """Tell whether the sources have to be looked at before anything is deleted."""
    if plan.shows_all or plan.order.possible or graph.can_veto(policy):
        return True
    return policy is models.CASCADE and (plan.restricts or graph.reaches_veto(field.model))


def _judge(plan: Plan, policy: Any, field: Any, source_alias: str, target_keys: list[Any]) -> None:
    collector = plan.collector_for(source_alias)
    sources = field.model._base_manager.using(source_alias)
    relates = plan.shows_tree or plan.order.possible
    targets = _targets(plan, field) if relates else {}
    protected: list[ProtectedError] = []
    for chunk in keys.chunks(target_keys, keys.chunk_size(source_alias, field)):
        found = sources.filter(graph.holding(field, chunk))
        if relates:
            # A tree, or a receiver, asks each source for its target, which the collectors have.
            for source in found:
                target = targets.get(graph.key_held(field, source))
                if target is not None:
                    field.set_cached_value(source, target)
        try:
            _carry_out(policy, collector, field, found, source_alias)
        except ProtectedError as error:
            protected.append(error)
    if protected:
        # As inside one database: the objects of every batch, not of the first that refuses.
        objects = {obj for error in protected for obj in error.protected_objects}
        raise ProtectedError(protected[0].args[0], objects) from protected[0]


def _carry_out(policy: Any, collector: Collector, field: Any, sources: Any, using: str) -> None:
    if isinstance(collector, OwnCollector):
        collector.carry_out(policy, field, sources)
    else:
        graph.carry_out(policy, collector, field, sources, using)


def _targets(plan: Plan, field: Any) -> dict[Any, models.Model]:
    """Return the targets of ``field`` that are collected, by key."""
    attname = field.target_field.attname
    return {
        getattr(obj, attname): obj
        for collector in plan.collectors.values()
        for model, objs in collector.data.items()
        if issubclass(model, graph.concrete(field.remote_field.model))
        for obj in objs
    }
