"""Rows put together here: a page's own columns, and those of the blocks by their keys.

Owns the assembly. Where every column of a page is either the query's own or a block's as it
stands, nothing has to be brought into a table: the few rows of the page are read without
the blocks, the blocks' columns by the keys in them, and both become the rows that one
database would have given. The values are read as their own databases give them.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models.expressions import Col, ColPairs

from xdbrel.query import conditions, keysets
from xdbrel.query.blocks import Block


class Answered(Exception):
    """Raised when a query's rows are known before it is compiled; ``rows`` holds them."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows
        super().__init__()


class Pattern:
    """Which columns of a query's rows are its own, and which are a block's."""

    def __init__(self, planner: Any, *, of_groups: bool = False) -> None:
        self.planner = planner
        #: Expressions of the query's own, by their place in the row.
        self.own: dict[int, Any] = {}
        #: Columns of each block, by their place in the row.
        self.theirs: list[dict[int, Any]] = [{} for _ in planner.blocks]
        #: Rows are put together, or ``of_groups`` those of a query that groups.
        self.possible = bool(
            planner.run.takes_rows and (of_groups or planner.query.group_by is None)
        )
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
        values = [*own]
        for places, found in zip(self.theirs, theirs, strict=True):
            values += found or [None] * len(places)
        return self.in_place(values)

    @functools.cached_property
    def in_place(self) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
        """What puts the own values, and then each block's, where they stand in the row."""
        places = [*self.own, *(place for block in self.theirs for place in block)]
        order = sorted(range(len(places)), key=places.__getitem__)
        if order == list(range(len(places))):
            return tuple
        # Of one place alone, which is in order, itemgetter() would make no tuple.
        return operator.itemgetter(*order)


def rows_of(block: Block, columns: Sequence[Any], asked: Sequence[Any]) -> dict[Any, Any]:
    """Return these columns of the block's rows, by key, for the keys that are asked for."""
    assert block.key is not None
    _, inside = block.key
    found: dict[Any, Any] = {}
    for chunk in keysets.in_chunks(inside, asked, block.home):
        query = block.query([inside, *columns], [chunk])
        for key, *values in query.get_compiler(using=block.home).results_iter():
            found[key] = values
    return found


def all_rows_of(block: Block, columns: Sequence[Any], limit: int) -> dict[Any, Any] | None:
    """Return these columns of the block's rows, by key; ``None`` if there are over ``limit``."""
    assert block.key is not None
    _, inside = block.key
    query = block.query([inside, *columns])
    query.set_limits(high=limit + 1)
    rows = query.get_compiler(using=block.home).results_iter(tuple_expected=True)
    found = {row[0]: row[1:] for row in rows}
    return found if len(found) <= limit else None


def alone(planner: Any) -> Any:
    """Return a copy of the planner's query without select list and blocks."""
    query = planner.query.clone()
    query.clear_select_clause()
    for block in planner.blocks:
        for alias in block.aliases:
            query.alias_refcount[alias] = 0
    return query
