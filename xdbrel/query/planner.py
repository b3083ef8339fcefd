"""How each block of a query comes.

Owns the decisions.
"""

from __future__ import annotations

from typing import Any

from django.db.models.sql.constants import LOUTER
from django.db.models.sql.where import WhereNode

from xdbrel.query import conditions
from xdbrel.query.blocks import Block
from xdbrel.query.shipment import BlockShipment


def plan(compiler: Any, run: Any, found: list[Block]) -> None:
    """Rewrite ``compiler.query``, a copy, so that each block is here, or is not needed."""
    query = compiler.query
    for block in found:
        if not block.optional:
            rest, taken = conditions.take(query.where, block)
            block.conditions += taken
            if rest is None:
                rest = WhereNode()
            elif not isinstance(rest, WhereNode):
                rest = WhereNode([rest])
            query.where = rest
        shipment = BlockShipment(block.home, block.model._meta.label, block)
        run.ship(shipment)
        for alias in block.aliases:
            run.scopes[-1][alias] = shipment
