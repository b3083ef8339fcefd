"""Conditions that a block's own database judges, wherever in the query they stand.

Owns the way of their truth. Two servers compare the same values differently: case, accents,
JSON, regular expressions. So a condition on a block's columns that could not be pushed down
or made into a set of keys is judged at home, row by row, and its truth is brought instead of
the columns: 1 for true, 0 for false, 2 for unknown. Where the block has no row for one of the
query's, everything in the condition is NULL, and what it then is was asked at home as well.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Case, Expression, Value, When
from django.db.models.sql.where import WhereNode

from xdbrel import compat
from xdbrel.query import keysets
from xdbrel.query.blocks import Block

_NUMBER = models.IntegerField()


class Judgement(Expression):
    """The column of the block's shipment with what its own database says of a condition."""

    output_field = _NUMBER
    # One for each place in the query.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __init__(self, block: Block, condition: Any) -> None:
        super().__init__()
        #: The alias that a column is known by.
        self.alias = block.root
        self.judged = _judged(condition)

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: Any, **extra: Any
    ) -> tuple[str, list[Any]]:
        shipment = compiler.shipment_of(self.alias)
        known = [name for name, (one, _) in shipment.columns.items() if one is self.judged]
        name = known[0] if known else self._new_name(shipment)
        shipment.columns[name] = (self.judged, _NUMBER)
        return f"{compat.quote_name(compiler, self.alias)}.{compat.quote_name(compiler, name)}", []

    @staticmethod
    def _new_name(shipment: Any) -> str:
        number = sum(name.startswith("xdbrel_truth") for name in shipment.columns)
        return f"xdbrel_truth{number}"


class TruthOf:
    """Stands in a WHERE for a condition whose truth is a column of the block's shipment."""

    conditional = True
    contains_aggregate = False
    contains_over_clause = False

    def __init__(self, block: Block, condition: Any, missing: int | None) -> None:
        self.condition = condition
        self.judgement = Judgement(block, condition)
        #: What it is where the block has no row: 1, 0, or ``None`` for unknown.
        self.missing = missing

    def get_source_expressions(self) -> list[Any]:
        return [self.condition]

    def get_group_by_cols(self) -> list[Any]:
        # What MariaDB meets in HAVING has to be selected or grouped by.
        return [*self.condition.get_group_by_cols(), self.judgement]

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        column, _ = compiler.compile(self.judgement)
        missing = "NULL" if self.missing is None else str(self.missing)
        return (
            f"(CASE WHEN {column} IS NULL THEN {missing}"
            f" WHEN {column} = 2 THEN NULL ELSE {column} END) = 1",
            [],
        )


def truth_of(block: Block, condition: Any) -> Any:
    """Return what stands for ``condition``; the condition itself if nobody knows of NULL."""
    missing: int | None = None
    if block.optional:
        holds = keysets.holds_for_none(block, condition)
        fails = keysets.holds_for_none(block, keysets.opposite(condition))
        if holds is None or fails is None:
            return condition
        missing = 1 if holds else 0 if fails else None
    return TruthOf(block, condition, missing)


def _judged(condition: Any) -> Any:
    return Case(
        When(WhereNode([condition]), then=Value(1, output_field=_NUMBER)),
        When(WhereNode([condition], negated=True), then=Value(0, output_field=_NUMBER)),
        default=Value(2, output_field=_NUMBER),
        output_field=_NUMBER,
    )
