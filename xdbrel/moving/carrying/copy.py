"""The order in which tables that hang together are copied.

Owns nothing but that order; each step is a module of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from xdbrel.moving import edges
from xdbrel.moving.carrying.blocks import together
from xdbrel.moving.carrying.bring import bring, brought
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.carrying.fresh import copy_fresh
from xdbrel.moving.carrying.guard import guard
from xdbrel.moving.carrying.settle import settle
from xdbrel.moving.carrying.turns import Write, after_targets
from xdbrel.moving.parts import Part
from xdbrel.moving.record import AT_BOTH, BatchStatus

#: What may have arrived, or not.
_CUT_SHORT = (BatchStatus.COPYING,)


def copy(
    carrier: Carrier, group: Sequence[Part], *, both_ways: bool = False, going_on: bool = False
) -> None:
    """Bring what was copied to the same state, then copy what is new.

    ``both_ways`` lets changes of the destination reach the source. ``going_on``, with a
    first copy that was cut short, looks at no more of it than what was cut short.
    """
    for part in group:
        guard(carrier, part)
    record = carrier.record
    with together(carrier, group, carrier.plan.destination):
        for part in group:
            perform = partial(_perform, carrier, part)
            if both_ways and carrier.switched and not part.shared:
                bring(carrier, part, partial(perform, both_ways=True))
            before, carrier.brought = carrier.brought, brought(carrier, part)
            for batch in record.each(part, *(_CUT_SHORT if going_on else AT_BOTH)):
                perform(partial(settle, carrier, part, batch, both_ways=both_ways))
            copy_fresh(carrier, part, perform, in_turn=not carrier.plan.is_knot(group))
            if not going_on:
                # Each is in a batch of its place now.
                record.batches(part).filter(status=BatchStatus.BROUGHT).delete()
            carrier.brought = before
    # Of a group, rows are there only now.
    for part in group:
        fresh = record.batches(part).filter(status=BatchStatus.COPYING)
        fresh.update(status=carrier.copied)


def _perform(carrier: Carrier, part: Part, write: Write, *, both_ways: bool = False) -> None:
    """Write rows of a table, the tables that they point at first where rows are missing."""

    def copy_targets() -> None:
        aims = {edges.target(one) for one in edges.outgoing(part.model)} - {part.model}
        for group in carrier.plan.groups:
            if part not in group and any(one.model in aims for one in group):
                # All of it: not every new key lies behind the last.
                copy(carrier, group, both_ways=both_ways)

    after_targets(write, copy_targets)
