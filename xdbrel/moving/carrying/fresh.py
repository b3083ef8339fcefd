"""Rows behind the last batch, copied to the destination.

A batch is written down at the source first, with a digest of each row, then written to the
destination in one transaction: whoever goes on after a crash looks at both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from xdbrel.models import MoveBatch, MoveRun
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.carrying.insert import insert
from xdbrel.moving.carrying.settle import settle
from xdbrel.moving.carrying.turns import Write, nothing
from xdbrel.moving.parts import Part, Row
from xdbrel.moving.record import BatchStatus, packed, unpacked


def copy_fresh(
    carrier: Carrier, part: Part, perform: Callable[[Write], None], *, in_turn: bool
) -> None:
    """Copy the rows behind the last batch; ``in_turn``, one is there before the next.

    ``perform`` writes a batch, its targets first where they are missing.
    """
    record = carrier.record
    last = record.last(part)
    after = None if last is None else part.decode(last.upto)
    while True:
        rows = part.page(after, carrier.size)
        if not rows:
            return
        upto = part.key(rows[-1])
        batch = record.add(part, after, upto, {part.key(row): part.digest(row) for row in rows})
        known = _known(carrier, part, rows)
        if known:
            digests = unpacked(part, batch.digests) | known
            record.write(batch, digests=packed(part, digests))
        perform(partial(_write, carrier, part, batch, rows, at_once=not known))
        if in_turn:
            record.write(batch, status=carrier.copied)
        carrier.figures.copied += len(rows)
        carrier.tell(part.label, "copy", len(rows))
        if len(rows) < carrier.size:
            # Where somebody writes all the time, there would be a next page for ever.
            return
        after = upto


def _write(
    carrier: Carrier,
    part: Part,
    batch: MoveBatch,
    rows: Sequence[Row],
    between: Callable[[], None],
    *,
    at_once: bool,
) -> None:
    if at_once and not carrier.switched and between is nothing:
        insert(carrier, part, rows)
    else:
        # Some may be at the destination: brought back from there, or written to the
        # source again after they had left it. Or they have changed since they were read.
        settle(carrier, part, batch, between, both_ways=False)


def _known(carrier: Carrier, part: Part, rows: Sequence[Row]) -> dict[Any, str]:
    """Return the digests of those rows that have left the source before."""
    wanted = {part.key(row) for row in rows}
    found = {key: carrier.brought[key] for key in wanted & carrier.brought.keys()}
    if carrier.record.row.status == MoveRun.Status.REMOVING:
        for batch in carrier.record.each(part, BatchStatus.REMOVED):
            digests = unpacked(part, batch.digests)
            found |= {key: digests[key] for key in wanted & digests.keys()}
    return found
