"""``xdbrel.plan_delete``: what a delete would take, in every database, without deleting.

Django's own ``Collector`` collects, and ``plan`` lets collectors of the other homes do the
same. Here they only take notes: what refuses is written down instead of raised, and a key
that would be set is counted instead of worked out. Deleting is for ``dispatch``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.db import models, router
from django.db.models.deletion import CASCADE, RESTRICT, ProtectedError, RestrictedError

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.cascade import graph
from xdbrel.cascade.collector import OwnCollector
from xdbrel.cascade.verdict import Verdict
from xdbrel.fields.on_delete import CrossDBOnDelete
from xdbrel.relations import handle_of

#: How many of the objects that refuse a line of ``str(plan)`` spells out.
SHOWN_OBJECTS = 5


@dataclass(frozen=True)
class DeletionPlan:
    """What ``delete()`` would do, found by ``plan_delete`` at one moment.

    ``counts``      rows that would go: ``{alias: {"app.Model": number}}``. Where something
                    refuses, those that would go if it did not.
    ``updates``     rows that would stay with another key: ``{alias: {"app.Model.field":
                    number}}``, by SET_NULL, SET_DEFAULT or SET().
    ``protected``   objects that refuse by PROTECT or by a policy of the project's own:
                    ``{"app.Model.field": (object, …)}``, by handle of the relation.
    ``restricted``  objects that refuse by RESTRICT and do not go anyway, in the same shape.

    Databases, models and relations without any are left out.
    """

    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    updates: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    protected: Mapping[str, tuple[models.Model, ...]] = field(default_factory=dict)
    restricted: Mapping[str, tuple[models.Model, ...]] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """Whether nothing refuses: ``delete()`` would go through."""
        return not (self.protected or self.restricted)

    @property
    def total(self) -> int:
        """The number of rows that would go, in all databases."""
        return sum(self.by_model.values())

    @property
    def by_model(self) -> dict[str, int]:
        """The rows that would go by ``"app.Model"``: what ``delete()`` returns with the total."""
        merged: dict[str, int] = {}
        for by_label in self.counts.values():
            for label, number in by_label.items():
                merged[label] = merged.get(label, 0) + number
        return merged

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON carries it.

        An object that refuses is ``{"model": "app.Model", "alias": …, "key": …}``.
        """
        return {
            "allowed": self.allowed,
            "total": self.total,
            "counts": {alias: dict(found) for alias, found in self.counts.items()},
            "updates": {alias: dict(found) for alias, found in self.updates.items()},
            "protected": _described(self.protected),
            "restricted": _described(self.restricted),
        }

    def __str__(self) -> str:
        lines = [f"{self.total} {_rows(self.total)} would be deleted."]
        for alias, by_label in self.counts.items():
            lines += [f"  {alias}: {label}: {number}" for label, number in by_label.items()]
        for alias, by_handle in self.updates.items():
            lines += [
                f"  {alias}: {handle}: {number} {_rows(number)} would get another key"
                for handle, number in by_handle.items()
            ]
        for word, refusing in (("Protected", self.protected), ("Restricted", self.restricted)):
            for handle, objs in refusing.items():
                shown = ", ".join(str(obj) for obj in objs[:SHOWN_OBJECTS])
                more = f" … ({len(objs)} in all)" if len(objs) > SHOWN_OBJECTS else ""
                lines.append(f"{word} by {handle}: {shown}{more}")
        if not self.allowed:
            lines[0] = f"The delete would be refused; {lines[0]}".replace(
                "would be deleted", "would go without what refuses"
            )
        return "\n".join(lines)


def plan_delete(
    obj_or_queryset: models.Model | models.QuerySet[Any] | Sequence[models.Model],
    *,
    using: str | None = None,
) -> DeletionPlan:
    """Return what deleting an instance, a queryset or a list of instances would do.

    The instances of a list are of one model and one database. ``using`` is the alias to
    delete from; without it, the one that ``delete()`` would choose. The databases are read
    at this moment, each for itself and past any cache; nothing is written, no signal is
    sent. A policy of the project's own is called, as ``delete()`` would call it.

    Raises what ``delete()`` raises for what cannot be deleted at all: ``ValueError`` for an
    unsaved instance, ``TypeError`` for a queryset that is sliced, ``distinct()`` on fields
    or of values, ``NotSupportedError`` for a combined one. Objects that refuse are part of
    the plan and raise nothing.
    """
    objs, alias = _what(obj_or_queryset, using)
    if alias is None:
        return DeletionPlan()
    preview = Preview(using=alias, origin=obj_or_queryset)
    with uncached():
        preview.collect(objs)
        return preview.plan()


class Preview(OwnCollector):
    """Collects everything, in the databases of all its siblings, and notes what it meets.

    What a ``Collector`` has not is shared by the collectors of one plan.
    """

    shows_all = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Every collector of the plan that has collected anything, by alias.
        self.everywhere: dict[str, Preview] = {}
        #: (alias, field, sources whose key would be set)
        self.changes: list[tuple[str, Any, Any]] = []
        self.refusals: dict[Any, list[models.Model]] = {}

    def collect(self, objs: Any, *args: Any, **kwargs: Any) -> None:
        self.everywhere[self.using] = self
        # What is restricted for good is left in restricted_objects.
        with suppress(RestrictedError):
            super().collect(objs, *args, **kwargs)

    def related_objects(self, related_model: Any, related_fields: Any, objs: Any) -> Any:
        """Return the sources that Django is to go on with: none where notes are enough.

        A ``Collector`` calls the policy of the one field with what is returned here, and
        would give up on everything else at the first that refuses.
        """
        sources = super().related_objects(related_model, related_fields, objs)
        relation = related_fields[0]
        policy = relation.remote_field.on_delete
        if policy in (CASCADE, RESTRICT) or isinstance(policy, CrossDBOnDelete):
            return sources
        self.carry_out(policy, relation, sources)
        return sources.none()

    def carry_out(self, policy: Any, field: Any, sources: Any) -> None:
        if graph.is_set(policy):
            # Not called: the callable of a SET, or of a default, may well write.
            self.add_field_update(field, None, sources)
            return
        try:
            super().carry_out(policy, field, sources)
        except ProtectedError as error:
            self.refusals.setdefault(field, []).extend(error.protected_objects)

    def add_field_update(self, field: Any, value: Any, objs: Any) -> None:
        self.changes.append((self.using, field, objs))

    def plan(self) -> DeletionPlan:
        """Return what the collectors have noted."""
        going: dict[tuple[str, Any], set[Any]] = {}
        counts: dict[str, dict[str, int]] = {}
        for alias, collector in self.everywhere.items():
            for model, pks in collector.rows():
                seen = going.setdefault((alias, graph.concrete(model)), set())
                new = pks - seen
                seen |= new
                if new:
                    by_label = counts.setdefault(alias, {})
                    label = model._meta.label
                    by_label[label] = by_label.get(label, 0) + len(new)
        changing: dict[tuple[str, Any], set[Any]] = {}
        for alias, relation, objs in self.changes:
            changing.setdefault((alias, relation), set()).update(_pks(objs, alias))
        updates: dict[str, dict[str, int]] = {}
        for (alias, relation), pks in changing.items():
            # A row that goes does not stay with another key.
            staying = pks - going.get((alias, graph.concrete(relation.model)), set())
            if staying:
                updates.setdefault(alias, {})[handle_of(relation)] = len(staying)
        return DeletionPlan(
            counts=counts,
            updates=updates,
            protected=_by_handle(self.refusals),
            restricted=_by_handle(
                {
                    relation: objs
                    for by_field in self.restricted_objects.values()
                    for relation, objs in by_field.items()
                }
            ),
        )

    def rows(self) -> list[tuple[Any, set[Any]]]:
        """Return the primary keys that this collector would delete, by model.

        In the order of Django's statements: where a row is met as its model and as a
        proxy, the first counts it.
        """
        self.sort()
        fast: list[Any] = self.fast_deletes
        found = [
            (queryset.model, _pks(queryset, self.using))
            for queryset in fast
            if not isinstance(queryset, Verdict)
        ]
        return found + [(model, {obj.pk for obj in objs}) for model, objs in self.data.items()]


def _what(given: Any, using: str | None) -> tuple[Any, str | None]:
    """Return what a ``Collector`` is given to collect, and on which alias; None for nothing."""
    if isinstance(given, models.QuerySet):
        _refuse_what_cannot_be_deleted(given)
        rows: Any = given.using(using) if using else given.all()
        # As delete() does: found where it is deleted, and nothing but rows.
        rows._for_write = True
        rows.query.select_for_update = False
        rows.query.select_related = False
        rows.query.clear_ordering(force=True)
        return rows, rows.db
    objs: Any = [given] if isinstance(given, models.Model) else given
    if not isinstance(objs, Sequence) or not all(isinstance(obj, models.Model) for obj in objs):
        raise TypeError(
            "plan_delete() takes an instance, a queryset or a list of instances of one model, "
            f"not {type(given).__name__}."
        )
    found = {obj.__class__: obj for obj in objs}
    if len(found) > 1:
        labels = ", ".join(sorted(model._meta.label for model in found))
        raise ValueError(f"plan_delete() takes instances of one model at a time, not of {labels}.")
    for obj in objs:
        if not obj._is_pk_set():
            raise ValueError(
                f"{obj._meta.object_name} object can't be deleted because its "
                f"{obj._meta.pk.attname} attribute is set to None."
            )
    aliases = {using or router.db_for_write(obj.__class__, instance=obj) for obj in objs}
    if len(aliases) > 1:
        raise ValueError(
            "plan_delete() takes instances of one database at a time, not of "
            f"{', '.join(sorted(aliases))}; using= names the one to delete from."
        )
    return list(objs), next(iter(aliases), None)


def _refuse_what_cannot_be_deleted(queryset: Any) -> None:
    """Raise what ``queryset.delete()`` raises before it looks at any row."""
    queryset._not_support_combined_queries("delete")
    if queryset.query.is_sliced:
        raise TypeError("Cannot use 'limit' or 'offset' with delete().")
    if queryset.query.distinct_fields:
        raise TypeError("Cannot call delete() after .distinct(*fields).")
    if queryset._fields is not None:
        raise TypeError("Cannot call delete() after .values() or .values_list()")


def _pks(objs: Any, using: str) -> set[Any]:
    if isinstance(objs, models.QuerySet) and objs._result_cache is None:
        return set(objs.using(using).order_by().values_list("pk", flat=True))
    return {obj.pk for obj in objs}


def _by_handle(refusing: Mapping[Any, Any]) -> dict[str, tuple[models.Model, ...]]:
    return {
        # By key within one model, which all are but for a project's own policy.
        handle_of(relation): tuple(sorted(set(objs), key=_model_and_key))
        for relation, objs in refusing.items()
        if objs
    }


def _model_and_key(obj: models.Model) -> tuple[str, Any]:
    return obj._meta.label, obj.pk


def _described(refusing: Mapping[str, tuple[models.Model, ...]]) -> dict[str, list[Any]]:
    return {
        handle: [
            {
                "model": obj._meta.label,
                "alias": obj._state.db,
                "key": keys.encode([obj.pk], obj._meta.pk)[0],
            }
            for obj in objs
        ]
        for handle, objs in refusing.items()
    }


def _rows(number: int) -> str:
    return "row" if number == 1 else "rows"
