"""What was deleted at one end, deleted at the other."""

from __future__ import annotations

from collections.abc import Sequence

from xdbrel.models import MoveBatch
from xdbrel.moving.carrying.blocks import changing, together
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.carrying.settle import unchanged
from xdbrel.moving.carrying.state import look
from xdbrel.moving.decide import Step
from xdbrel.moving.exceptions import WriteFailed
from xdbrel.moving.parts import Part
from xdbrel.moving.record import AT_BOTH, packed


def delete_gone(carrier: Carrier, group: Sequence[Part]) -> None:
    """Delete at one end what was deleted at the other, as ``settle`` has found it.

    For what hangs on a group before the group itself.
    """
    with (
        together(carrier, group, carrier.plan.destination),
        together(carrier, group, carrier.plan.source),
    ):
        for part in reversed(group):
            for batch in carrier.record.each(part, *AT_BOTH):
                if batch.pk in carrier.gone:
                    _delete_gone(carrier, part, batch)


def _delete_gone(carrier: Carrier, part: Part, batch: MoveBatch) -> None:
    state = look(carrier, part, batch)
    for kind, alias, rows in (
        (Step.DELETE_AT_DESTINATION, part.destination, state.destination),
        (Step.DELETE_AT_SOURCE, part.source, state.source),
    ):
        gone = state.of(kind)
        if not gone:
            continue
        try:
            with changing(carrier, part, alias):
                gone = unchanged(part, alias, gone, rows)
                part.delete(gone, alias)
        except WriteFailed as error:
            if not error.is_integrity:
                raise
            # What points at a row went after it was looked at: the next time will do.
            carrier.refused = error
            continue
        left = {key: one for key, one in state.copied.items() if key not in gone}
        carrier.record.write(batch, digests=packed(part, left))
        carrier.figures.carried += len(gone)
