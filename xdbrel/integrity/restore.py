"""Putting quarantined rows back where they were.

Owns which rows may go back, and what is in their way. How they were taken is in
``quarantine``, how columns are written in ``kept``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.apps import apps
from django.db import IntegrityError, connections, models, transaction
from django.db.models import F

from xdbrel import caching, keys, relations
from xdbrel.caching import uncached
from xdbrel.integrity.reading import ends, targets
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.repairing import audit, kept
from xdbrel.integrity.repairing.quarantine import decode_pk
from xdbrel.models import QuarantinedRow, RepairRun
from xdbrel.relations import Relation
from xdbrel.tracing import watched

logger = logging.getLogger(__name__)

#: How many conflicts a result spells out; they are all counted.
SHOWN_CONFLICTS = 20

#: Rows that are put back in one transaction, about.
BATCH = 500


@dataclass(frozen=True)
class Conflict:
    """Why a row, and what hangs together with it, stays in quarantine."""

    model: str
    key: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.model} {self.key!r}: {self.reason}"

    def as_dict(self) -> dict[str, Any]:
        """Return the conflict as JSON has it."""
        return {"model": self.model, "key": self.key, "reason": self.reason}


@dataclass(frozen=True)
class RestoreResult:
    """What went back, or in a dry run would have: ``rows``, and ``counts`` by model label.

    ``waiting`` are rows that stay since their target is not there, ``conflicting`` those that
    something else is in the way of, what hangs together with them included; ``conflicts`` has
    the first of the reasons. ``stopped`` tells that the limit of rows was reached.
    """

    relation: str
    using: str
    dry_run: bool
    rows: int
    waiting: int
    conflicting: int
    conflicts: Sequence[Conflict]
    counts: Mapping[str, int]
    stopped: bool
    seconds: float
    repair_id: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing has stayed in quarantine."""
        return not (self.waiting or self.conflicting or self.stopped)

    def as_dict(self) -> dict[str, Any]:
        """Return what the command and tasks hand out as JSON."""
        return {
            "relation": self.relation,
            "using": self.using,
            "dry_run": self.dry_run,
            "repair": self.repair_id,
            "rows": self.rows,
            "waiting": self.waiting,
            "conflicting": self.conflicting,
            "conflicts": [conflict.as_dict() for conflict in self.conflicts],
            "counts": dict(self.counts),
            "stopped": self.stopped,
            "seconds": self.seconds,
        }


@watched("restore")
def restore(
    relation: Relation,
    *,
    repair: str | None = None,
    without_targets: bool = False,
    dry_run: bool = False,
    max_rows: int | None = None,
    actor: str | None = None,
    batch_size: int = BATCH,
) -> RestoreResult:
    """Put the rows back that repairs of ``relation`` have quarantined.

    ``repair`` is the token of the one repair to undo (default: all). Rows that hang together
    go back together, each in all its tables, and leave quarantine in the same transaction. A
    row stays where its target is not there, unless ``without_targets``; where its primary key
    or another unique value is in use; where something else that it points at is gone. No
    signal is sent. It ends after about ``max_rows`` rows; ``dry_run`` goes the same way and
    takes it all back. It leaves a ``RepairRun`` of the policy ``restore``.
    """
    source, target = ends.of(relation)
    work = _Work(source, target, without_targets, dry_run)
    options = {"of": repair, "without_targets": without_targets}
    with (
        uncached(),
        audit.recorded(
            source,
            target,
            None,
            "restore",
            options=options,
            dry_run=dry_run,
            actor=actor,
            resumable=False,
        ) as record,
    ):
        stopped = False
        for units in _units(source, repair, batch_size):
            if max_rows is not None and work.rows >= max_rows:
                stopped = True
                break
            work.put_back(units)
            record.tally.rows = work.rows
            record.tally.counts.update(dict.fromkeys(work.counts, 0))
            record.tally.counts |= work.counts
            record.keep()
        record.end(RepairRun.Status.STOPPED if stopped else RepairRun.Status.COMPLETE)
    result = RestoreResult(
        relation=relation.handle,
        using=source.using,
        dry_run=dry_run,
        rows=work.rows,
        waiting=work.waiting,
        conflicting=work.conflicting,
        conflicts=work.conflicts,
        counts=work.counts,
        stopped=stopped,
        seconds=record.seconds,
        repair_id=record.row.pk,
    )
    logger.info(
        "Restored %s: %s rows put back, %s wait for their target, %s have conflicts",
        relation.handle,
        result.rows,
        result.waiting,
        result.conflicting,
        extra={
            "action": "restore",
            "relation": relation.handle,
            "alias": source.using,
            "dry_run": dry_run,
            "rows": result.rows,
        },
    )
    return result


#: Rows that hang together.
Unit = list[QuarantinedRow]


def _units(source: End, repair: str | None, size: int) -> Iterator[list[Unit]]:
    """Yield lists of whole units with about ``size`` rows between them, in the order taken."""
    held = QuarantinedRow.objects.using(source.using).filter(relation=source.relation.handle)
    if repair is None:
        tokens = list(held.order_by().values_list("repair", flat=True).distinct())
    else:
        tokens = [repair]
    for token in sorted(tokens):
        of_one = held.filter(repair=token)
        # Rows that a batch has taken stand table by table: a unit's may be far apart, so
        # units are found by their first row, and then read whole.
        after = 0
        seen: set[str] = set()
        while True:
            found = list(
                of_one.filter(id__gt=after, target_key__isnull=False)
                .order_by("id")
                .values_list("id", "unit")[:size]
            )
            fresh = {unit for _, unit in found} - seen
            if fresh:
                units = _whole(of_one, fresh)
                yield units
                # One that has several rows of the repair itself comes with each of them.
                seen |= {unit[0].unit for unit in units if len(unit) > 1}
            if len(found) < size:
                break
            after = found[-1][0]


def _whole(of_one: models.QuerySet[QuarantinedRow], tokens: set[str]) -> list[Unit]:
    rows = list(of_one.filter(unit__in=tokens).order_by("unit", "id"))
    return [list(unit) for _, unit in groupby(rows, attrgetter("unit"))]


class _Dangling(Exception):
    """Units whose rows point at what is not there; carries the reasons by unit."""

    def __init__(self, reasons: dict[str, Conflict]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


class _Undone(Exception):
    """Takes a dry run back."""


@dataclass
class _Work:
    source: End
    target: End
    without_targets: bool
    dry_run: bool
    rows: int = 0
    waiting: int = 0
    conflicting: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def put_back(self, units: list[Unit]) -> None:
        """Put back what may go, in a transaction of its own."""
        using = self.source.using
        try:
            with transaction.atomic(using=using):
                self._put_back(self._locked(units))
                if self.dry_run:
                    raise _Undone
        except _Undone:
            return

    def _locked(self, units: list[Unit]) -> list[Unit]:
        """Return the units that are still in quarantine, which nobody else puts back now."""
        ids = [row.pk for unit in units for row in unit]
        rows = QuarantinedRow.objects.using(self.source.using).filter(pk__in=ids)
        there = set(rows.select_for_update().values_list("pk", flat=True))
        return [unit for unit in units if all(row.pk in there for row in unit)]

    def _put_back(self, units: list[Unit]) -> None:
        units = self._with_targets(units)
        units = self._without_conflicts(units)
        self._insert(units)

    def _with_targets(self, units: list[Unit]) -> list[Unit]:
        if self.without_targets:
            return units
        wanted = {
            row.pk: row.target_key for unit in units for row in unit if row.target_key is not None
        }
        known = keys.decode_any(wanted.values(), self.target.field)
        decoded = dict(zip(wanted, known, strict=True))
        absent = set(targets.missing(self.target, list(dict.fromkeys(decoded.values()))))
        ready = []
        for unit in units:
            if any(decoded.get(row.pk) in absent for row in unit if row.pk in decoded):
                self.waiting += len(unit)
            else:
                ready.append(unit)
        return ready

    def _without_conflicts(self, units: list[Unit]) -> list[Unit]:
        """Return the units whose tables and columns are as they were, and whose keys are free."""
        in_use: dict[type[models.Model], set[Any]] = {}
        for label, rows in _by_model(units).items():
            model = _model(label)
            if model is not None:
                pks = [decode_pk(model, row.key) for row in rows]
                in_use[model] = set(_present(model, pks, self.source.using))
        ready = []
        for unit in units:
            conflict = next(filter(None, (_conflict(row, in_use) for row in unit)), None)
            if conflict is None:
                ready.append(unit)
            else:
                self._refuse(unit, conflict)
        return ready

    def _insert(self, units: list[Unit]) -> None:
        """Insert these units; where one is in the way, the others without it."""
        if not units:
            return
        using = self.source.using
        try:
            with transaction.atomic(using=using):
                self._insert_together(units)
        except IntegrityError as error:
            if len(units) > 1:
                for unit in units:
                    self._insert([unit])
                return
            head = _head(units[0])
            self._refuse(units[0], Conflict(head.model, head.key, str(error).strip()))
        except _Dangling as found:
            for unit in units:
                if unit[0].unit in found.reasons:
                    self._refuse(unit, found.reasons[unit[0].unit])
            self._insert([unit for unit in units if unit[0].unit not in found.reasons])
        else:
            for label, rows in _by_model(units).items():
                self.counts[label] = self.counts.get(label, 0) + len(rows)
            self.rows += sum(map(len, units))

    def _insert_together(self, units: list[Unit]) -> None:
        using = self.source.using
        by_model = {_model(label): rows for label, rows in _by_model(units).items()}
        several = any(len(unit) > 1 for unit in units)
        connection = connections[using]
        # Rows that point at each other are in no order; they are looked at once they are there.
        lenient = several and not connection.features.can_defer_constraint_checks
        if lenient:
            connection.disable_constraint_checking()
        try:
            for model, rows in by_model.items():
                kept.insert(model, [row.data for row in rows], using=using)
        finally:
            if lenient:
                connection.enable_constraint_checking()
        caching.invalidate(by_model, using)
        reasons = {
            unit: conflict
            for model, rows in by_model.items()
            for unit, conflict in self._dangling(model, rows)
        }
        if reasons:
            raise _Dangling(reasons)
        ids = [row.pk for unit in units for row in unit]
        QuarantinedRow.objects.using(using).filter(keys.KeyIn(F("pk"), ids)).delete()

    def _dangling(
        self, model: type[models.Model], rows: list[QuarantinedRow]
    ) -> Iterator[tuple[str, Conflict]]:
        """Yield the unit of each row, just inserted, that points at what is not there."""
        using = self.source.using
        by_pk = {decode_pk(model, row.key): row for row in rows}
        fields: Any = [
            field
            for field in model._meta.local_fields
            if field.concrete or getattr(field, "crosses_databases", False)
        ]
        for one in fields:
            if one.remote_field is None:
                continue
            if self.without_targets and not getattr(one, "db_constraint", False):
                continue
            asked = [
                # What was taken for having no target was looked at before.
                pk
                for pk, row in by_pk.items()
                if one != self.source.field or row.target_key is None
            ]
            crossing = getattr(one, "crosses_databases", False)
            relation = relations.Relation(one)
            alias = relation.target_home if crossing else using
            end = End(relation, relation.target, relation.target_field, alias)
            held = dict(_values(model, one, asked, using))
            absent = set(targets.missing(end, list(dict.fromkeys(held.values()))))
            for pk, value in held.items():
                if value in absent:
                    row = by_pk[pk]
                    reason = f"its {one.name} {value!r} is no {relation.target._meta.label}"
                    yield row.unit, Conflict(row.model, row.key, f"{reason} in {alias!r}")

    def _refuse(self, unit: Unit, conflict: Conflict) -> None:
        self.conflicting += len(unit)
        if len(self.conflicts) < SHOWN_CONFLICTS:
            self.conflicts.append(conflict)


def _conflict(
    row: QuarantinedRow, in_use: Mapping[type[models.Model], set[Any]]
) -> Conflict | None:
    model = _model(row.model)
    if model is None:
        return Conflict(row.model, row.key, "there is no such model any more")
    if decode_pk(model, row.key) in in_use[model]:
        return Conflict(row.model, row.key, "its primary key is in use")
    lost = kept.lost_columns(model, row.data)
    if lost:
        return Conflict(row.model, row.key, f"its table has no {', '.join(lost)} any more")
    return None


def _head(unit: Unit) -> QuarantinedRow:
    return next((row for row in unit if row.target_key is not None), unit[0])


def _by_model(units: Sequence[Unit]) -> dict[str, list[QuarantinedRow]]:
    """Return the rows by model label, in the order in which they were taken."""
    rows = sorted((row for unit in units for row in unit), key=attrgetter("pk"))
    found: dict[str, list[QuarantinedRow]] = {}
    for row in rows:
        found.setdefault(row.model, []).append(row)
    return found


def _model(label: str) -> Any:
    try:
        return apps.get_model(label)
    except LookupError:
        return None


def _present(model: type[models.Model], pks: list[Any], using: str) -> Iterator[Any]:
    for chunk in keys.chunks(pks, keys.chunk_size(using, model._meta.pk, listed=True)):
        rows = model._base_manager.using(using).filter(pk__in=chunk).order_by()
        yield from rows.values_list("pk", flat=True)


def _values(
    model: type[models.Model], field: models.Field[Any, Any], pks: list[Any], using: str
) -> Iterator[tuple[Any, Any]]:
    for chunk in keys.chunks(pks, keys.chunk_size(using, model._meta.pk, listed=True)):
        rows = model._base_manager.using(using).filter(pk__in=chunk).order_by()
        for pk, value in rows.values_list("pk", field.attname):
            if keys.is_whole(value):
                yield pk, value
