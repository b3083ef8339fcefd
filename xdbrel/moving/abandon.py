"""Taking the copies of an unfinished move back.

Owns the way back of a move that has removed nothing: the destination loses what the move has
written there, and nothing that was changed there since.
"""

from __future__ import annotations

import time
from typing import Any

from xdbrel.caching import uncached
from xdbrel.cascade.graph import concrete
from xdbrel.moving import plan, record, sequences, service
from xdbrel.moving.carrying.blocks import changing, together
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.parts import Part
from xdbrel.moving.record import AT_BOTH, Status, unpacked
from xdbrel.moving.result import MoveResult


def abandon(what: Any, *, using: str | None = None, dry_run: bool = False) -> MoveResult:
    """Take the copies of an unfinished move back; the source is as if it had not been.

    Raises ``NoMove``, ``CannotMove`` where rows have left the source or the copies have
    been written to, and ``MoveUnderWay``.
    """
    began = time.perf_counter()
    roots = service.querysets(what)
    label = ", ".join(concrete(root.model)._meta.label for root in roots)
    source = using or service.source_of(roots, "")
    with uncached():
        row = record.the_unfinished(label, source)
        planned = plan.of_tables(roots, source, row.destination_alias, row.tables)
        if row.status == Status.REMOVING:
            raise planned.refusal(
                "rows have left the source already",
                "Finish the move, then move them back if you like.",
            )
        held = record.take(row, source)
        with service.ending(held):
            carrier = service.carrier_of(planned, held, service.BATCH, None)
            if carrier.switched:
                raise planned.refusal(
                    f"the routers send reads and writes to {row.destination_alias!r}",
                    "Run the move with keep_source=True (--keep-source) once more, let the "
                    "routers send them to the source, then abandon it.",
                )
            counts = _take_back_all(carrier, dry_run=dry_run)
            if not dry_run:
                _forward_keys(planned)
            held.end(None if dry_run else Status.ABANDONED)
    return MoveResult(
        model=planned.label,
        using=source,
        to=row.destination_alias,
        status=str(held.row.status),
        dry_run=dry_run,
        counts=counts,
        removed=0 if dry_run else sum(counts.values()),
        run_id=held.row.pk,
        seconds=time.perf_counter() - began,
    )


def _take_back_all(carrier: Carrier, *, dry_run: bool) -> dict[str, int]:
    """Delete the copies; return their number by model label.

    Raises ``CannotMove`` where a copy is not what was copied.
    """
    counts: dict[str, int] = {}
    for removing in (False, True):
        if removing and dry_run:
            break
        for group in reversed(carrier.plan.groups):
            with together(carrier, group, carrier.plan.destination):
                for part in reversed(group):
                    number = _take_back(carrier, part, removing=removing)
                    counts[part.label] = number or counts.get(part.label, 0)
    return counts


def _take_back(carrier: Carrier, part: Part, *, removing: bool) -> int:
    number = 0
    for batch in carrier.record.each(part, *AT_BOTH):
        carrier.record.keep()
        ours = (batch.digests, batch.pending)
        digests = [unpacked(part, one) for one in ours]
        there = part.by_keys(digests[0], part.destination)
        for key, row in there.items():
            if part.digest(row) not in [one.get(key) for one in digests]:
                raise carrier.plan.refusal(
                    f"the copy of {key!r} in {part.destination!r} was changed since",
                    "Delete it there, or make it the same as it is at the source.",
                    part.label,
                )
        if removing:
            with changing(carrier, part, part.destination):
                part.delete(there, part.destination)
        number += len(there)
    return number


def _forward_keys(planned: plan.Plan) -> None:
    """Let the source give no key that the destination has given."""
    for part in planned.parts:
        if part.model._meta.auto_field in part.fields:
            last = sequences.given(part.model, part.destination)
            if last > sequences.given(part.model, part.source):
                sequences.forward(part.model, part.source, last)
