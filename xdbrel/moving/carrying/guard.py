"""An end that was emptied all of a sudden, which is taken for no wish to delete its rows."""

from __future__ import annotations

from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.exceptions import EndEmptied
from xdbrel.moving.parts import Part
from xdbrel.moving.record import AT_BOTH, BatchStatus


def guard(carrier: Carrier, part: Part) -> None:
    """Refuse to take an end that was emptied for one whose rows were all deleted."""
    held = carrier.record.batches(part).filter(status__in=AT_BOTH)
    if not held.exists():
        return
    ends = {alias: part.all(alias).exists() for alias in (part.source, part.destination)}
    verified = held.filter(status=BatchStatus.VERIFIED).exists()
    if not ends[part.source] and ends[part.destination]:
        raise EndEmptied(part.label, part.source, part.destination)
    if not ends[part.destination] and ends[part.source] and verified and carrier.switched:
        raise EndEmptied(part.label, part.destination, part.source)
