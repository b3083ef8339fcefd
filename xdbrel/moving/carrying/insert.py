"""Rows that the destination does not have, written there."""

from __future__ import annotations

from collections.abc import Sequence

from xdbrel.moving import collisions
from xdbrel.moving.carrying.arrived import check_arrived
from xdbrel.moving.carrying.blocks import writing
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.exceptions import RowsCollide, WriteFailed
from xdbrel.moving.parts import Part, Row


def insert(carrier: Carrier, part: Part, rows: Sequence[Row]) -> None:
    """Write rows of the source to the destination, all or none.

    Raises ``RowsCollide`` where others are in their way, and else ``WriteFailed``.
    """
    try:
        with writing(part, part.destination):
            part.insert(rows, part.destination)
            if carrier.switched:
                # As long as nobody else can see them: then they are anybody's.
                digests = {part.key(row): part.digest(row) for row in rows}
                check_arrived(part, digests, part.destination)
    except WriteFailed as error:
        found = collisions.among(part, rows) if error.is_integrity else []
        if found:
            raise RowsCollide(part.destination, found, written=True) from error
        raise
