"""Rows that are new at the destination, brought to the source, so that there is a way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from xdbrel.moving.carrying.arrived import check_arrived
from xdbrel.moving.carrying.blocks import writing
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.carrying.turns import Write
from xdbrel.moving.parts import Part
from xdbrel.moving.record import AT_BOTH, BatchStatus, unpacked


def bring(carrier: Carrier, part: Part, perform: Callable[[Write], None]) -> None:
    """Copy rows that are new at the destination to the source.

    They are found again in the places of their keys, as rows that both ends have.
    ``perform`` writes them, their targets first where they are missing.
    """
    known: set[Any] = set()
    for batch in carrier.record.each(part, *AT_BOTH):
        known |= unpacked(part, batch.digests).keys()
    after = None
    while True:
        rows = part.all(part.destination).order_by("pk")
        if after is not None:
            rows = rows.filter(pk__gt=after)
        page = part.read(rows[: carrier.size], part.destination)
        if not page:
            return
        after = part.key(page[-1])
        fresh = [part.key(row) for row in page if part.key(row) not in known]
        standing = part.by_keys(fresh, part.source)
        fresh = [key for key in fresh if key not in standing]
        if fresh:
            perform(partial(_bring, carrier, part, fresh))
        if len(page) < carrier.size:
            return


def brought(carrier: Carrier, part: Part) -> dict[Any, str]:
    """Return the digests of the rows that were brought and are in no batch of their place."""
    found: dict[Any, str] = {}
    for batch in carrier.record.each(part, BatchStatus.BROUGHT):
        found |= unpacked(part, batch.digests)
    return found


def _bring(
    carrier: Carrier, part: Part, wanted: Sequence[Any], between: Callable[[], None]
) -> None:
    """Insert rows of the destination into the source, as they are by now."""
    rows = part.by_keys(wanted, part.destination)
    if not rows:
        return
    between()
    digests = {key: part.digest(row) for key, row in rows.items()}
    first = next(iter(rows))
    with writing(part, part.source):
        part.insert(list(rows.values()), part.source)
        check_arrived(part, digests, part.source)
        carrier.record.add(part, first, first, digests, status=BatchStatus.BROUGHT)
    carrier.figures.carried += len(rows)
