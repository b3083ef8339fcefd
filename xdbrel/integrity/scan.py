"""Scanning one relation for orphans.

Owns the run from its first row to its last: which strategy, the second look, the
findings and the signal. How keys are found is in ``strategies``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError

from xdbrel.caching import uncached
from xdbrel.integrity import ends, findings, planner, targets
from xdbrel.integrity.ends import End
from xdbrel.integrity.ranges import KeyRange
from xdbrel.integrity.strategies import STRATEGIES
from xdbrel.models import ScanRun
from xdbrel.relations import Relation
from xdbrel.signals import orphans_found

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a scan is: keys looked at, and orphaned ones among them, so far."""

    relation: str
    seen: int
    distinct_keys: int


@dataclass(frozen=True)
class ScanResult:
    """What a scan found: ``orphans`` are rows, ``distinct_keys`` the keys that they hold."""

    relation: str
    source_alias: str
    target_alias: str
    strategy: str
    orphans: int
    distinct_keys: int
    seconds: float
    run_id: int

    def as_dict(self) -> dict[str, Any]:
        """Return what commands and tasks hand out as JSON."""
        return {
            "relation": self.relation,
            "source_alias": self.source_alias,
            "target_alias": self.target_alias,
            "strategy": self.strategy,
            "orphans": self.orphans,
            "distinct_keys": self.distinct_keys,
            "seconds": self.seconds,
        }


def scan(
    relation: Relation,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    strategy: str | None = None,
) -> ScanResult:
    """Find the orphans of ``relation`` and record them as a ``ScanRun`` with its findings.

    Both ends are read at their homes, past any cache, in bounded memory. ``strategy`` is
    the planner's choice unless it is named; ``on_progress`` is called after every step.
    Sends ``orphans_found`` where there are any. A scan that raises leaves its run marked
    as failed, with the error.

    Raises ``UnknownStrategy``, ``UnsuitableStrategy`` and what the databases raise.
    """
    source, target = ends.of(relation)
    with uncached():
        if strategy is None:
            strategy = planner.choose(source, target).strategy
        else:
            planner.validate(strategy, source, target)
        started = time.perf_counter()
        run = findings.start(source, target, strategy)
        seen = orphans = distinct_keys = 0
        with _failure_recorded(run):
            for batch in STRATEGIES[strategy](source, target, KeyRange()):
                seen += batch.seen
                confirmed = _look_again(target, batch.found)
                if confirmed:
                    findings.add(run, target, confirmed)
                    distinct_keys += len(confirmed)
                    orphans += sum(confirmed.values())
                if on_progress is not None:
                    on_progress(Progress(relation.handle, seen, distinct_keys))
            seconds = round(time.perf_counter() - started, 6)
            findings.finish(run, seconds=seconds, orphans=orphans, distinct_keys=distinct_keys)
    logger.info(
        "Scanned %s: %s orphans with %s distinct keys",
        relation.handle,
        orphans,
        distinct_keys,
        extra={"action": "scan", "relation": relation.handle, "alias": source.using},
    )
    if orphans:
        orphans_found.send_robust(
            sender=relation.source,
            relation=relation.handle,
            run=run,
            orphans=orphans,
            distinct_keys=distinct_keys,
        )
    return ScanResult(
        relation=relation.handle,
        source_alias=source.using,
        target_alias=target.using,
        strategy=strategy,
        orphans=orphans,
        distinct_keys=distinct_keys,
        seconds=seconds,
        run_id=run.pk,
    )


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
def _failure_recorded(run: ScanRun) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        try:
            findings.fail(run, error)
        except DatabaseError:
            # The findings' own database may be what failed: the first error counts.
            logger.exception(
                "The failed scan of %s could not be recorded",
                run.relation,
                extra={"action": "scan", "relation": run.relation, "alias": run._state.db},
            )
        raise
