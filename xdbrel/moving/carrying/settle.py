"""A batch that both ends know, brought to the same state.

Owns what is written over rows that stand, at either end; deletes are for ``gone``. What has
changed since it was looked at is left for the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xdbrel.models import MoveBatch
from xdbrel.moving.carrying.arrived import check_arrived
from xdbrel.moving.carrying.blocks import changing
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.carrying.insert import insert
from xdbrel.moving.carrying.state import State, look, refuse
from xdbrel.moving.decide import Step
from xdbrel.moving.parts import Part, Row
from xdbrel.moving.record import packed


def settle(
    carrier: Carrier,
    part: Part,
    batch: MoveBatch,
    between: Callable[[], None],
    *,
    both_ways: bool,
) -> None:
    """Bring the rows of a batch to the same state at both ends, but for deletes.

    ``between`` is called once the rows are read, before any is written. ``both_ways`` lets
    changes of the destination reach the source.
    """
    carrier.record.keep()
    state = look(carrier, part, batch)
    refuse(part, state)
    if state.of(Step.DELETE_AT_DESTINATION, Step.DELETE_AT_SOURCE):
        carrier.gone.add(batch.pk)
    to_destination, to_source = state.of(Step.TO_DESTINATION), state.of(Step.TO_SOURCE)
    between()
    written: set[Any] = set()
    if to_destination:
        written = _to_destination(carrier, part, batch, state, to_destination)
    # Whatever became of them since: by what they were it is told.
    brought = {key: carrier.brought[key] for key in state.source.keys() & carrier.brought.keys()}
    digests = brought | state.copied
    for key, one in state.steps.items():
        if one is Step.NOTHING or key in written:
            if key in state.source:
                digests[key] = part.digest(state.source[key])
            else:
                digests.pop(key, None)
    if to_source and both_ways:
        _to_source(carrier, part, batch, state, to_source, digests)
    if digests != state.copied or batch.pending is not None:
        carrier.record.write(batch, digests=packed(part, digests), pending=None)


def unchanged(part: Part, alias: str, wanted: Sequence[Any], seen: Mapping[Any, Row]) -> list[Any]:
    """Lock rows, and return the keys of those that are still as they were seen."""
    rows = part.by_keys((key for key in wanted if key in seen), alias, lock=True)
    return [key for key, row in rows.items() if part.digest(row) == part.digest(seen[key])]


def _to_destination(
    carrier: Carrier, part: Part, batch: MoveBatch, state: State, wanted: Sequence[Any]
) -> set[Any]:
    """Write rows of the source to the destination; return the keys of those written."""
    digests = {key: part.digest(state.source[key]) for key in wanted}
    new = {key: one for key, one in digests.items() if key not in state.copied}
    carrier.record.write(
        batch,
        digests=packed(part, state.copied | new),
        pending=packed(part, digests),
    )
    alias = part.destination
    with changing(carrier, part, alias):
        there = unchanged(part, alias, wanted, state.destination)
        absent = [key for key in wanted if key not in state.destination]
        part.update([state.source[key] for key in there], alias)
        if absent:
            insert(carrier, part, [state.source[key] for key in absent])
        written = {*there, *absent}
        check_arrived(part, {key: digests[key] for key in written}, alias)
    carrier.figures.carried += len(written)
    return written


def _to_source(
    carrier: Carrier,
    part: Part,
    batch: MoveBatch,
    state: State,
    wanted: Sequence[Any],
    digests: dict[Any, str],
) -> None:
    """Write rows of the destination to the source, and into ``digests`` what they are."""
    alias = part.source
    with changing(carrier, part, alias):
        keys = unchanged(part, alias, wanted, state.source)
        rows = {key: state.destination[key] for key in keys}
        part.update(rows.values(), alias)
        arrived = {key: part.digest(row) for key, row in rows.items()}
        check_arrived(part, arrived, alias)
        digests |= arrived
        carrier.record.write(batch, digests=packed(part, digests), pending=None)
    carrier.figures.carried += len(rows)
