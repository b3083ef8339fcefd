"""What has been found and done: the runs that repairs go by, and the pruning of the rest.

Owns which findings stand, and for how long rows of history are kept. Quarantined rows are
data and no history: nothing here touches them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, models
from django.db.models import Max, Q
from django.utils import timezone

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.compat import raw_delete
from xdbrel.conf import settings
from xdbrel.integrity.confirm import confirm
from xdbrel.integrity.exceptions import NoScan, NotConfirmed
from xdbrel.models import Orphan, RepairRun, ScanLease, ScanRun
from xdbrel.tracing import watched

logger = logging.getLogger(__name__)

Mode = ScanRun.Mode
Status = ScanRun.Status


def standing(relation: str) -> ScanRun:
    """Return the run whose findings stand: the latest complete one, full or incremental.

    An incremental run's findings are complete as well, since it looks at those before it
    again. A sample has none. Raises ``NoScan`` where there is no such run.
    """
    using = settings.INTEGRITY_DATABASE
    run = complete(using).filter(relation=relation).order_by("-started_at", "-id").first()
    if run is None:
        raise NoScan(relation, using)
    return run


def confirmed(run: ScanRun) -> ScanRun:
    """Return the run whose findings may be acted upon: ``run``, or the last confirmed before it.

    Where its time has come and nobody has looked a second time yet, that is done now. Raises
    ``NotConfirmed`` where no run of the relation is confirmed.
    """
    if run.confirmed_at is not None:
        return run
    looked = confirm(run)
    if looked.confirmed:
        return run
    before = complete(settings.INTEGRITY_DATABASE).filter(
        relation=run.relation, confirmed_at__isnull=False
    )
    found = before.order_by("-started_at", "-id").first()
    if found is None:
        reason = looked.waits_for or "somebody else is looking at them just now"
        raise NotConfirmed(run.relation, run.pk, reason)
    return found


def complete(using: str) -> models.QuerySet[ScanRun]:
    """Return the runs that came to their end and have findings."""
    runs = ScanRun.objects.using(using).filter(status=Status.COMPLETE)
    return runs.exclude(mode=Mode.SAMPLE)


def findings(run: ScanRun, *, after: int, size: int) -> Iterator[list[tuple[int, Any, int]]]:
    """Yield the run's findings behind ``after``, ``(id, encoded key, sources)``, in lists."""
    found = Orphan.objects.using(settings.INTEGRITY_DATABASE).filter(run_id=run.pk)
    while True:
        page = list(
            found.filter(id__gt=after).order_by("id").values_list("id", "key", "sources")[:size]
        )
        if page:
            yield page
        if len(page) < size:
            return
        after = page[-1][0]


@dataclass
class HistoryPruned:
    """How many rows of history were deleted, or would be in a dry run.

    ``unreachable`` is the error of a database that failed; what was deleted before is counted.
    """

    dry_run: bool = False
    runs: int = 0
    findings: int = 0
    repairs: int = 0
    unreachable: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return asdict(self)


@watched("prune_history")
def prune(*, older_than: float | None = None, dry_run: bool = False) -> HistoryPruned:
    """Delete runs, with their findings, and repairs that began so many days ago.

    ``older_than`` is ``XDBREL["KEEP_HISTORY_DAYS"]`` if not given. Kept whatever their age:
    the last complete runs (see ``standing``), what is being scanned or repaired just
    now, and quarantined rows. A dry run counts and deletes nothing. A database that fails is
    named in the result.
    """
    days = settings.KEEP_HISTORY_DAYS if older_than is None else older_than
    using = settings.INTEGRITY_DATABASE
    horizon = timezone.now() - timedelta(days=days)
    result = HistoryPruned(dry_run)
    try:
        with uncached():
            _prune(using, horizon, result)
    except Error as error:
        result.unreachable = f"{type(error).__name__}: {error}"
        logger.error(
            "The history in %s could not be pruned: %s",
            using,
            error,
            extra={"action": "prune_unreachable", "relation": None, "alias": using},
        )
        return result
    logger.info(
        "Pruned %s runs, %s findings and %s repairs of more than %g days ago",
        result.runs,
        result.findings,
        result.repairs,
        days,
        extra={"action": "prune_history", "relation": None, "alias": using},
    )
    return result


def _prune(using: str, horizon: datetime, result: HistoryPruned) -> None:
    old = ScanRun.objects.using(using).filter(started_at__lt=horizon)
    kept = _kept(old.order_by().values_list("relation", flat=True).distinct())
    for pk in list(old.exclude(pk__in=kept).order_by("id").values_list("pk", flat=True)):
        result.findings += _findings_of(pk, using, dry_run=result.dry_run)
        if not result.dry_run:
            ScanRun.objects.using(using).filter(pk=pk).delete()
        result.runs += 1
    repairs = RepairRun.objects.using(using).filter(
        Q(until=None) | Q(until__lt=timezone.now()), started_at__lt=horizon
    )
    result.repairs = repairs.count() if result.dry_run else repairs.delete()[0]


def _kept(relations: models.QuerySet[Any, str]) -> set[int]:
    """Return the runs of these relations that stand, or are held by somebody.

    The last complete one of each kind: incremental runs build on them.
    """
    using = settings.INTEGRITY_DATABASE
    kept = set(ScanLease.objects.using(using).values_list("run_id", flat=True))
    last = complete(using).filter(relation__in=list(relations)).order_by()
    kept.update(
        newest for _, _, newest in last.values_list("relation", "mode").annotate(newest=Max("id"))
    )
    return kept


def _findings_of(run: int, using: str, *, dry_run: bool) -> int:
    """Delete or count a run's findings, in bounded statements: there may be millions."""
    found = Orphan.objects.using(using).filter(run_id=run)
    if dry_run:
        return found.count()
    size = keys.chunk_size(using, Orphan._meta.pk)
    deleted = 0
    while True:
        last = found.order_by("id").values_list("id", flat=True)[size - 1 : size].first()
        deleted += raw_delete(found if last is None else found.filter(id__lte=last), using)
        if last is None:
            return deleted
