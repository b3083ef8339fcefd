"""One scan of one relation at a time: the lease row that decides it.

A lease belongs to a run, not to a process: all who work at the run renew it, and it goes
when the run ends. One that expired, or whose holders are processes that died, may be taken
over. Times are those of the database that the lease stands in.
"""

from __future__ import annotations

from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Q

from xdbrel.cascade import clock
from xdbrel.conf import settings
from xdbrel.integrity.exceptions import BeingScanned
from xdbrel.integrity.scanning import holders
from xdbrel.models import ScanLease, ScanRange, ScanRun


def check(relation: str, *, using: str) -> ScanLease | None:
    """Return the relation's lease if it may be taken over, None where there is none.

    Raises ``BeingScanned`` where somebody holds it.
    """
    lease = ScanLease.objects.using(using).annotate(expired=_expired(using)).filter(pk=relation)
    found: Any = lease.first()
    if found is not None and not found.expired and not _abandoned(found, using):
        raise BeingScanned(relation, found.run_id, holders.shown(found.claimed_by), found.until)
    return found  # type: ignore[no-any-return]


def take(run: ScanRun, holder: str, known: ScanLease | None, *, using: str) -> bool:
    """Make ``run`` the one that its relation is scanned by; False if another was faster.

    ``known`` is what ``check`` returned. May raise ``IntegrityError`` for the same reason.
    """
    until = clock.now(using, plus=settings.SCAN_LEASE_SECONDS)
    leases = ScanLease.objects.using(using)
    if known is None:
        leases.create(relation=run.relation, run=run, claimed_by=holder, until=until)
        return True
    unchanged = leases.filter(pk=run.relation, claimed_by=known.claimed_by, until=known.until)
    return bool(unchanged.update(run=run, claimed_by=holder, until=until))


def renew(run: ScanRun, holder: str, *, using: str) -> bool:
    """Extend the lease of ``run``; False if the relation is scanned by another run now."""
    until = clock.now(using, plus=settings.SCAN_LEASE_SECONDS)
    lease = ScanLease.objects.using(using).filter(pk=run.relation, run_id=run.pk)
    return bool(lease.update(until=until, claimed_by=holder))


def give_up(run: ScanRun, *, using: str) -> None:
    """Let the relation be anybody's again."""
    ScanLease.objects.using(using).filter(pk=run.relation, run_id=run.pk)._raw_delete(using)


def _abandoned(lease: ScanLease, using: str) -> bool:
    """Tell whether all who held the run or a part of it are processes that died."""
    if not holders.has_died(lease.claimed_by):
        return False
    held = ScanRange.objects.using(using).filter(run_id=lease.run_id, until__gt=clock.now(using))
    parts = held.exclude(claimed_by="").values_list("claimed_by", flat=True)
    return all(holders.has_died(holder) for holder in parts)


def _expired(using: str) -> Any:
    return ExpressionWrapper(Q(until__lte=clock.now(using)), BooleanField())
