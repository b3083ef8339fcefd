"""The durable row of a move, and whose it is; its batches.

Owns how a move is begun, taken up again, kept and ended. All of it stands in the database
that the rows leave: what was removed is written down in the very transaction that removes it,
and what is about to be copied is written down before.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import IntegrityError, models, transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils import timezone

from xdbrel.cascade import clock
from xdbrel.conf import settings
from xdbrel.integrity.repairing.audit import default_actor
from xdbrel.integrity.scanning import holders
from xdbrel.models import MoveBatch, MoveRun
from xdbrel.moving.exceptions import MoveUnderWay, MoveUnfinished, NoMove
from xdbrel.moving.parts import Part
from xdbrel.moving.plan import Plan

Status = MoveRun.Status
BatchStatus = MoveBatch.Status

#: What a move is while it is neither finished nor abandoned.
UNFINISHED = (Status.COPYING, Status.KEPT, Status.REMOVING)
#: What a batch is whose rows are at the source still.
AT_BOTH = (BatchStatus.COPYING, BatchStatus.COPIED, BatchStatus.VERIFIED)


@dataclass
class Record:
    """One move's row, held by this process."""

    row: MoveRun
    holder: str
    using: str
    #: Whether an earlier call has begun it.
    resumed: bool
    began: float = field(default_factory=time.perf_counter)
    _renewed: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long the move has taken, earlier calls included."""
        return (self.row.seconds or 0.0) + time.perf_counter() - self.began

    def keep(self, *, always: bool = False, **values: Any) -> None:
        """Renew the claim; raises ``MoveUnderWay`` where somebody took over.

        In a transaction that removes rows, ``always``: then nobody can take over before it
        ends.
        """
        due = time.monotonic() - self._renewed > settings.CLAIM_SECONDS / 10
        if not (always or due or values):
            return
        mine = self._rows().filter(pk=self.row.pk, claimed_by=self.holder)
        until = clock.now(self.using, plus=settings.CLAIM_SECONDS)
        if not mine.update(until=until, **values):
            raise _under_way(self._rows().get(pk=self.row.pk))
        for name, value in values.items():
            setattr(self.row, name, value)
        self._renewed = time.monotonic()

    def end(self, status: str | None = None, error: BaseException | None = None) -> None:
        """Let go of the move: finished, or to be gone on with."""
        values: dict[str, Any] = {
            "claimed_by": "",
            "until": None,
            "seconds": self.seconds,
            "last_error": "" if error is None else f"{type(error).__name__}: {error}",
        }
        if status is not None:
            values["status"] = status
        if status in (Status.COMPLETE, Status.ABANDONED):
            values |= {"lease": None, "finished_at": timezone.now()}
        with transaction.atomic(using=self.using):
            written = self._rows().filter(pk=self.row.pk, claimed_by=self.holder).update(**values)
            if written and status in (Status.COMPLETE, Status.ABANDONED):
                self.batches()._raw_delete(self.using)
        for name, value in values.items():
            setattr(self.row, name, value)

    def batches(self, part: Part | None = None) -> models.QuerySet[MoveBatch]:
        """Return the batches, or those of one table."""
        rows = MoveBatch.objects.using(self.using).filter(run_id=self.row.pk).order_by()
        return rows if part is None else rows.filter(model=part.label)

    def each(self, part: Part, *statuses: str) -> Iterator[MoveBatch]:
        """Yield the batches of a table with one of these statuses, one at a time."""
        wanted = self.batches(part).filter(status__in=statuses)
        for pk in list(wanted.order_by("id").values_list("pk", flat=True)):
            yield MoveBatch.objects.using(self.using).get(pk=pk)

    def last(self, part: Part) -> MoveBatch | None:
        """Return the batch of a table that was made last and is still at the source."""
        there = self.batches(part).filter(status__in=AT_BOTH)
        return there.order_by("-id").first()

    def add(
        self,
        part: Part,
        after: Any,
        upto: Any,
        digests: Mapping[Any, str],
        status: str = BatchStatus.COPYING,
    ) -> MoveBatch:
        """Write down a batch that is about to be copied."""
        with transaction.atomic(using=self.using):
            self.keep()
            return MoveBatch.objects.using(self.using).create(
                run_id=self.row.pk,
                model=part.label,
                after=None if after is None else part.encode(after),
                upto=part.encode(upto),
                digests=packed(part, digests),
                status=status,
            )

    def write(self, batch: MoveBatch, **values: Any) -> None:
        """Change a batch's row."""
        MoveBatch.objects.using(self.using).filter(pk=batch.pk).update(**values)
        for name, value in values.items():
            setattr(batch, name, value)

    def _rows(self) -> models.QuerySet[MoveRun]:
        return MoveRun.objects.using(self.using)


def packed(part: Part, digests: Mapping[Any, str]) -> dict[str, str]:
    """Return digests by key as a batch keeps them."""
    return {json.dumps(part.encode(key)): one for key, one in digests.items()}


def unpacked(part: Part, digests: Mapping[str, str] | None) -> dict[Any, str]:
    """Return digests by key, of what a batch keeps."""
    return {part.decode(json.loads(key)): one for key, one in (digests or {}).items()}


def selection(plan: Plan) -> str:
    """Return a digest of what was chosen: the rows of each table, and where they go."""
    chosen = sorted(f"{part.label}: {_spelled(part)}" for part in plan.parts)
    text = "\n".join([plan.destination, *chosen])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _spelled(part: Part) -> str:
    """Return the statement that chooses a table's rows, as the source is asked."""
    query = part.chosen.query.clone()
    try:
        sql, params = query.get_compiler(using=part.source).as_sql()
    except EmptyResultSet:
        return "none"
    return f"{sql} {params}"


def begin(plan: Plan, *, actor: str | None, options: Mapping[str, Any]) -> Record:
    """Return the record of a move: a new one, or of the same move that was cut short.

    Raises ``MoveUnderWay`` or ``MoveUnfinished``.
    """
    found = unfinished(plan.label, plan.source)
    if found is None:
        found = _overlapping(plan)
        if found is not None:
            raise MoveUnfinished(
                found.model, found.pk, found.source_alias, found.destination_alias
            )
        return _new(plan, actor, options)
    if found.selection != selection(plan):
        raise MoveUnfinished(found.model, found.pk, found.source_alias, found.destination_alias)
    return take(found, plan.source)


def unfinished(label: str, using: str) -> MoveRun | None:
    """Return the move of these models that is neither finished nor abandoned."""
    return MoveRun.objects.using(using).filter(lease=_lease(label)).first()


def the_unfinished(label: str, using: str) -> MoveRun:
    """Return the unfinished move of these models; raises ``NoMove``."""
    found = unfinished(label, using)
    if found is None:
        raise NoMove(label, using)
    return found


def take(found: MoveRun, using: str) -> Record:
    """Go on with a move; raises ``MoveUnderWay`` where a living process is at it."""
    if found.claimed_by and not holders.has_died(found.claimed_by):
        expired = ExpressionWrapper(Q(until__lte=clock.now(using)), BooleanField())
        rows = MoveRun.objects.using(using).annotate(is_expired=expired)
        if not rows.filter(pk=found.pk, is_expired=True).exists():
            raise _under_way(found)
    holder = holders.name()
    # As it was seen: whoever is faster has changed it.
    mine = MoveRun.objects.using(using).filter(
        pk=found.pk, claimed_by=found.claimed_by, until=found.until
    )
    until = clock.now(using, plus=settings.CLAIM_SECONDS)
    if not mine.update(claimed_by=holder, until=until, resumed=models.F("resumed") + 1):
        raise _under_way(MoveRun.objects.using(using).get(pk=found.pk))
    return Record(MoveRun.objects.using(using).get(pk=found.pk), holder, using, resumed=True)


def _new(plan: Plan, actor: str | None, options: Mapping[str, Any]) -> Record:
    using, holder = plan.source, holders.name()
    try:
        with transaction.atomic(using=using):
            row = MoveRun.objects.using(using).create(
                model=plan.label[:255],
                lease=_lease(plan.label),
                source_alias=using,
                destination_alias=plan.destination,
                selection=selection(plan),
                options=dict(options),
                tables={part.label: part.shared for part in plan.parts},
                actor=actor or default_actor(),
                claimed_by=holder,
                until=clock.now(using, plus=settings.CLAIM_SECONDS),
            )
    except IntegrityError:
        # Somebody was faster.
        found = unfinished(plan.label, using)
        if found is None:
            raise
        raise _under_way(found) from None
    return Record(row, holder, using, resumed=False)


def _overlapping(plan: Plan) -> MoveRun | None:
    labels = {part.label for part in plan.parts}
    rows: Sequence[MoveRun] = list(
        MoveRun.objects.using(plan.source).filter(status__in=UNFINISHED)
    )
    return next((row for row in rows if labels.intersection(row.tables)), None)


def _under_way(row: MoveRun) -> MoveUnderWay:
    return MoveUnderWay(row.model, holders.shown(row.claimed_by) or "another process", row.until)


def _lease(label: str) -> str:
    digest = hashlib.sha256(label.encode()).hexdigest()[:16]
    return label if len(label) <= 200 else f"{label[:200]} {digest}"
