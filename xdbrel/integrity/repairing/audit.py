"""The record of a repair: a ``RepairRun``, in ``XDBREL["INTEGRITY_DATABASE"]``.

Owns how it is begun, taken up again, kept up to date and ended, and who may be at it. What is
done to the rows is for ``repair``, in another database: a process that is killed between the
two commits leaves a batch that was dealt with and is not counted, and is dealt with again,
where nothing is left to do.
"""

from __future__ import annotations

import getpass
import logging
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from xdbrel.conf import settings
from xdbrel.integrity.exceptions import RepairUnderWay
from xdbrel.integrity.reading.ends import End
from xdbrel.models import RepairRun, ScanRun

logger = logging.getLogger(__name__)

Status = RepairRun.Status

#: The option under which a repair has its token.
TOKEN = "repair"  # noqa: S105


@dataclass
class Tally:
    """What a repair has done so far, as its record has it."""

    keys: int = 0
    healed: int = 0
    left: int = 0
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Record:
    """One repair's row, held by this process."""

    row: RepairRun
    tally: Tally
    claim: str
    resumed: bool
    began: float = field(default_factory=time.perf_counter)
    ended: float | None = None

    @property
    def token(self) -> str:
        """The token under which the repair's rows are quarantined."""
        token: str = self.row.options[TOKEN]
        return token

    @property
    def seconds(self) -> float:
        """How long the repair has taken, the time before it was cut short included."""
        if self.ended is not None:
            return self.ended
        return round((self.row.seconds or 0.0) + time.perf_counter() - self.began, 6)

    def keep(self, position: int | None = None) -> None:
        """Write down how far it is; raises ``RepairUnderWay`` where somebody took over."""
        if position is not None:
            self.row.position = position
        self._write(until=_until())

    def end(self, status: str, error: BaseException | None = None) -> None:
        """Write down that it is over, or stopped, and let go of it."""
        self.ended = self.seconds
        self._write(
            status=status,
            until=None,
            claimed_by="",
            seconds=self.seconds,
            finished_at=timezone.now(),
            last_error="" if error is None else f"{type(error).__name__}: {error}",
        )

    def _write(self, **values: Any) -> None:
        using = settings.INTEGRITY_DATABASE
        written = (
            RepairRun.objects.using(using)
            .filter(pk=self.row.pk, claimed_by=self.claim)
            .update(
                position=self.row.position,
                keys=self.tally.keys,
                healed=self.tally.healed,
                left=self.tally.left,
                rows=self.tally.rows,
                counts=dict(self.tally.counts),
                **values,
            )
        )
        if not written:
            holder = RepairRun.objects.using(using).filter(pk=self.row.pk).first()
            raise RepairUnderWay(
                self.row.relation, holder.actor if holder else "nobody", self.row.pk
            )


@contextmanager
def recorded(
    source: End,
    target: End,
    run: ScanRun | None,
    policy: str,
    *,
    options: Mapping[str, Any],
    dry_run: bool,
    actor: str | None,
    resumable: bool,
) -> Iterator[Record]:
    """Hold the record of a repair: a new one, or of the same repair that was cut short.

    It is ended as complete with the block, unless the block has ended it, and as failed where
    the block raises. Raises ``RepairUnderWay``.
    """
    record = _begin(source, target, run, policy, options, dry_run, actor, resumable)
    try:
        yield record
    except RepairUnderWay:
        raise
    except BaseException as error:
        try:
            record.end(Status.FAILED, error)
        except (DatabaseError, RepairUnderWay):
            # The record's own database may be what failed: the first error counts.
            logger.exception(
                "The failed repair of %s could not be recorded",
                source.relation.handle,
                extra={
                    "action": "repair",
                    "relation": source.relation.handle,
                    "alias": source.using,
                },
            )
        raise


def default_actor() -> str:
    """Return who is at it where nobody says so: the user of this process, and the machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        # A container may run under a number that has no name.
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


def repaired_rows(run: ScanRun) -> int:
    """Return how many rows have been dealt with, of those that ``run`` found."""
    done = RepairRun.objects.using(settings.INTEGRITY_DATABASE).filter(run=run, dry_run=False)
    return sum(done.exclude(policy="report").values_list("rows", flat=True))


def _begin(
    source: End,
    target: End,
    run: ScanRun | None,
    policy: str,
    options: Mapping[str, Any],
    dry_run: bool,
    actor: str | None,
    resumable: bool,
) -> Record:
    using = settings.INTEGRITY_DATABASE
    relation = source.relation.handle
    claim = uuid.uuid4().hex
    rows = RepairRun.objects.using(using)
    with transaction.atomic(using=using):
        if run is not None:
            # One at a time begins; what they do to rows is safe without that.
            ScanRun.objects.using(using).select_for_update().filter(pk=run.pk).first()
        if not dry_run:
            held = Q(status=Status.RUNNING, dry_run=False, until__gt=timezone.now())
            other = rows.filter(held, relation=relation).exclude(policy="report").first()
            if other is not None and resumable:
                raise RepairUnderWay(relation, other.actor, other.pk)
        if resumable and not dry_run:
            row = _cut_short(relation, run, policy, options)
            if row is not None:
                rows.filter(pk=row.pk).update(
                    status=Status.RUNNING,
                    claimed_by=claim,
                    until=_until(),
                    actor=actor or default_actor(),
                    finished_at=None,
                )
                tally = Tally(row.keys, row.healed, row.left, row.rows, Counter(row.counts))
                return Record(row, tally, claim, resumed=True)
        row = rows.create(
            relation=relation,
            run=run,
            policy=policy,
            options={**options, TOKEN: uuid.uuid4().hex},
            dry_run=dry_run,
            source_alias=source.using,
            target_alias=target.using,
            actor=actor or default_actor(),
            claimed_by=claim,
            until=_until(),
        )
    return Record(row, Tally(), claim, resumed=False)


def _cut_short(
    relation: str, run: ScanRun | None, policy: str, options: Mapping[str, Any]
) -> RepairRun | None:
    """Return the last repair of these findings, where it was the same and is not complete."""
    last = (
        RepairRun.objects.using(settings.INTEGRITY_DATABASE)
        .filter(relation=relation, run=run, dry_run=False)
        .exclude(policy="report")
        .order_by("-id")
        .first()
    )
    if last is None or last.policy != policy or last.status == Status.COMPLETE:
        return None
    before = {name: value for name, value in last.options.items() if name != TOKEN}
    return last if before == dict(options) else None


def _until() -> Any:
    return timezone.now() + timedelta(seconds=settings.CLAIM_SECONDS)
