"""A scan on many workers: a run's ranges, taken up by whoever is free.

A message to a worker says only that a run has ranges to scan; which one it takes, and how
far that is, is in the database. So a queue that loses its messages delays a scan and loses
nothing of it: ``idle`` finds the runs that nobody goes on with. What one process does at a
range is in ``scan``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from xdbrel import relations
from xdbrel.caching import uncached
from xdbrel.cascade import clock
from xdbrel.conf import settings
from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity import heartbeats, runs
from xdbrel.integrity.exceptions import BeingScanned, ScanTakenOver
from xdbrel.integrity.reading import ends, statement_time
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.runs import RunState
from xdbrel.integrity.scan import AUTO, ScanResult, Work, announce, open_run, result_of
from xdbrel.integrity.scanning import claims, holders, leases
from xdbrel.integrity.scanning.throttle import Throttle
from xdbrel.models import ScanRange, ScanRun
from xdbrel.query import statistics
from xdbrel.relations import Relation
from xdbrel.tracing import watched

#: The most ranges of one run: each has a row, and costs a few statements.
MOST_RANGES = 64


@dataclass(frozen=True)
class Share:
    """What one worker leaves: how far the run is, and whether a range of it is nobody's."""

    state: RunState
    left: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, as JSON shows them."""
        return {**self.state.as_dict(), "left": self.left}


@watched("scan")
def start(
    relation: Relation,
    *,
    send: Callable[[int], Any],
    mode: str = AUTO,
    strategy: str | None = None,
    seconds: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
) -> ScanResult:
    """Begin a scan of ``relation``, or go on with one that was cut short.

    One that has a single range is scanned here, for at most so many ``seconds``. Of a larger
    one the ranges are handed out: ``send`` is called with the run's primary key for each,
    and the result says ``running``. Raises what ``scan.scan`` does.
    """
    source, target = ends.of(relation)
    holder = holders.name()
    started = time.perf_counter()
    with uncached():
        run = open_run(
            source,
            target,
            holder,
            mode=mode,
            strategy=strategy,
            parts=lambda strategy: number_of_ranges(source, target, strategy),
        )
        pending = _pending(run).count()
        if pending == 1:
            throttle = Throttle.from_settings(source, target)
            work = Work(run, throttle, stop=_noting(seconds, stop))
            run = work.scan_alone(source, target, holder, started)
            pending = 1 if run.status == ScanRun.Status.RUNNING else 0
    for _ in range(pending):
        send(run.pk)
    return result_of(run)


@watched("scan_range")
def take_part(
    pk: int,
    *,
    seconds: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
    interrupts: tuple[type[Exception], ...] = (),
) -> Share | None:
    """Scan ranges of the run of that primary key until none is left that is nobody's.

    After so many ``seconds``, or once ``stop`` says so, the range is given back at its
    position. None where the run is over. What fails is raised; the range is tried again
    later, by whoever comes, as often as ``XDBREL["MAX_ATTEMPTS"]`` says. Errors of the kind
    ``interrupts`` say that the process's own time is over: the range is anybody's at once.
    """
    stopping = _noting(seconds, stop)
    holder = holders.name()
    using = settings.INTEGRITY_DATABASE
    with uncached():
        run = ScanRun.objects.using(using).filter(pk=pk, status=ScanRun.Status.RUNNING).first()
        if run is None:
            return None
        relation = relations.get(run.relation)
        if not _join(run, holder):
            return None
        source, target = ends.of(relation)
        throttle = Throttle.from_settings(source, target)
        work = Work(run, throttle, stop=stopping, counts=True, interrupts=interrupts)
        with statement_time.bounded(source, target):
            ended = None
            while (claim := claims.claim(run, holder, source, target)) is not None:
                try:
                    if not work.scan(claim):
                        break
                except ScanTakenOver:
                    # Who has it now goes on with it.
                    continue
                except Exception:
                    _announce_end(run, relation)
                    raise
                ended = runs.complete(claim, seconds=None)
        if ended is not None:
            announce(ended, relation)
        else:
            _announce_end(run, relation)
        return Share(runs.state(run), bool(_idle(run)))


def idle() -> dict[int, int]:
    """Return, for each run that is not over, how many of its ranges are nobody's."""
    using = settings.INTEGRITY_DATABASE
    with uncached():
        running = ScanRun.objects.using(using).filter(status=ScanRun.Status.RUNNING)
        found = {}
        for run in running.exclude(mode=ScanRun.Mode.SAMPLE):
            try:
                relation = relations.get(run.relation)
            except UnknownRelation:
                continue
            if not _pending(run).exists():
                # Whoever finished the last range died before it could say so.
                _announce_end(run, relation)
                continue
            number = _idle(run)
            if number:
                found[run.pk] = number
        return found


def number_of_ranges(source: End, target: End, strategy: str) -> int:
    """Return into how many ranges a scan is split.

    By what it has to read: the targets where it looks for their gaps, else the larger of
    the two. 1 where nobody knows.
    """
    ends_read = [target] if strategy == "gaps" else [source, target]
    rows = [statistics.rows(end.model, end.using) or 0 for end in ends_read]
    return max(1, min(MOST_RANGES, max(rows) // settings.SCAN_RANGE_ROWS))


def _noting(seconds: float, stop: Callable[[], bool]) -> Callable[[], bool]:
    """Return what is asked after each step whether time is over, and notes that work is done."""
    until = time.monotonic() + seconds

    def is_over() -> bool:
        heartbeats.beat("scan")
        return stop() or time.monotonic() >= until

    return is_over


def _join(run: ScanRun, holder: str) -> bool:
    """Take part in the run's lease; False if the run is over.

    It is, as failed, where another run has the lease.
    """
    using = run._state.db or settings.INTEGRITY_DATABASE
    if leases.renew(run, holder, using=using):
        return True
    try:
        known = leases.check(run.relation, using=using)
        if known is None or known.run_id == run.pk:
            leases.take(run, holder, known, using=using)
            if (
                ScanRun.objects.using(using)
                .filter(pk=run.pk, status=ScanRun.Status.RUNNING)
                .exists()
            ):
                return True
            # It ended meanwhile, and gave its lease up before this one was taken.
            leases.give_up(run, using=using)
            return False
    except BeingScanned:
        pass
    runs.fail(run, "Another scan of the relation was begun anew", seconds=0.0)
    return False


def _announce_end(run: ScanRun, relation: Relation) -> None:
    ended = runs.settle(run)
    if ended is not None:
        announce(ended, relation)


def _pending(run: ScanRun) -> Any:
    return ScanRange.objects.using(run._state.db).filter(
        run_id=run.pk, status=ScanRange.Status.PENDING
    )


def _idle(run: ScanRun) -> int:
    """Return how many ranges are nobody's, or those of processes that are known to have died."""
    now = clock.now(run._state.db or settings.INTEGRITY_DATABASE)
    free = _pending(run).filter(Q(until__isnull=True) | Q(until__lte=now)).count()
    held = _pending(run).filter(until__gt=now).exclude(claimed_by="")
    return int(free) + sum(map(holders.has_died, held.values_list("claimed_by", flat=True)))
