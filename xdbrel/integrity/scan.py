"""Scanning one relation for orphans, by one process.

Owns what is done with what a strategy finds: the second look, recording, the signal. How
keys are found is in ``strategies``, what a run is in ``runs``, several workers at one run
in ``sharing``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError

from xdbrel.caching import uncached
from xdbrel.integrity import runs
from xdbrel.integrity.exceptions import ScanIncomplete
from xdbrel.integrity.reading import ends, statement_time, targets
from xdbrel.integrity.reading import ranges as key_ranges
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning import claims, holders, incremental, leases, planner
from xdbrel.integrity.scanning.claims import Claim
from xdbrel.integrity.scanning.strategies import STRATEGIES, Batch
from xdbrel.integrity.scanning.throttle import Throttle
from xdbrel.models import ScanRun
from xdbrel.relations import Relation
from xdbrel.signals import orphans_found
from xdbrel.tracing import watched

logger = logging.getLogger(__name__)

Mode = ScanRun.Mode

#: The mode by which each relation is scanned as its last runs ask for.
AUTO = "auto"


@dataclass(frozen=True)
class Progress:
    """How far a scan is: keys looked at, and orphaned ones among them, so far."""

    relation: str
    seen: int
    distinct_keys: int


@dataclass(frozen=True)
class ScanResult:
    """What a scan found: ``orphans`` are rows, ``distinct_keys`` the keys that they hold.

    ``status`` is that of the run: ``complete``, or ``running`` where other processes scan
    ranges of it still. ``resumed`` is how often the run had been cut short.
    """

    relation: str
    source_alias: str
    target_alias: str
    strategy: str
    orphans: int
    distinct_keys: int
    seconds: float
    run_id: int
    mode: str = Mode.FULL.value
    reason: str = ""
    status: str = ScanRun.Status.COMPLETE.value
    resumed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return what commands and tasks hand out as JSON."""
        return {
            "relation": self.relation,
            "run": self.run_id,
            "mode": self.mode,
            "status": self.status,
            "source_alias": self.source_alias,
            "target_alias": self.target_alias,
            "strategy": self.strategy,
            "reason": self.reason,
            "orphans": self.orphans,
            "distinct_keys": self.distinct_keys,
            "resumed": self.resumed,
            "seconds": self.seconds,
        }


def result_of(run: ScanRun) -> ScanResult:
    """Return what is known of a run as a result."""
    return ScanResult(
        relation=run.relation,
        source_alias=run.source_alias,
        target_alias=run.target_alias,
        strategy=run.strategy,
        orphans=run.orphans,
        distinct_keys=run.distinct_keys,
        seconds=run.seconds or 0.0,
        run_id=run.pk,
        mode=str(run.mode),
        reason=run.reason,
        status=str(run.status),
        resumed=run.resumed,
    )


@watched("scan")
def scan(
    relation: Relation,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    strategy: str | None = None,
    mode: str = Mode.FULL,
    fresh: bool = False,
    throttle: Throttle | None = None,
) -> ScanResult:
    """Find the orphans of ``relation`` and record them as a ``ScanRun`` with its findings.

    Both ends are read at their homes, past any cache, in bounded memory. A run that was cut
    short is gone on with, unless ``fresh`` is asked for. ``strategy`` is the planner's
    choice unless it is named. ``mode`` is ``"full"``, ``"incremental"`` (what has changed,
    where that is known; see ``incremental``) or ``"auto"``, which of the two is due.
    ``throttle`` says how much load may be put on the databases; ``on_progress`` is called
    after every step. Sends ``orphans_found`` where there are any. A scan that raises leaves
    its run marked as failed, with the error and its position.

    Raises ``BeingScanned``, ``UnknownStrategy``, ``UnsuitableStrategy``, ``ScanTakenOver``,
    ``ScanIncomplete`` and what the databases raise.
    """
    source, target = ends.of(relation)
    holder = holders.name()
    started = time.perf_counter()
    with uncached():
        run = open_run(source, target, holder, mode=mode, strategy=strategy, fresh=fresh)
        work = Work(run, throttle or Throttle.from_settings(source, target), on_progress)
        run = work.scan_alone(source, target, holder, started)
    return result_of(run)


def open_run(
    source: End,
    target: End,
    holder: str,
    *,
    mode: str = Mode.FULL,
    strategy: str | None = None,
    fresh: bool = False,
    parts: Callable[[str], int] | None = None,
) -> ScanRun:
    """Return the run to work at, its lease taken: one that was cut short, or a new one.

    ``parts`` tells, for a strategy, into how many ranges a new run is split; it is given
    where workers share runs.
    """
    if strategy is not None:
        planner.validate(strategy, source, target)
    base, why_full = None, ""
    horizon = incremental.horizon(source, target)
    if mode == AUTO and incremental.full_is_due(source, target):
        mode = Mode.FULL
    if mode in (AUTO, Mode.INCREMENTAL):
        base, why_full = incremental.base(source, target, horizon)
        mode = Mode.INCREMENTAL if base is not None else Mode.FULL
    if not fresh:
        cut_short = runs.unfinished(source, target, mode, strategy=strategy)
        if cut_short is not None and (cut_short.strategy in STRATEGIES or base is not None):
            resumed = runs.resume(cut_short, holder, forgive=parts is None)
            if resumed is not None:
                return resumed
    if base is not None:
        plan = runs.Plan(
            mode=Mode.INCREMENTAL,
            strategy=incremental.NAME,
            reason=f"changes since run {base.pk}",
            ranges=[KeyRange()],
            horizon=horizon,
            base=base.pk,
        )
        return runs.begin(source, target, plan, holder)
    if strategy is None:
        choice = planner.choose(source, target)
    else:
        choice = planner.Choice(strategy, "it was asked for by name")
    number = 1 if parts is None else parts(choice.strategy)
    if number > 1:
        split = key_ranges.split(source, target, number, strategy=choice.strategy)
    else:
        split = [KeyRange()]
    plan = runs.Plan(
        mode=Mode.FULL,
        strategy=choice.strategy,
        reason=f"{choice.reason}; full, since {why_full}" if why_full else choice.reason,
        ranges=split,
        horizon=horizon,
    )
    return runs.begin(source, target, plan, holder)


class Work:
    """What one process does at one run, range after range.

    ``stop`` is asked after every step; once it says yes the range is given back.
    """

    def __init__(
        self,
        run: ScanRun,
        throttle: Throttle,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
        counts: bool = False,
        interrupts: tuple[type[Exception], ...] = (),
    ) -> None:
        self.run = run
        self.throttle = throttle
        self.on_progress = on_progress
        self.stop = stop
        #: Whether a range that fails is tried a limited number of times.
        self.counts = counts
        #: Errors that are nobody's fault once a range has moved on: the process's time is over.
        self.interrupts = interrupts
        self.before = (run.seen, run.distinct_keys)

    def scan_alone(self, source: End, target: End, holder: str, started: float) -> ScanRun:
        """Scan all ranges of the run that are nobody's, and return the run as it is then.

        ``started`` is when that began, on ``time.perf_counter``. A failure fails the run.
        """
        ended: ScanRun | None = None
        with _failure_recorded(self.run, started), statement_time.bounded(source, target):
            while (claim := claims.claim(self.run, holder, source, target)) is not None:
                if not self.scan(claim):
                    leases.give_up(self.run, using=claim.using)
                    break
                ended = runs.complete(claim, seconds=time.perf_counter() - started)
                if ended is not None:
                    break
            else:
                ended = runs.settle(self.run)
        if ended is None:
            self.run.refresh_from_db()
            return self.run
        announce(ended, source.relation)
        if ended.status != ScanRun.Status.COMPLETE:
            raise ScanIncomplete(ended.relation, ended.pk, ended.last_error)
        return ended

    def scan(self, claim: Claim) -> bool:
        """Scan a claimed range to its end; False if it was given back before."""
        try:
            with closing(_batches(claim, self.throttle.readers())) as batches:
                if not all(self._step(claim, batch) for batch in batches):
                    claim.release()
                    return False
        except BaseException as error:
            self._give_back(claim, error)
            raise
        seen, distinct_keys = self.before
        self.before = (seen + claim.seen, distinct_keys + claim.distinct_keys)
        return True

    def _step(self, claim: Claim, batch: Batch) -> bool:
        """Record what a step has found; False where the scan is to end here."""
        claim.saw(batch.seen)
        claim.record(_look_again(claim.target, batch.found))
        if batch.upto is not None:
            claim.reached(batch.upto)
        self._tell(claim)
        claim.keep()
        self.throttle.rest(batch.seen, found=bool(batch.found), keep=claim.keep, stop=self.stop)
        return not self.stop()

    def _tell(self, claim: Claim) -> None:
        if self.on_progress is not None:
            seen, distinct_keys = self.before
            self.on_progress(
                Progress(self.run.relation, seen + claim.seen, distinct_keys + claim.distinct_keys)
            )

    def _give_back(self, claim: Claim, error: BaseException) -> None:
        try:
            # To be interrupted is no fault of the range's; to be so at its first step may be.
            interrupted = isinstance(error, self.interrupts) and claim.moved
            at_fault = isinstance(error, Exception) and not interrupted
            claim.release(error, counts=self.counts and at_fault)
        except Exception:
            # What went wrong before counts; the range is free when its lease expires.
            logger.exception(
                "A range of the scan of %s could not be given back",
                self.run.relation,
                extra={"action": "scan", "relation": self.run.relation, "alias": claim.using},
            )


def announce(run: ScanRun, relation: Relation) -> None:
    """Log that a run has ended, and send ``orphans_found`` where there are any."""
    extra = {"action": "scan", "relation": run.relation, "alias": run.source_alias}
    if run.status != ScanRun.Status.COMPLETE:
        logger.error("The scan of %s failed: %s", run.relation, run.last_error, extra=extra)
        return
    logger.info(
        "Scanned %s: %s orphans with %s distinct keys",
        run.relation,
        run.orphans,
        run.distinct_keys,
        extra=extra,
    )
    if run.orphans:
        orphans_found.send_robust(
            sender=relation.source,
            relation=run.relation,
            run=run,
            orphans=run.orphans,
            distinct_keys=run.distinct_keys,
        )


def _batches(claim: Claim, readers: int) -> Generator[Batch, None, None]:
    if claim.run.mode == Mode.INCREMENTAL:
        return incremental.batches(claim.run, claim.source, claim.target)
    strategy = STRATEGIES[claim.run.strategy]
    return strategy(claim.source, claim.target, claim.within, readers)


def _look_again(target: End, found: Mapping[Any, int]) -> Mapping[Any, int]:
    """Return the candidates that are still without a target.

    Source and target were read one after the other: a target inserted in between, with
    a source that points at it, looks like an orphan that it is not.
    """
    if not found:
        return found
    absent = targets.missing(target, list(found))
    if len(absent) == len(found):
        return found
    return {key: found[key] for key in absent}


@contextmanager
def _failure_recorded(run: ScanRun, started: float) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        try:
            runs.fail(run, error, seconds=time.perf_counter() - started)
        except DatabaseError:
            # The findings' own database may be what failed: the first error counts.
            logger.exception(
                "The failed scan of %s could not be recorded",
                run.relation,
                extra={"action": "scan", "relation": run.relation, "alias": run._state.db},
            )
        raise
