"""A batch at both ends, and what is to be done about each of its rows.

Owns the look at the two databases; which end is right about a row is for ``decide``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xdbrel.models import MoveBatch
from xdbrel.moving import collisions
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.decide import Step, step
from xdbrel.moving.exceptions import BothChanged, RowsCollide
from xdbrel.moving.parts import Part, Row
from xdbrel.moving.record import BatchStatus, unpacked
from xdbrel.moving.result import Collision


@dataclass
class State:
    """A batch at both ends: rows by key, and the digests that decide."""

    source: dict[Any, Row]
    destination: dict[Any, Row]
    copied: dict[Any, str]
    steps: dict[Any, Step]

    def of(self, *kinds: Step) -> list[Any]:
        """Return the keys of the rows about which one of these is to be done."""
        return [key for key, one in self.steps.items() if one in kinds]


def look(carrier: Carrier, part: Part, batch: MoveBatch, *, lock: bool = False) -> State:
    """Return how the rows of a batch stand at both ends.

    ``lock`` locks those that were copied at the source, and looks for no others.
    """
    copied = unpacked(part, batch.digests)
    pending = unpacked(part, batch.pending)
    if batch.status == BatchStatus.COPYING:
        pending = copied
    here: dict[Any, Row] = {}
    if not lock:
        after = None if batch.after is None else part.decode(batch.after)
        here = {part.key(row): row for row in part.between(after, part.decode(batch.upto))}
    here |= part.by_keys((key for key in copied if key not in here), part.source, lock=lock)
    wanted = dict.fromkeys((*here, *copied))
    there = part.by_keys(wanted, part.destination)
    # Before it was read back, a row that is other there may be one that was spoiled.
    trusted = carrier.switched and batch.status == BatchStatus.VERIFIED
    steps = {
        key: step(
            part.digest(here[key]) if key in here else None,
            copied.get(key, carrier.brought.get(key)),
            part.digest(there[key]) if key in there else None,
            switched=trusted or key in carrier.brought,
            pending=None if key in carrier.brought else pending.get(key),
            shared=part.shared,
        )
        for key in wanted
    }
    return State(here, there, copied, steps)


def refuse(part: Part, state: State) -> None:
    """Raise ``RowsCollide`` or ``BothChanged`` where neither end is right about a row."""
    colliding, changed = state.of(Step.COLLISION), state.of(Step.CONFLICT)
    if colliding:
        collision = Collision(part.label, collisions.PRIMARY_KEY, part.destination, colliding)
        raise RowsCollide(part.destination, [collision], written=True)
    if changed:
        raise BothChanged(part.label, part.source, part.destination, changed)
