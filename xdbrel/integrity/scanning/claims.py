"""A part of a run in the hands of one process: its range, claimed, scanned, given back.

What a step has found and how far the range is are written in one transaction, which fails
where somebody else has taken the range over meanwhile: killed at any instant, a scan
neither loses a finding nor has one twice. Runs as wholes are for ``runs``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, Case, ExpressionWrapper, F, Q, Subquery, Value, When
from django.db.models.functions import Coalesce

from xdbrel import keys
from xdbrel.cascade import clock
from xdbrel.conf import settings
from xdbrel.integrity.exceptions import ScanTakenOver
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning import findings, holders, leases
from xdbrel.models import Orphan, ScanRange, ScanRun

Status = ScanRange.Status

#: How long a position may be newer than the one recorded where nothing is found.
POSITION_SECONDS = 1.0

#: Longest delay, in seconds, before a range that failed is tried again.
LONGEST_DELAY = 600.0


@dataclass
class Claim:
    """A range that this process holds. ``seen`` and the others count what was done of it."""

    run: ScanRun
    pk: int
    number: int
    holder: str
    source: End
    target: End
    after: Any
    upto: Any
    seen: int = 0
    orphans: int = 0
    distinct_keys: int = 0
    #: Whether it is further by now than when it was claimed.
    moved: bool = False
    #: Values of the range's columns at a position that is not recorded yet.
    _position: dict[str, Any] = field(default_factory=dict)
    _recorded_at: float = field(default_factory=time.monotonic)
    _renewed_at: float = field(default_factory=time.monotonic)

    @property
    def within(self) -> KeyRange:
        """What is left of the range."""
        return KeyRange(self.after, self.upto)

    @property
    def using(self) -> str:
        return self.run._state.db or settings.INTEGRITY_DATABASE

    def saw(self, number: int) -> None:
        self.seen += number

    def reached(self, upto: Any) -> None:
        """Note that all orphans up to this key have been recorded; write it once in a while."""
        (encoded,) = keys.encode([upto], self.source.field)
        self.moved = True
        self._position = {"position": encoded, **self._counts()}
        if time.monotonic() - self._recorded_at >= POSITION_SECONDS:
            with transaction.atomic(using=self.using):
                self._write()

    def record(self, found: Mapping[Any, int]) -> None:
        """Record orphans, and with them the position from before them."""
        if not found:
            return
        with transaction.atomic(using=self.using):
            self._write()
            findings.add(self.run, self.target, found, part=self.number)
        self.distinct_keys += len(found)
        self.orphans += sum(found.values())

    def keep(self) -> None:
        """Renew range and lease in good time; raises ``ScanTakenOver``."""
        if time.monotonic() - self._renewed_at < settings.SCAN_LEASE_SECONDS / 4:
            return
        with transaction.atomic(using=self.using):
            self._write()
            if not leases.renew(self.run, self.holder, using=self.using):
                raise ScanTakenOver(self.run.relation, self.run.pk)
        self._renewed_at = time.monotonic()

    def complete(self) -> None:
        """Record that the range is done. To be called where the run is locked."""
        self._update(
            status=Status.COMPLETE,
            claimed_by="",
            until=None,
            last_error="",
            attempts=0,
            **self._counts(),
        )

    def release(self, error: BaseException | None = None, *, counts: bool = False) -> None:
        """Give the range back at its position; it is anybody's.

        An ``error`` that ``counts`` delays it, longer each time; after the last of
        ``XDBREL["MAX_ATTEMPTS"]`` the range is marked as failed.
        """
        values: dict[str, Any] = {
            "claimed_by": "",
            # Not null: somebody has begun, and may have left findings behind the position.
            "until": clock.now(self.using),
        }
        if error is not None:
            values["last_error"] = f"{type(error).__name__}: {error}"
        with transaction.atomic(using=self.using):
            if counts:
                self._write()
                rows = ScanRange.objects.using(self.using).filter(pk=self.pk)
                attempts = rows.values_list("attempts", flat=True).first() or 0
                last = When(attempts__gte=settings.MAX_ATTEMPTS - 1, then=Value(Status.FAILED))
                delay = min(LONGEST_DELAY, settings.RETRY_SECONDS * 2.0**attempts)
                values |= {
                    "status": Case(last, default=Value(Status.PENDING)),
                    "until": clock.now(self.using, plus=delay),
                    "attempts": F("attempts") + 1,
                }
                self._update(**values)
            else:
                self._write(**values)

    def _counts(self) -> dict[str, int]:
        return {
            "seen": self.seen,
            "orphans": self.orphans,
            "distinct_keys": self.distinct_keys,
        }

    def _write(self, **values: Any) -> None:
        """Write the position that is not recorded yet, if any; prove that the range is ours."""
        if self._position:
            last = Orphan.objects.using(self.using).order_by("-pk").values("pk")[:1]
            values = {
                "recorded": Coalesce(Subquery(last), Value(0)),
                # Whoever gets further is not what fails.
                "attempts": 0,
                **self._position,
                **values,
            }
        values.setdefault("until", clock.now(self.using, plus=settings.SCAN_LEASE_SECONDS))
        self._update(**values)
        self._position = {}
        self._recorded_at = time.monotonic()

    def _update(self, **values: Any) -> None:
        mine = ScanRange.objects.using(self.using).filter(
            pk=self.pk, claimed_by=self.holder, status=Status.PENDING
        )
        if not mine.update(**values):
            raise ScanTakenOver(self.run.relation, self.run.pk)


def claim(run: ScanRun, holder: str, source: End, target: End) -> Claim | None:
    """Claim the next range of ``run`` that is nobody's; None where there is none.

    What a step that was cut short has left behind the range's position is removed.
    """
    using = run._state.db or settings.INTEGRITY_DATABASE
    now = clock.now(using)
    over = ExpressionWrapper(Q(until__isnull=True) | Q(until__lte=now), BooleanField())
    pending = ScanRange.objects.using(using).filter(run_id=run.pk, status=Status.PENDING)
    for row in pending.annotate(over=over).order_by("number"):
        if row.claimed_by == holder:
            # As whoever begins a run of one range has it from the start.
            return _claim_of(row, run, holder, source, target)
        if not (row.over or (row.claimed_by and holders.has_died(row.claimed_by))):
            continue
        unchanged = pending.filter(pk=row.pk, claimed_by=row.claimed_by)
        unchanged = unchanged.filter(
            Q(until=row.until) if row.until is not None else Q(until__isnull=True)
        )
        if row.claimed_by and row.attempts + 1 >= settings.MAX_ATTEMPTS:
            unchanged.update(
                status=Status.FAILED,
                claimed_by="",
                attempts=F("attempts") + 1,
                last_error="The processes that scanned it died",
            )
            continue
        with transaction.atomic(using=using):
            taken = unchanged.update(
                claimed_by=holder,
                until=clock.now(using, plus=settings.SCAN_LEASE_SECONDS),
                # A process that died may have died of this range.
                attempts=F("attempts") + 1 if row.claimed_by else F("attempts"),
            )
            if not taken:
                continue
            if row.until is not None:
                stray = Orphan.objects.using(using).filter(run_id=run.pk, range=row.number)
                stray.filter(pk__gt=row.recorded)._raw_delete(using)
        return _claim_of(row, run, holder, source, target)
    return None


def _claim_of(row: ScanRange, run: ScanRun, holder: str, source: End, target: End) -> Claim:
    begin = row.after if row.position is None else row.position
    return Claim(
        run=run,
        pk=row.pk,
        number=row.number,
        holder=holder,
        source=source,
        target=target,
        after=_decoded(begin, source),
        upto=_decoded(row.upto, source),
        seen=row.seen,
        orphans=row.orphans,
        distinct_keys=row.distinct_keys,
    )


def _decoded(bound: Any, source: End) -> Any:
    return None if bound is None else keys.decode([bound], source.field)[0]
