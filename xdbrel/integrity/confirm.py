"""The second look: findings are true once their time has come and they are still there.

A finding may be false for two reasons: the target was written by a transaction that had not
been committed when the scan looked, or the sources were about to follow their target. So
a run's findings are looked at again after ``XDBREL["CONFIRM_AFTER"]`` seconds, and not
before every transaction that was open at the target's home when the scan ended is over;
where that home lags behind a primary of its own, not before it has caught up. What has a
target again, or no source any more, is removed and counted as healed.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from xdbrel import keys, relations
from xdbrel.caching import uncached
from xdbrel.cascade.horizon import oldest_transaction
from xdbrel.conf import settings
from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity.reading import ends, sources, statement_time, targets
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.scanning import lag
from xdbrel.models import Orphan, ScanRun
from xdbrel.tracing import watched

logger = logging.getLogger(__name__)

Status = ScanRun.Status


@dataclass(frozen=True)
class ConfirmResult:
    """What a second look found: keys looked at, those that had healed, and what is left.

    ``confirmed`` tells whether the run's findings count from now on; ``waits_for`` why they
    do not yet. ``orphans`` and ``distinct_keys`` are the run's, without what healed.
    """

    relation: str
    run: int
    confirmed: bool
    waits_for: str
    looked_at: int
    healed: int
    orphans: int
    distinct_keys: int

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, as JSON shows them."""
        return asdict(self)


def due(run: ScanRun) -> bool:
    """Tell whether the findings of ``run`` may be confirmed now."""
    return run.confirmed_at is None and not waits_for(run)


def waits_for(run: ScanRun) -> str:
    """Return what the second look at a run waits for; "" where it waits for nothing."""
    if run.confirmed_at is not None:
        return ""
    if run.status != Status.COMPLETE or run.finished_at is None:
        return "the scan is not complete"
    now = timezone.now()
    # By default far more than a database takes to show a transaction (``horizon.unseen``).
    at = run.finished_at + datetime.timedelta(seconds=settings.CONFIRM_AFTER)
    if now < at:
        return f"its time has not come, {(at - now).total_seconds():.0f} seconds are left"
    # Of whoever was there when the scan ended, nobody may be left.
    since_then = (now - run.finished_at).total_seconds()
    age = oldest_transaction(run.target_alias)
    if age >= since_then:
        return (
            f"a transaction on {run.target_alias!r} is {age:.0f} seconds old and was open "
            f"while the scan ran"
        )
    behind = lag.behind(run.target_alias)
    if behind >= since_then:
        return f"{run.target_alias!r} lags {behind:.0f} seconds behind its primary"
    return ""


@watched("confirm")
def confirm(run: ScanRun) -> ConfirmResult:
    """Look at the findings of ``run`` a second time, if they are due.

    In batches, each in a transaction of its own: one that is cut short goes on where it was,
    and of two that run at once one gives way. ``run`` is updated.

    Raises ``UnknownRelation`` and what the databases raise.
    """
    relation = relations.get(run.relation)
    source, target = ends.of(relation)
    looked_at = healed = 0
    with uncached():
        run.refresh_from_db()
        waiting = waits_for(run)
        if run.confirmed_at is None and not waiting:
            with statement_time.bounded(source, target):
                for number, gone in _looks(run, source, target):
                    looked_at += number
                    healed += gone
            run.refresh_from_db()
            _log(run, looked_at, healed)
    return ConfirmResult(
        relation=run.relation,
        run=run.pk,
        confirmed=run.confirmed_at is not None,
        waits_for=waiting,
        looked_at=looked_at,
        healed=healed,
        orphans=run.orphans,
        distinct_keys=run.distinct_keys,
    )


def confirm_due() -> list[ConfirmResult]:
    """Confirm the latest run of each relation where it is due; return what came of it."""
    results = []
    with uncached():
        waiting = list(_unconfirmed())
    for run in waiting:
        try:
            results.append(confirm(run))
        except UnknownRelation:
            # The relation is gone from the code, and nobody repairs it any more.
            continue
    return results


def _unconfirmed() -> Iterator[ScanRun]:
    found = (
        ScanRun.objects.using(settings.INTEGRITY_DATABASE)
        .filter(status=Status.COMPLETE, confirmed_at__isnull=True)
        .exclude(mode=ScanRun.Mode.SAMPLE)
        .order_by("-pk")
    )
    told: set[str] = set()
    for run in found.iterator(chunk_size=100):
        if run.relation not in told:
            told.add(run.relation)
            yield run


def _looks(run: ScanRun, source: End, target: End) -> Iterator[tuple[int, int]]:
    """Look at the findings in batches; yield the size of each and how many had healed."""
    using = run._state.db or settings.INTEGRITY_DATABASE
    size = min(source.chunk_size(), target.chunk_size())
    last = run.confirmed_upto
    while True:
        rows = list(
            Orphan.objects.using(using)
            .filter(run_id=run.pk, pk__gt=last)
            .order_by("pk")
            .values_list("pk", "key", "sources")[:size]
        )
        decoded = keys.decode_any((key for _, key, _ in rows), target.field)
        held: Mapping[Any, int] = {}
        if rows:
            absent = targets.missing(target, decoded)
            held = sources.count(source, absent) if absent else {}
        healed = [row for row, key in zip(rows, decoded, strict=True) if key not in held]
        changed: dict[int, list[int]] = {}
        for (pk, _, number), key in zip(rows, decoded, strict=True):
            if key in held and held[key] != number:
                changed.setdefault(held[key], []).append(pk)
        before = sum(number for _, _, number in rows)
        values: dict[str, Any] = {
            "healed": F("healed") + len(healed),
            "distinct_keys": F("distinct_keys") - len(healed),
            "orphans": F("orphans") - before + sum(held.values()),
        }
        over = len(rows) < size
        if over:
            values["confirmed_at"] = timezone.now()
        upto = rows[-1][0] if rows else last
        with transaction.atomic(using=using):
            # Of two who are at it, whoever comes second finds another position.
            mine = ScanRun.objects.using(using).filter(
                pk=run.pk, confirmed_upto=last, confirmed_at__isnull=True
            )
            if not mine.update(confirmed_upto=upto, **values):
                return
            findings = Orphan.objects.using(using)
            for chunk in keys.chunks([pk for pk, _, _ in healed], _MOST_PKS):
                findings.filter(keys.KeyIn(F("pk"), chunk))._raw_delete(using)
            for number, pks in changed.items():
                for chunk in keys.chunks(pks, _MOST_PKS):
                    findings.filter(keys.KeyIn(F("pk"), chunk)).update(sources=number)
        yield len(rows), len(healed)
        if over:
            return
        last = upto


#: Primary keys of findings in one statement; below any backend's own limit.
_MOST_PKS = 500


def _log(run: ScanRun, looked_at: int, healed: int) -> None:
    logger.info(
        "Confirmed the scan of %s: %s of %s findings had healed",
        run.relation,
        healed,
        looked_at,
        extra={"action": "confirm", "relation": run.relation, "alias": run.target_alias},
    )
