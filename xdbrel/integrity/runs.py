"""A run as a whole: how it begins or is gone on with, how it ends, and how far it is.

Owns ``ScanRun`` and the making of its ranges. A range in the hands of a process is in
``claims``, who may scan at all in ``leases``.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from xdbrel import keys
from xdbrel.cascade import clock
from xdbrel.conf import settings
from xdbrel.integrity.exceptions import BeingScanned
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning import leases
from xdbrel.integrity.scanning.claims import Claim
from xdbrel.models import ScanRange, ScanRun

Status = ScanRun.Status

#: How often two callers that begin at the same instant are told apart.
TRIES = 3


@dataclass(frozen=True)
class Plan:
    """What a run is to be, where none can be gone on with."""

    mode: str
    strategy: str
    reason: str
    ranges: Sequence[KeyRange]
    horizon: Any = None
    base: int | None = None


@dataclass(frozen=True)
class RunState:
    """How far a run is: its ranges, and what was looked at and found so far.

    ``failed`` tells, by a range's number, why it was given up; ``held`` are the ranges that
    processes scan just now.
    """

    run: int
    relation: str
    mode: str
    status: str
    ranges: int
    complete: int
    held: int
    failed: dict[int, str]
    seen: int
    orphans: int
    distinct_keys: int

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, as JSON shows them."""
        return asdict(self)


def unfinished(
    source: End, target: End, mode: str, *, strategy: str | None = None
) -> ScanRun | None:
    """Return the run that a new one of this mode would go on with, if there is one.

    It is the relation's latest of that mode, began within ``XDBREL["RESUME_SECONDS"]``, read
    the same two databases and, where one is named, goes by the same strategy.
    """
    run = (
        ScanRun.objects.using(settings.INTEGRITY_DATABASE)
        .filter(relation=source.relation.handle, mode=mode)
        .order_by("-pk")
        .first()
    )
    if run is None or run.status == Status.COMPLETE:
        return None
    oldest = timezone.now() - datetime.timedelta(seconds=settings.RESUME_SECONDS)
    alike = (
        run.started_at >= oldest
        and (run.source_alias, run.target_alias) == (source.using, target.using)
        and strategy in (None, run.strategy)
    )
    return run if alike else None


def begin(source: End, target: End, plan: Plan, holder: str) -> ScanRun:
    """Begin a run as planned, and with it the relation's lease; raises ``BeingScanned``."""
    using = settings.INTEGRITY_DATABASE
    handle = source.relation.handle

    def start() -> ScanRun:
        run = ScanRun.objects.using(using).create(
            relation=handle,
            source_alias=source.using,
            target_alias=target.using,
            mode=plan.mode,
            strategy=plan.strategy,
            reason=plan.reason,
            horizon=plan.horizon,
            base_id=plan.base,
        )
        # The only range is claimed as it is made: one commit less for the shortest scans.
        claimed = {}
        if len(plan.ranges) == 1:
            until = clock.now(using, plus=settings.SCAN_LEASE_SECONDS)
            claimed = {"claimed_by": holder, "until": until}
        ScanRange.objects.using(using).bulk_create(
            ScanRange(
                **claimed,
                run=run,
                number=number,
                after=_encoded(within.after, source),
                upto=_encoded(within.upto, source),
            )
            for number, within in enumerate(plan.ranges, start=1)
        )
        return run

    run: ScanRun = _with_lease(handle, start, holder)
    return run


def resume(run: ScanRun, holder: str, *, forgive: bool = True) -> ScanRun | None:
    """Go on with ``run``; None if it has been completed meanwhile. Raises ``BeingScanned``.

    Ranges that had been given up are tried again. ``forgive`` forgets the failures of the
    others as well: somebody asked for it, and no queue that hands out the same task again.
    """
    using = settings.INTEGRITY_DATABASE

    def start() -> ScanRun | None:
        going_on = ScanRun.objects.using(using).filter(pk=run.pk).exclude(status=Status.COMPLETE)
        if not going_on.update(
            status=Status.RUNNING, resumed=F("resumed") + 1, finished_at=None, last_error=""
        ):
            return None
        ranges = ScanRange.objects.using(using).filter(run_id=run.pk)
        ranges.filter(status=ScanRange.Status.FAILED).update(
            status=ScanRange.Status.PENDING, attempts=0, until=timezone.now()
        )
        # Who asks for it now does not wait for what would be tried later.
        ranges.filter(claimed_by="", until__isnull=False).update(until=timezone.now())
        if forgive:
            ranges.update(attempts=0)
        run.refresh_from_db(using=using)
        return run

    resumed: ScanRun | None = _with_lease(run.relation, start, holder)
    return resumed


def complete(claim: Claim, *, seconds: float | None) -> ScanRun | None:
    """Record that a claimed range is done; return the run if it has ended with it.

    ``seconds`` is how long this process worked at it, where it worked alone; else the run's
    whole time counts. The run is locked first, so that of two that end at the same time
    one sees the other.
    """
    using = claim.using
    with transaction.atomic(using=using):
        ScanRun.objects.using(using).filter(pk=claim.run.pk).update(
            seen=F("seen") + claim.seen,
            orphans=F("orphans") + claim.orphans,
            distinct_keys=F("distinct_keys") + claim.distinct_keys,
        )
        claim.complete()
        return _end(claim.run, seconds, using)


def settle(run: ScanRun) -> ScanRun | None:
    """End ``run`` if no range of it is left to be scanned; return it if this call did."""
    using = run._state.db or settings.INTEGRITY_DATABASE
    with transaction.atomic(using=using):
        ScanRun.objects.using(using).filter(pk=run.pk).update(status=F("status"))
        return _end(run, None, using)


def fail(run: ScanRun, error: BaseException | str, *, seconds: float) -> None:
    """Record that a run ended before its time, and why; whoever comes next goes on."""
    using = run._state.db or settings.INTEGRITY_DATABASE
    told = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    ScanRun.objects.using(using).filter(pk=run.pk, status=Status.RUNNING).update(
        status=Status.FAILED,
        finished_at=timezone.now(),
        seconds=round((run.seconds or 0.0) + seconds, 6),
        last_error=told,
    )
    leases.give_up(run, using=using)


def state(run: ScanRun) -> RunState:
    """Return how far ``run`` is."""
    using = run._state.db or settings.INTEGRITY_DATABASE
    run = ScanRun.objects.using(using).get(pk=run.pk)
    ranges = ScanRange.objects.using(using).filter(run_id=run.pk)
    figures = ranges.aggregate(
        number=Count("pk"),
        complete=Count("pk", filter=Q(status=ScanRange.Status.COMPLETE)),
        held=Count("pk", filter=~Q(claimed_by="")),
        **{name: Sum(name) for name in ("seen", "orphans", "distinct_keys")},
    )
    over = run.status == Status.COMPLETE or not figures["number"]
    return RunState(
        run=run.pk,
        relation=run.relation,
        mode=run.mode,
        status=run.status,
        ranges=figures["number"],
        complete=figures["complete"],
        held=figures["held"],
        failed=dict(
            ranges.filter(status=ScanRange.Status.FAILED).values_list("number", "last_error")
        ),
        seen=run.seen if over else figures["seen"],
        orphans=run.orphans if over else figures["orphans"],
        distinct_keys=run.distinct_keys if over else figures["distinct_keys"],
    )


def _with_lease(handle: str, start: Any, holder: str) -> Any:
    """Call ``start``, which returns a run or None, and take the lease for that run."""
    using = settings.INTEGRITY_DATABASE
    for _ in range(TRIES):
        known = leases.check(handle, using=using)
        try:
            with transaction.atomic(using=using):
                run = start()
                if run is None or leases.take(run, holder, known, using=using):
                    return run
                transaction.set_rollback(True, using=using)
        except IntegrityError:
            # Another one inserted its lease first.
            continue
    raise BeingScanned(handle, 0, "another process", timezone.now())


def _end(run: ScanRun, seconds: float | None, using: str) -> ScanRun | None:
    """End the run, which is locked, if no range is pending; return it as it is then."""
    ranges = ScanRange.objects.using(using).filter(run_id=run.pk)
    told = list(ranges.order_by("number").values_list("number", "status", "last_error"))
    if any(status == ScanRange.Status.PENDING for _, status, _ in told):
        return None
    row = ScanRun.objects.using(using).get(pk=run.pk)
    if row.status != Status.RUNNING:
        return None
    now = timezone.now()
    if seconds is None:
        spent = (now - row.started_at).total_seconds()
    else:
        spent = (row.seconds or 0.0) + seconds
    failed = [(n, error) for n, status, error in told if status == ScanRange.Status.FAILED]
    row.finished_at = now
    row.seconds = round(spent, 6)
    if failed:
        row.status = Status.FAILED
        numbers = ", ".join(str(number) for number, _ in failed)
        row.last_error = f"Ranges given up: {numbers}. Last error: {failed[-1][1]}"
    else:
        row.status = Status.COMPLETE
        if not row.distinct_keys:
            # There is nothing to look at a second time.
            row.confirmed_at = now
    ended = ("status", "finished_at", "seconds", "last_error", "confirmed_at")
    row.save(using=using, update_fields=ended)
    leases.give_up(row, using=using)
    return row


def _encoded(bound: Any, source: End) -> Any:
    return None if bound is None else keys.encode([bound], source.field)[0]
