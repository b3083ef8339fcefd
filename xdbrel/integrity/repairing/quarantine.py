"""Taking orphaned rows out of their table, whole, so that they can be put back.

Owns what goes along and what refuses. What a delete would take along in the same database is
taken too, in the same transaction, and goes back together with the row that it hangs on; what
would be changed, or is in another database, refuses. How columns are kept is in ``kept``,
putting back in ``restore``; when a row is taken is for ``repair``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import models, router, transaction

from xdbrel import caching, keys
from xdbrel.cascade import graph
from xdbrel.cascade.collector import OwnCollector
from xdbrel.integrity.exceptions import CannotQuarantine, CannotRepair
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.repairing import kept
from xdbrel.models import QuarantinedRow

#: A row of one table: its model, and its primary key.
Node = tuple[type[models.Model], Any]


def check(source: End) -> None:
    """Raise ``CannotRepair`` where the sources' home does not hold quarantined rows."""
    if not router.allow_migrate_model(source.using, QuarantinedRow):
        raise CannotRepair(
            source.relation.handle,
            "quarantine",
            f"database {source.using!r} has no table of xdbrel's, where the routers do not "
            "allow them",
            "Allow the app 'xdbrel' there and migrate that database, or use another policy.",
        )


def take(source: End, rows: Sequence[tuple[Any, Any]], *, repair: str) -> Mapping[str, int]:
    """Move these rows, ``(primary key, key)``, and what hangs on them into quarantine.

    Deletes with Django's collector: signals are sent. Call it inside a transaction of the
    sources' home. Returns the number of rows by model label; a row of a multi-table child
    counts once for each of its tables, as with ``delete()``.

    Raises ``CannotQuarantine``, and what a delete raises (``ProtectedError``).
    """
    using = source.using
    doomed = source.model._base_manager.using(using).filter(pk__in=[pk for pk, _ in rows])
    collector = _Collector(using=using, origin=doomed)
    collector.handle = source.relation.handle
    collector.collect(list(doomed.select_for_update()))
    collector.sort()
    held = dict(rows)
    units = _units(collector, source, held)
    taken: dict[str, int] = {}
    with transaction.atomic(using=using, savepoint=False):
        # What a row points at comes before it, so that it can go back in this order.
        for model in reversed(list(collector.data)):
            label = _table(model)._meta.label
            taken[label] = taken.get(label, 0) + _keep(
                collector, model, source, held, units, repair
            )
        deleted, _ = collector.delete()
        if deleted != sum(taken.values()):
            raise CannotQuarantine(
                collector.handle,
                using,
                f"{deleted} rows would be deleted where {sum(taken.values())} were kept",
            )
        caching.invalidate([QuarantinedRow], using)
    return taken


class _Collector(OwnCollector):
    """Collects every row that a delete would take, one by one, and refuses what is not kept."""

    #: In other databases too: what is there refuses.
    shows_all = True

    handle = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the database would delete by itself (DB_CASCADE) is collected as well.
        self.force_collection = True

    def _has_signal_listeners(self, model: type[models.Model]) -> bool:
        # With somebody listening, every row is looked at, and whole.
        return True

    def related_objects(self, *args: Any, **kwargs: Any) -> models.QuerySet[Any]:
        # Nobody changes between now and the delete what has been collected.
        found: models.QuerySet[Any] = super().related_objects(*args, **kwargs)
        return found.select_for_update()

    def add_field_update(self, field: Any, value: Any, objs: Any) -> None:
        # Where constraints cannot wait, CASCADE empties the key of what it deletes next.
        going = {obj for others in self.data.values() for obj in others}
        number = sum(obj not in going for obj in objs)
        if not number:
            super().add_field_update(field, value, objs)
        else:
            raise CannotQuarantine(
                self.handle,
                self.using,
                f"{number} rows of {field.model._meta.label} would get another "
                f"{field.name}, which nothing would give back",
            )

    def carry_out(self, policy: Any, field: Any, sources: Any) -> None:
        may_stay = graph.is_idle(policy) or graph.can_veto(policy)
        if self._is_elsewhere() and not may_stay and len(sources):
            raise CannotQuarantine(
                self.handle,
                self.using,
                f"{len(sources)} rows of {field.model._meta.label} hang on them, which are in "
                f"this other database",
            )
        super().carry_out(policy, field, sources)

    def _is_elsewhere(self) -> bool:
        plan = vars(self).get("_xdbrel_plan")
        return plan is not None and plan.root is not self


def _units(collector: _Collector, source: End, held: Mapping[Any, Any]) -> dict[Node, str]:
    """Return a token for each collected row, the same for rows that hang together."""
    nodes = {
        (_table(model), obj.pk): obj for model, objs in collector.data.items() for obj in objs
    }
    parent: dict[Node, Node] = {node: node for node in nodes}

    def root(node: Node) -> Node:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for node, other in _links(collector):
        parent[root(node)] = root(other)
    sources = [node for node in nodes if _is_source(node, source, held)]
    heads = {root(node) for node in sources}
    # What hangs on them by no field that is known (a generic relation) hangs on all of them.
    for node in nodes:
        if root(node) not in heads:
            for head in sources:
                parent[root(head)] = root(node)
            heads = {root(node)}
    tokens: dict[Node, str] = {}
    return {node: tokens.setdefault(root(node), uuid.uuid4().hex) for node in nodes}


def _links(collector: _Collector) -> Iterator[tuple[Node, Node]]:
    """Yield pairs of collected rows of which the first points at the second."""
    by_value: dict[tuple[type[models.Model], str], dict[Any, Any]] = {}
    for model, objs in collector.data.items():
        fields: list[Any] = _table(model)._meta.local_concrete_fields  # type: ignore[assignment]
        for field in fields:
            if field.remote_field is None:
                continue
            target_field = field.target_field
            table = _table(target_field.model)
            at = (table, target_field.attname)
            if at not in by_value:
                by_value[at] = {
                    getattr(obj, target_field.attname): obj.pk
                    for other, others in collector.data.items()
                    if _table(other) is table
                    for obj in others
                }
            for obj in objs:
                pk = by_value[at].get(getattr(obj, field.attname))
                if pk is not None:
                    yield (_table(model), obj.pk), (table, pk)


def _keep(
    collector: _Collector,
    model: type[models.Model],
    source: End,
    held: Mapping[Any, Any],
    units: Mapping[Node, str],
    repair: str,
) -> int:
    """Write the collected rows of one table into quarantine; return how many there were."""
    table = _table(model)
    unknown = kept.unknown_columns(table, using=source.using)
    if unknown:
        raise CannotQuarantine(
            collector.handle,
            source.using,
            f"the table of {table._meta.label} has columns that the model does not know: "
            f"{', '.join(unknown)}",
        )
    written = []
    for pk, data in kept.read(
        table, [obj.pk for obj in collector.data[model]], using=source.using
    ):
        target_key = None
        if _is_source((table, pk), source, held):
            (target_key,) = keys.encode([held[pk]], source.field)
        written.append(
            QuarantinedRow(
                relation=source.relation.handle,
                repair=repair,
                unit=units[table, pk],
                model=table._meta.label,
                key=encode_pk(table, pk),
                target_key=target_key,
                data=data,
            )
        )
    QuarantinedRow.objects.using(source.using).bulk_create(written)
    return len(written)


def encode_pk(model: type[models.Model], pk: Any) -> Any:
    """Return a primary key as JSON carries it: a list where it is of several columns."""
    fields = model._meta.pk_fields
    if len(fields) == 1:
        return keys.encode([pk], fields[0])[0]
    return [keys.encode([part], field)[0] for part, field in zip(pk, fields, strict=True)]


def decode_pk(model: type[models.Model], encoded: Any) -> Any:
    """Return what ``encode_pk`` was given."""
    fields = model._meta.pk_fields
    if len(fields) == 1:
        return keys.decode([encoded], fields[0])[0]
    return tuple(
        keys.decode([part], field)[0] for part, field in zip(encoded, fields, strict=True)
    )


def _table(model: type[models.Model]) -> type[models.Model]:
    return model._meta.concrete_model or model


def _is_source(node: Node, source: End, held: Mapping[Any, Any]) -> bool:
    """Tell whether the row is one of the repair's own, and not taken along."""
    return node[0] is _table(source.model) and node[1] in held
