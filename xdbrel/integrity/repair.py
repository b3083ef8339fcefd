"""Repairing: what is done about the orphans that a scan found.

Owns the policies and the look before each act. Finding orphans is for ``scan``; the
deletes themselves are Django's, in the source's home, with its signals and cascades.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from django.db import models, transaction
from django.db.models import F

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.integrity import ends, findings, targets
from xdbrel.integrity.ends import End
from xdbrel.integrity.exceptions import CannotRepair, UnknownPolicy
from xdbrel.relations import Relation

logger = logging.getLogger(__name__)

#: A policy: acts on the rows, all of them locked, and returns the counts by model label.
Policy = Callable[[End, "models.QuerySet[Any]"], Mapping[str, int]]


@dataclass(frozen=True)
class RepairResult:
    """What a repair did, or in a dry run would have done.

    ``keys`` are orphaned still, ``rows`` the sources that held them; ``healed`` are keys
    of the run whose target is there again, left alone. ``counts`` are rows by model
    label, what a delete took with it included; empty in a dry run.
    """

    relation: str
    policy: str
    dry_run: bool
    run_id: int
    source_alias: str
    target_alias: str
    keys: int
    healed: int
    rows: int
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return what commands and tasks hand out as JSON."""
        return {
            "relation": self.relation,
            "policy": self.policy,
            "dry_run": self.dry_run,
            "run": self.run_id,
            "source_alias": self.source_alias,
            "target_alias": self.target_alias,
            "keys": self.keys,
            "healed": self.healed,
            "rows": self.rows,
            "counts": dict(self.counts),
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class RepairProgress:
    """How far a repair is: keys looked at of those found, and rows dealt with."""

    relation: str
    done: int
    total: int
    rows: int


def repair(
    relation: Relation,
    policy: str,
    *,
    dry_run: bool = False,
    batch_size: int | None = None,
    on_progress: Callable[[RepairProgress], None] | None = None,
) -> RepairResult:
    """Apply ``policy`` to the orphans that the latest complete scan of ``relation`` found.

    ``report`` does nothing but look, ``delete`` deletes the sources, ``set_null`` and
    ``set_default`` give them another key. At most ``batch_size`` rows at once are locked,
    checked again at the target's home and dealt with, in a transaction of their own at
    the source's home. ``dry_run`` takes the same way and stops short of the act.

    Raises ``NoScan``, ``UnknownPolicy``, ``CannotRepair``, and what the databases and
    Django's collector raise (``ProtectedError``): batches done before stay done.
    """
    if policy not in POLICIES:
        raise UnknownPolicy(policy, POLICIES)
    source, target = ends.of(relation)
    size = min(batch_size or _most_rows(source), _most_rows(source))
    started = time.perf_counter()
    with uncached():
        _check(policy, source, target)
        run = findings.latest(relation.handle)
        tally = _Tally()
        done = 0
        for found in _batches(run, target, size):
            _repair_keys(source, target, found, POLICIES[policy], dry_run, size, tally)
            done += len(found)
            if on_progress is not None:
                on_progress(RepairProgress(relation.handle, done, run.distinct_keys, tally.rows))
    result = RepairResult(
        relation=relation.handle,
        policy=policy,
        dry_run=dry_run,
        run_id=run.pk,
        source_alias=source.using,
        target_alias=target.using,
        keys=tally.keys,
        healed=tally.healed,
        rows=tally.rows,
        seconds=round(time.perf_counter() - started, 6),
        counts=dict(tally.counts),
    )
    logger.info(
        "Repaired %s by %s: %s rows with %s keys",
        relation.handle,
        policy,
        result.rows,
        result.keys,
        extra={"action": "repair", "relation": relation.handle, "alias": source.using},
    )
    return result


@dataclass
class _Tally:
    keys: int = 0
    healed: int = 0
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def _batches(run: Any, target: End, size: int) -> Iterator[list[Any]]:
    """Yield the run's keys, as many at once as have about ``size`` sources between them."""
    batch: list[Any] = []
    rows = 0
    for found in findings.of(run, target.chunk_size()):
        decoded = keys.decode((key for key, _ in found), target.field)
        for key, (_, sources) in zip(decoded, found, strict=True):
            if batch and (rows + sources > size or len(batch) >= target.chunk_size()):
                yield batch
                batch, rows = [], 0
            batch.append(key)
            rows += sources
    if batch:
        yield batch


def _repair_keys(
    source: End,
    target: End,
    found: list[Any],
    policy: Policy | None,
    dry_run: bool,
    size: int,
    tally: _Tally,
) -> None:
    """Deal with every row that holds one of these keys, ``size`` rows at a time."""
    absent = targets.missing(target, found)
    tally.healed += len(found) - len(absent)
    orphaned: set[Any] = set()
    last: Any = None
    while absent:
        with transaction.atomic(using=source.using):
            rows = _lock(source, absent, last, size)
            held = {key for _, key in rows}
            # Nobody can repoint the rows from here on, but a target may have come back.
            gone = set(targets.missing(target, [key for key in absent if key in held]))
            chosen = [pk for pk, key in rows if key in gone]
            if chosen and policy is not None and not dry_run:
                tally.counts.update(policy(source, _with_pk(source, chosen)))
        orphaned |= gone
        tally.rows += len(chosen)
        if len(rows) < size:
            break
        last = rows[-1][0]
    tally.keys += len(orphaned)


def _lock(source: End, wanted: Sequence[Any], after: Any, size: int) -> list[tuple[Any, Any]]:
    """Return primary key and key of the next rows that hold one of ``wanted``, locked."""
    rows = source.rows().filter(source.holds(wanted))
    if after is not None:
        rows = rows.filter(pk__gt=after)
    locked = rows.order_by("pk").select_for_update()
    return list(locked.values_list("pk", source.attname)[:size])


def _most_rows(source: End) -> int:
    """Return how many rows one statement can name by their primary key."""
    pk = source.model._meta.pk
    return keys.chunk_size(source.using, pk, parameters=len(source.model._meta.pk_fields))


def _with_pk(source: End, pks: Sequence[Any]) -> models.QuerySet[Any]:
    rows = source.model._base_manager.using(source.using)
    if len(source.model._meta.pk_fields) > 1:
        return rows.filter(pk__in=pks)
    return rows.filter(keys.KeyIn(F("pk"), pks))


def _check(policy: str, source: End, target: End) -> None:
    """Raise ``CannotRepair`` where the policy is not possible for this relation."""
    handle = source.relation.handle
    if policy == "set_null" and not source.field.null:
        raise CannotRepair(
            handle,
            policy,
            "the field is not null=True",
            "Use 'delete', or 'set_default' with a default, or let the field be null.",
        )
    if policy == "set_default":
        if not source.field.has_default():
            raise CannotRepair(
                handle, policy, "the field has no default", "Use another policy, or give it one."
            )
        default = _default(source)
        if default is None and not source.field.null:
            raise CannotRepair(
                handle,
                policy,
                "the default is None and the field is not null=True",
                "Give the field another default.",
            )
        if default is not None and targets.missing(target, [default]):
            raise CannotRepair(
                handle,
                policy,
                f"the default {default!r} has no {target.model._meta.label} in database "
                f"{target.using!r} itself",
                "Create that row first, or give the field another default.",
            )


def _default(source: End) -> Any:
    value = source.field.get_default()
    return None if value is None else source.key_field.to_python(value)


def _delete(source: End, rows: models.QuerySet[Any]) -> Mapping[str, int]:
    _, counts = rows.delete()
    return counts


def _set_null(source: End, rows: models.QuerySet[Any]) -> Mapping[str, int]:
    return {source.model._meta.label: rows.update(**{source.attname: None})}


def _set_default(source: End, rows: models.QuerySet[Any]) -> Mapping[str, int]:
    return {source.model._meta.label: rows.update(**{source.attname: _default(source)})}


#: The policies by name; None acts on nothing.
POLICIES: Mapping[str, Policy | None] = MappingProxyType(
    {"report": None, "delete": _delete, "set_null": _set_null, "set_default": _set_default}
)
