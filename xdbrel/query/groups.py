"""Groups that are a block's keys: counted where the rows are, and named by key.

Owns queries as ``values("author__username").annotate(Count("pk"))`` where names are unique: each
group then has one of the block's keys, and each key one group. To join every row with its name
and to group by that takes far longer than to group by the key, of which there is an index, and
to read the names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Count
from django.db.models.expressions import Col, ColPairs, Star

from xdbrel.query import conditions, keysets, limits
from xdbrel.query.stitch import Answered, Pattern, all_rows_of, alone, rows_of

REASON = "groups are its keys, and named when they are made"


def name(planner: Any) -> None:
    """Answer a query of such groups, all of them; raises ``Answered``, or returns."""
    query = planner.query
    if (
        not by_key(planner)
        or query.high_mark is not None
        or query.low_mark
        or query.distinct
        or query.distinct_fields
        or query.explain_info
        or any(getattr(one, "contains_over_clause", False) for one in planner.compiler.used)
    ):
        return
    pattern = Pattern(planner, of_groups=True)
    if not pattern.possible:
        return
    (block,) = planner.blocks
    (outside, _), budget = block.key, planner.run.budget
    if planner.run.dry:
        planner.run.note(block, "name", REASON)
        raise Answered([])
    named = None
    own = alone(planner)
    group(own, outside)
    own.select = (outside, *counted(own, pattern.own.values()))
    if block.conditions or planner.is_small(block):
        named = all_rows_of(block, pattern.columns(0), budget)
        if named is None:
            return
        if len(named) <= limits.REDUCED:
            own.where.add(keysets.key_in(outside, list(named)), "AND")
    # NULL is a group as well, which has no name.
    own.set_limits(high=budget + 2)
    found = list(own.get_compiler(using=planner.using).results_iter(tuple_expected=True))
    if len(found) > budget + 1:
        return
    if named is None and len(found) <= limits.REDUCED:
        asked = [row[0] for row in found if row[0] is not None]
        named = rows_of(block, pattern.columns(0), asked)
    elif named is None:
        named = all_rows_of(block, pattern.columns(0), budget)
        if named is None:
            return
    planner.run.note(block, "name", REASON, len(named))
    in_place = pattern.in_place
    raise Answered([in_place((*row[1:], *named[row[0]])) for row in found if row[0] in named])


def by_key(planner: Any) -> bool:
    """Tell whether each group has one of the one block's keys, and each key one group."""
    query = planner.query
    if len(planner.blocks) != 1 or not isinstance(query.group_by, tuple):
        return False
    (block,) = planner.blocks
    if block.optional or block.key is None or planner.joins(block):
        return False
    outside = block.key[0]
    if isinstance(outside, ColPairs):
        return False
    of_block = [one for one in query.group_by if conditions.belongs(one, block)]
    entries = keysets.local_entries(query, planner.blocks)
    return (
        all(one in of_block or one == outside for one in query.group_by)
        and any(
            isinstance(one, Col)
            and one.alias == block.root
            and one.target.unique
            and not one.target.null
            for one in of_block
        )
        and not conditions.mentions_any([*planner.compiler.order_by, query.where], [block])
        # No table lies beyond the block.
        and all(
            alias in entries or alias in block.aliases
            for alias, count in query.alias_refcount.items()
            if count
        )
    )


def group(query: Any, key: Any) -> None:
    """Let ``query`` group by ``key``, and count rows where it counts what no row lacks."""
    query.group_by = (key,)
    stars = _stars(query, query.annotations.values())
    if stars:
        query.annotations = {
            name: one.replace_expressions(stars) for name, one in query.annotations.items()
        }


def counted(query: Any, expressions: Iterable[Any]) -> tuple[Any, ...]:
    """Return the expressions with ``COUNT(*)`` for what counts a column that no row lacks.

    An index on the key answers that; for the other, each row is read.
    """
    expressions = list(expressions)
    stars = _stars(query, expressions)
    return tuple(one.replace_expressions(stars) if stars else one for one in expressions)


def _stars(query: Any, expressions: Iterable[Any]) -> dict[Any, Any]:
    base = next(iter(query.alias_map))
    stars = {}
    for expression in expressions:
        for part in expression.flatten() if hasattr(expression, "flatten") else ():
            if type(part) is not Count or getattr(part, "distinct", False):
                continue
            counted, *rest = part.get_source_expressions()
            # With a filter it is COUNT(CASE …), which takes no star.
            if any(one is not None for one in rest) or not isinstance(counted, Col):
                continue
            if counted.alias == base and not counted.target.null:
                star = part.copy()
                star.set_source_expressions([Star(), *rest])
                stars[part] = star
    return stars
