"""Rows put together here: a page's own columns, and those of the blocks by their keys.

Owns the assembly. Where every column of a page is either the query's own or a block's as it
stands, nothing has to be brought into a table: the few rows of the page are read without
the blocks, the blocks' columns by the keys in them, and both become the rows that one
database would have given. The values are read as their own databases give them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models.expressions import Col, ColPairs

from xdbrel import keys
from xdbrel.query import conditions, keysets
from xdbrel.query.blocks import Block


class Answered(Exception):
    """Raised when a query's rows are known before it is compiled; ``rows`` holds them."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows
        super().__init__()


class Pattern:
    """Which columns of a query's rows are its own, and which are a block's."""

    def __init__(self, planner: Any) -> None:
        self.planner = planner
        #: Expressions of the query's own, by their place in the row.
        self.own: dict[int, Any] = {}
        #: Columns of each block, by their place in the row.
        self.theirs: list[dict[int, Any]] = [{} for _ in planner.blocks]
        self.possible = bool(planner.run.takes_rows and planner.query.group_by is None)
        for place, (expression, *_) in enumerate(planner.compiler.select):
            self._place(place, expression)

    def _place(self, place: int, expression: Any) -> None:
        if isinstance(expression, ColPairs):
            self.possible = False
        elif not conditions.mentions_any([expression], self.planner.blocks):
            self.own[place] = expression
        elif isinstance(expression, Col):
            for index, block in enumerate(self.planner.blocks):
                if expression.alias in block.aliases:
                    self.theirs[index][place] = expression
        else:
            self.possible = False

    def columns(self, index: int) -> list[Any]:
        """Return the columns of the block of this index that are asked for."""
        return list(self.theirs[index].values()) if self.possible else []

    def row(self, own: Sequence[Any], theirs: Sequence[Sequence[Any] | None]) -> tuple[Any, ...]:
        """Return a row of these values; a block that has none for it gives NULL."""
        values = dict(zip(self.own, own, strict=True))
        for places, found in zip(self.theirs, theirs, strict=True):
            values.update(zip(places, found or [None] * len(places), strict=True))
        return tuple(values[place] for place in range(len(values)))


def rows_of(block: Block, columns: Sequence[Any], asked: Sequence[Any]) -> dict[Any, Any]:
    """Return these columns of the block's rows, by key, for the keys that are asked for."""
    assert block.key is not None
    _, inside = block.key
    found: dict[Any, Any] = {}
    for chunk in keys.chunks(asked, keys.chunk_size(block.home, inside.target)):
        query = block.query([inside, *columns], [keysets.key_in(inside, chunk)])
        for key, *values in query.get_compiler(using=block.home).results_iter():
            found[key] = values
    return found
