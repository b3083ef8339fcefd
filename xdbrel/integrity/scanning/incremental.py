"""Looking first at what has changed since the last scan.

Changed are targets whose deletion an intent tells of, and sources that were inserted since.
What goes past both (targets deleted where nobody captures, sources whose key was changed)
is found by the full scan that follows at a longer interval. The findings of the run that
came before are looked at again, so that an incremental run's are complete as well: whatever
is done about the latest run's findings needs nothing else.
"""

from __future__ import annotations

import datetime
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from django.db import DatabaseError, models, router
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from xdbrel import keys
from xdbrel.cascade import clock
from xdbrel.cascade.horizon import oldest_transaction, unseen
from xdbrel.conf import settings
from xdbrel.integrity.reading import sources, targets
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.scanning import findings
from xdbrel.integrity.scanning.strategies import Batch
from xdbrel.models import CascadeIntent, ScanRun

#: What such a run has for a strategy.
NAME = "changes"

#: With more findings than this, looking at all of them again is no less than a full scan.
MOST_KNOWN = 100_000

#: How many earlier runs are asked for a horizon.
REMEMBERED = 20

#: With more new sources than this, by their numbers, a full scan is no slower.
MOST_NEW = 1_000_000

#: By so much the clocks of those who date intents may differ.
SKEW = datetime.timedelta(minutes=5)

#: So long before intents are pruned they are not relied upon any more.
MARGIN = datetime.timedelta(hours=1)

Mode = ScanRun.Mode


def full_is_due(source: End, target: End) -> bool:
    """Tell whether the last full scan is older than ``XDBREL["FULL_SCAN_INTERVAL_SECONDS"]``."""
    since = timezone.now() - datetime.timedelta(seconds=settings.FULL_SCAN_INTERVAL_SECONDS)
    return not _complete(source, target).filter(mode=Mode.FULL, started_at__gt=since).exists()


def base(source: End, target: End, now: Mapping[str, Any] | None) -> tuple[ScanRun | None, str]:
    """Return the run that an incremental one may build on, or None and why there is none.

    ``now`` is the new one's own horizon.
    """
    run = _complete(source, target).filter(mode__in=[Mode.FULL, Mode.INCREMENTAL]).first()
    if run is None:
        return None, "there is no complete scan to build on"
    if now is None:
        return None, f"{source.model._meta.label} has no primary key that tells what is new"
    if run.horizon is None or run.horizon.get("safe") is None:
        return None, f"transactions were open when run {run.pk} began"
    if now["pk"] - run.horizon["safe"] > MOST_NEW:
        return None, f"there are more than {MOST_NEW} new sources since run {run.pk}"
    if run.distinct_keys > MOST_KNOWN:
        return None, f"run {run.pk} has more than {MOST_KNOWN} findings"
    kept = datetime.timedelta(days=settings.KEEP_APPLIED_DAYS) - MARGIN
    if run.started_at < timezone.now() - kept:
        return None, f"run {run.pk} is older than the intents that are kept"
    return run, ""


def horizon(source: End, target: End) -> dict[str, Any] | None:
    """Return what the next incremental scan begins with, as of now; before a scan reads.

    ``pk`` is the highest primary key among the sources ``at`` this time. Ids are given before
    rows are committed, so one below may turn up later, from a transaction that is open now.
    ``safe`` is the highest below which none can: a mark that was made before the oldest open
    transaction began. ``intents`` is the time from which intents are new, by the clock of
    the targets' database and as long ago as its oldest transaction: they too are
    dated before they are committed. None where the database gives sources no number, and where
    one does not answer: the scan will say so.
    """
    if not _goes_by_number(source):
        return None
    try:
        return _horizon_of(source, target)
    except DatabaseError:
        return None


def _horizon_of(source: End, target: End) -> dict[str, Any]:
    last = source.model._base_manager.using(source.using).order_by("-pk")
    highest = last.values_list("pk", flat=True).first() or 0
    # Asked after the mark was made: whoever holds an id below it and has not committed is
    # still there to be seen, and began before this time.
    at = clock.read(source.using)
    age = _oldest(source.using)
    began = at - datetime.timedelta(seconds=age)
    safe: int | None = highest if not age else _mark_before(began, source, target)
    since = clock.read(target.using) - SKEW
    since -= datetime.timedelta(seconds=_oldest(target.using))
    return {
        "at": at.isoformat(),
        "pk": highest,
        "safe": safe,
        "intents": since.isoformat(),
    }


def batches(run: ScanRun, source: End, target: End) -> Generator[Batch, None, None]:
    """Yield, in batches as a strategy does, the orphans among what has changed since the base.

    Each key once. There is no position: who is cut short begins anew.
    """
    before = ScanRun.objects.using(run._state.db).get(pk=run.base_id or 0)
    told: set[Any] = set()
    for wanted in keys.chunks(_changed(before, source, target), source.chunk_size()):
        new = [key for key in dict.fromkeys(wanted) if key not in told]
        absent = targets.missing(target, new)
        found = sources.count(source, absent) if absent else {}
        told.update(found)
        yield Batch(len(wanted), found)


def _changed(before: ScanRun, source: End, target: End) -> Iterator[Any]:
    for page in findings.of(before, target.chunk_size()):
        yield from keys.decode_any((key for key, _ in page), target.field)
    yield from _deleted(before, source, target)
    yield from _inserted(before, source)


def _deleted(before: ScanRun, source: End, target: End) -> Iterator[Any]:
    """Yield keys of targets that intents say are gone, or have another key."""
    if not router.allow_migrate_model(target.using, CascadeIntent):
        return
    since = parse_datetime(_begun_with(before)["intents"])
    told = CascadeIntent.objects.using(target.using).filter(
        relation=source.relation.handle, created_at__gte=since
    )
    last = 0
    while True:
        rows = list(
            told.filter(pk__gt=last).order_by("pk").values_list("pk", "keys")[: sources.RANGES]
        )
        if not rows:
            return
        for _, encoded in rows:
            yield from keys.decode(encoded, target.field)
        last = rows[-1][0]


def _inserted(before: ScanRun, source: End) -> Iterator[Any]:
    """Yield the keys of sources above the horizon, in the order of their primary key."""
    last: int = _begun_with(before)["safe"]
    rows = source.rows()
    while True:
        page: list[Any] = list(
            rows.filter(pk__gt=last)
            .order_by("pk")
            .values_list("pk", source.attname)[: sources.PAGE]
        )
        yield from dict.fromkeys(source.told(key for _, key in page))
        if len(page) < sources.PAGE:
            return
        last = page[-1][0]


def _oldest(using: str) -> float:
    """Return the age of the oldest transaction that is open, or may be and is not shown."""
    return max(oldest_transaction(using), unseen(using))


def _mark_before(began: datetime.datetime, source: End, target: End) -> int | None:
    """Return the highest mark of an earlier run that was made before ``began``."""
    marks: Iterable[Mapping[str, Any]] = (
        _complete(source, target)
        .filter(horizon__isnull=False)
        .values_list("horizon", flat=True)[:REMEMBERED]
    )
    safe: list[int] = []
    for mark in marks:
        at = parse_datetime(mark["at"])
        if at is not None and at < began:
            safe.append(mark["pk"])
        if mark["safe"] is not None:
            safe.append(mark["safe"])
    return max(safe, default=None)


def _complete(source: End, target: End) -> Any:
    return (
        ScanRun.objects.using(settings.INTEGRITY_DATABASE)
        .filter(
            relation=source.relation.handle,
            source_alias=source.using,
            target_alias=target.using,
            status=ScanRun.Status.COMPLETE,
        )
        .order_by("-pk")
    )


def _begun_with(run: ScanRun) -> Mapping[str, Any]:
    return run.horizon or {}


def _goes_by_number(source: End) -> bool:
    """Tell whether the sources' primary key is a number that the database gives."""
    meta = source.model._meta
    return len(meta.pk_fields) == 1 and isinstance(keys.key_field(meta.pk), models.AutoField)
