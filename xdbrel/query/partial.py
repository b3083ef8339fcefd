"""Counts and sums of a block's rows, made where the rows are.

Owns the grouping at home. A query that counts, sums or compares the many rows that a block
has for each of its own needs none of these rows: their database groups them by the key that
joins them, and what comes is one row for each key. Here the parts are put together, for a
group may hold several rows of the query's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Max, Min, Sum
from django.db.models.aggregates import Aggregate
from django.db.models.expressions import Col
from django.db.models.lookups import IsNull
from django.db.models.sql.where import WhereNode

from xdbrel.query import conditions, keysets, references
from xdbrel.query.blocks import Block, finds_one

#: What puts the parts of each together.
_WHOLE = {Count: "SUM", Sum: "SUM", Min: "MIN", Max: "MAX"}
#: The type of a count, which SUM() makes into another.
_INTEGER = {"postgresql": "bigint", "mysql": "signed", "sqlite": "integer"}


def aggregates_of(planner: Any, block: Block) -> list[Any]:
    """Return the aggregates of the block's rows, if these are all that is asked of them.

    Nothing else may be aggregated: one row for many would change what else is counted.
    """
    query = planner.query
    if query.group_by is None or block.join is None or block.key is not None:
        return []
    others = [one for one in planner.blocks if one is not block]
    entries = keysets.local_entries(query, planner.blocks)
    if (
        any(one.key is None for one in others)
        or planner.joins(block)
        or conditions.mentions([query.where], block)
        or not all(one.parent_alias is None or finds_one(one) for one in entries.values())
        or block.join[0].alias not in entries
    ):
        return []
    grouped = query.group_by if isinstance(query.group_by, tuple) else ()
    if conditions.mentions([one for one in grouped if not isinstance(one, str)], block):
        return []
    found: list[Any] = []
    for expression in planner.compiler.used:
        for part in _parts(expression):
            if isinstance(part, Aggregate):
                if not _is_plain(part, block):
                    return []
                found.append(part)
            elif conditions.mentions([part], block):
                # Beside the aggregates, a column as it is, or what a subquery takes from here.
                return []
    return found


def whole(aggregate: Any, column: str, vendor: str) -> str:
    """Return the SQL that puts the parts in ``column`` together."""
    sql = f"{_WHOLE[type(aggregate)]}({column})"
    if isinstance(aggregate, Count):
        return f"CAST(COALESCE({sql}, 0) AS {_INTEGER[vendor]})"
    return sql


def _is_plain(aggregate: Any, block: Block) -> bool:
    return bool(
        type(aggregate) in _WHOLE
        and not aggregate.distinct
        and getattr(aggregate, "order_by", None) is None
        and conditions.mentions([aggregate], block)
        and all(
            conditions.belongs(part, block)
            for part in aggregate.get_source_expressions()
            if part is not None and references.aliases(part)
        )
        and _is_nothing_of_none(aggregate, block)
    )


def _is_nothing_of_none(aggregate: Any, block: Block) -> bool:
    """Tell whether the aggregate leaves out a row of the query's that has none of the block's.

    Nothing comes for that row. What is aggregated has to be NULL there, or excluded: the
    ``default`` of a ``Case`` is neither.
    """
    if not block.optional:
        return True
    value, *_ = aggregate.get_source_expressions()
    if isinstance(value, Col):
        return True
    counted: list[Any] = [IsNull(value, False)]
    if aggregate.filter is not None:
        # Django 6.1 wraps it.
        counted.append(getattr(aggregate.filter, "condition", aggregate.filter))
    return keysets.holds_for_none(block, WhereNode(counted)) is False


def _parts(expression: Any) -> Iterator[Any]:
    """Yield the aggregates in an expression, and what lies beside them."""
    if expression is None:
        return
    if isinstance(expression, Aggregate):
        yield expression
        return
    children = getattr(expression, "children", None)
    if children is None:
        get = getattr(expression, "get_source_expressions", None)
        children = get() if get is not None else []
    if not children:
        yield expression
    for child in children:
        yield from _parts(child)
