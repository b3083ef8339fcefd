"""Repairing: what is done about the orphans that a scan found.

Owns the way from findings to rows: batches, the look before each act, the limits. What is
done with the rows is for ``policies``, which findings stand for ``history``, and the record
of it all for ``audit``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.conf import settings
from xdbrel.integrity import history
from xdbrel.integrity.exceptions import TooManyOrphans
from xdbrel.integrity.reading import ends, targets
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.repairing import audit
from xdbrel.integrity.repairing import mapping as mappings
from xdbrel.integrity.repairing.policies import POLICIES, Act, check, most_rows
from xdbrel.models import RepairRun, ScanRun
from xdbrel.relations import Relation
from xdbrel.tracing import watched

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RepairResult:
    """What a repair did, or in a dry run would have done; what it did before included.

    ``keys`` are orphaned still, ``rows`` the sources that held them and were dealt with;
    ``healed`` are keys of the findings whose target is there again, left alone; ``left`` those
    for which a mapping has nothing. ``counts`` are rows by model label, what a delete took
    with it included; empty in a dry run. ``stopped`` tells that the limit of rows was reached
    before the end, ``resumed`` that it went on where an earlier call was cut short.
    ``repair_id`` is the ``RepairRun``, ``token`` what its rows are quarantined under.
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
    left: int = 0
    stopped: bool = False
    resumed: bool = False
    repair_id: int = 0
    token: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what commands and tasks hand out as JSON."""
        return {
            "relation": self.relation,
            "policy": self.policy,
            "dry_run": self.dry_run,
            "run": self.run_id,
            "repair": self.repair_id,
            "token": self.token,
            "source_alias": self.source_alias,
            "target_alias": self.target_alias,
            "keys": self.keys,
            "healed": self.healed,
            "left": self.left,
            "rows": self.rows,
            "counts": dict(self.counts),
            "stopped": self.stopped,
            "resumed": self.resumed,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class RepairProgress:
    """How far a repair is: keys looked at of those found, and rows dealt with."""

    relation: str
    done: int
    total: int
    rows: int


@watched("repair")
def repair(
    relation: Relation,
    policy: str,
    *,
    dry_run: bool = False,
    raw: bool = False,
    mapping: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None = None,
    max_rows: int | None = None,
    yes_really: bool = False,
    actor: str | None = None,
    batch_size: int | None = None,
    on_progress: Callable[[RepairProgress], None] | None = None,
) -> RepairResult:
    """Apply ``policy`` to the orphans that the latest complete scan of ``relation`` found.

    Only findings that a second look has confirmed are acted upon (see ``confirm``), if need be
    those of the scan before; it is made now where its time has come.

    ``report`` does nothing but look; ``delete`` deletes the sources, ``raw`` without signals
    and without what hangs on them in the same database; ``set_null`` and ``set_default`` give
    them another key, ``repoint`` the one that ``mapping`` has for theirs; ``quarantine`` moves
    them, whole, to where ``restore`` finds them.

    At most ``batch_size`` rows at once are locked, checked again at the target's home and
    dealt with, in a transaction of their own at the source's home. It ends after ``max_rows``.
    A call for the same findings with the same policy goes on where an earlier one stopped, was
    killed or failed. ``dry_run`` takes the same way from the beginning and stops short of the
    act. Every call leaves a ``RepairRun``; ``actor`` is who asked (default: user and machine).

    Raises ``NoScan``, ``NotConfirmed``, ``UnknownPolicy``, ``CannotRepair``, ``BadMapping``,
    ``RepairUnderWay``, ``CannotQuarantine``; ``TooManyOrphans`` where more than
    ``XDBREL["MAX_ORPHAN_SHARE"]`` of the rows are orphans, unless ``yes_really``; and what the
    databases and Django's collector raise (``ProtectedError``): batches done before stay done.
    """
    source, target = ends.of(relation)
    options: dict[str, Any] = {"raw": True} if raw else {}
    act = Act(source, target, raw)
    if mapping is not None:
        decoded = mappings.decode(mapping, source)
        act = Act(source, target, raw, decoded)
        options["mapping"] = _pairs(decoded, target)
    with uncached():
        check(policy, act)
        run = history.standing(relation.handle)
        if policy != "report" and not dry_run:
            run = history.confirmed(run)
        if policy != "report" and not yes_really:
            _refuse_if_most(source, target, run, policy)
        resumable = policy != "report"
        with audit.recorded(
            source,
            target,
            run,
            policy,
            options=options,
            dry_run=dry_run,
            actor=actor,
            resumable=resumable,
        ) as record:
            act = Act(source, target, raw, act.mapping, record.token)
            most = most_rows(source, policy)
            size = min(batch_size or most, most)
            work = _Work(act, policy, dry_run, size, max_rows, record)
            stopped = work.through(run, on_progress)
            record.end(RepairRun.Status.STOPPED if stopped else RepairRun.Status.COMPLETE)
    tally = record.tally
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
        seconds=record.seconds,
        counts=dict(tally.counts),
        left=tally.left,
        stopped=stopped,
        resumed=record.resumed,
        repair_id=record.row.pk,
        token=record.token,
    )
    logger.info(
        "%s %s by %s: %s rows with %s keys",
        "Looked at" if dry_run or policy == "report" else "Repaired",
        relation.handle,
        policy,
        result.rows,
        result.keys,
        extra={
            "action": "repair",
            "relation": relation.handle,
            "alias": source.using,
            "policy": policy,
            "dry_run": dry_run,
            "rows": result.rows,
        },
    )
    return result


class _Work:
    """One call of a repair, on its way through the findings."""

    def __init__(
        self,
        act: Act,
        policy: str,
        dry_run: bool,
        size: int,
        max_rows: int | None,
        record: audit.Record,
    ) -> None:
        self.act = act
        self.carry_out = None if dry_run else POLICIES[policy]
        self.size = size
        self.budget = math.inf if max_rows is None else max_rows
        self.record = record
        self.tally = record.tally

    def through(self, run: ScanRun, on_progress: Callable[[RepairProgress], None] | None) -> bool:
        """Deal with all findings; tell whether the limit of rows came first."""
        handle = self.act.source.relation.handle
        done = 0
        for position, found in self._batches(run):
            if not self._keys(found):
                return True
            self.record.keep(position)
            done += len(found)
            if on_progress is not None:
                on_progress(RepairProgress(handle, done, run.distinct_keys, self.tally.rows))
        return False

    def _batches(self, run: ScanRun) -> Iterator[tuple[int, list[Any]]]:
        """Yield keys, as many at once as have about ``size`` sources, and the last one's id."""
        target = self.act.target
        batch: list[Any] = []
        rows = last = 0
        limit = target.chunk_size()
        for part in history.findings(run, after=self.record.row.position, size=limit):
            decoded = keys.decode_any((key for _, key, _ in part), target.field)
            for key, (number, _, sources) in zip(decoded, part, strict=True):
                if batch and (rows + sources > self.size or len(batch) >= limit):
                    yield last, batch
                    batch, rows = [], 0
                batch.append(key)
                rows += sources
                last = number
        if batch:
            yield last, batch

    def _keys(self, found: list[Any]) -> bool:
        """Deal with every row that holds one of these keys; False where the limit came first."""
        absent = targets.missing(self.act.target, found)
        healed = len(found) - len(absent)
        left = 0
        if self.act.mapping:
            mapped = [key for key in absent if key in self.act.mapping]
            left = len(absent) - len(mapped)
            absent = mapped
        orphaned: set[Any] = set()
        last: Any = None
        while absent:
            size = int(min(self.size, self.budget))
            if size <= 0:
                if not _rows_of(self.act.source, absent, last).exists():
                    break
                self.tally.keys += len(orphaned)
                self.record.keep()
                return False
            rows, gone = self._rows(absent, last, size)
            orphaned |= gone
            if rows < size:
                break
            last = self.last
            self.record.keep()
        self.tally.keys += len(orphaned)
        self.tally.healed += healed
        self.tally.left += left
        return True

    def _rows(self, absent: Sequence[Any], after: Any, size: int) -> tuple[int, set[Any]]:
        """Deal with the next rows; return how many were locked, and the keys without a target."""
        source, target = self.act.source, self.act.target
        with transaction.atomic(using=source.using):
            rows = _lock(source, absent, after, size)
            held = {key for _, key in rows}
            # Nobody can repoint the rows from here on, but a target may have come back.
            gone = set(targets.missing(target, [key for key in absent if key in held]))
            chosen = [(pk, key) for pk, key in rows if key in gone]
            counts: Mapping[str, int] = {}
            if chosen and self.carry_out is not None:
                counts = self.carry_out(self.act, chosen)
        self.tally.counts.update(counts)
        self.tally.rows += len(chosen)
        self.budget -= len(chosen)
        if rows:
            self.last = rows[-1][0]
        return len(rows), gone


def _lock(source: End, wanted: Sequence[Any], after: Any, size: int) -> list[tuple[Any, Any]]:
    """Return primary key and key of the next rows that hold one of ``wanted``, locked."""
    locked = _rows_of(source, wanted, after).order_by("pk").select_for_update()
    found = list(locked.values_list("pk", source.attname)[:size])
    told = source.told(key for _, key in found)
    return [(pk, key) for (pk, _), key in zip(found, told, strict=True)]


def _rows_of(source: End, wanted: Sequence[Any], after: Any) -> models.QuerySet[Any]:
    rows = source.rows().filter(source.holds(wanted))
    return rows if after is None else rows.filter(pk__gt=after)


def _refuse_if_most(source: End, target: End, run: ScanRun, policy: str) -> None:
    """Raise ``TooManyOrphans`` where more than the allowed share of the rows is orphaned.

    Whether there are that many rows is asked without counting them all.
    """
    share = settings.MAX_ORPHAN_SHARE
    orphans = run.orphans - audit.repaired_rows(run)
    if orphans <= 0 or share >= 1:
        return
    enough = math.ceil(orphans / share) if share else math.inf
    some = source.rows().values("pk")
    rows = (some if enough == math.inf else some[: int(enough)]).count()
    if rows < enough:
        raise TooManyOrphans(
            source.relation.handle, policy, orphans, rows, share, target.model._meta.label
        )


def _pairs(decoded: Mapping[Any, Any], target: End) -> list[list[Any]]:
    """Return the mapping as JSON carries it."""
    old = keys.encode(decoded, target.field)
    new_keys = [key for key in decoded.values() if key is not None]
    new = dict(zip(new_keys, keys.encode(new_keys, target.field), strict=True))
    return [[key, new.get(to)] for key, to in zip(old, decoded.values(), strict=True)]
