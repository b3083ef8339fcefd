"""Reading back what was copied."""

from __future__ import annotations

from xdbrel.moving.carrying.arrived import check_arrived
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.digests import checksum
from xdbrel.moving.parts import Part
from xdbrel.moving.record import AT_BOTH, BatchStatus, unpacked


def verify(carrier: Carrier, part: Part) -> tuple[int, str]:
    """Read back what was copied; return the number of rows and their checksum."""
    rows, total = 0, "0"
    for batch in carrier.record.each(part, *AT_BOTH):
        carrier.record.keep()
        digests = unpacked(part, batch.digests)
        if batch.status != BatchStatus.VERIFIED:
            check_arrived(part, digests, part.destination)
            carrier.record.write(batch, status=BatchStatus.VERIFIED)
            carrier.tell(part.label, "verify", len(digests))
        rows += len(digests)
        total = checksum(digests.values(), total)
    return rows, total
