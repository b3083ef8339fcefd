"""Pages of an ordered, limited query, found by walking along an order.

Owns the two walks. *Along the query's own order* (``Walk``): its rows are read page by page,
without the blocks, and each page's keys are checked where the blocks live, until enough rows
have stood the test. *Along a block's order* (``_top``): the block's keys are read in order, and
the rows that have them counted, until they fill the page. Both need few rows where joining
needs all, and both give up when they have gone too far for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Count
from django.db.models.expressions import Col, ColPairs, OrderBy, Ref
from django.db.models.functions import Coalesce, Random
from django.db.models.lookups import Exact, IsNull
from django.db.models.sql.where import WhereNode

from xdbrel.query import conditions, groups, keysets, limits
from xdbrel.query.blocks import Block, finds_one
from xdbrel.query.stitch import Answered, Pattern, alone, rows_of


def narrow(planner: Any) -> bool:
    """Narrow the planner's query to its page; tell whether that was possible."""
    if not _is_page(planner):
        return False
    planner.few(limits.PAGE_KEYS)
    if conditions.mentions_any([planner.query.where], planner.blocks):
        return False
    if conditions.mentions_any(planner.compiler.order_by, planner.blocks):
        return planner.query.group_by is None and _top(planner)
    if _is_of_rows(planner):
        return _page(planner)
    return _groups(planner)


def _is_of_rows(planner: Any) -> bool:
    """Tell whether each row of the result is one row of the query's own model."""
    query = planner.query
    if query.group_by is None:
        return all(block.key is not None for block in planner.blocks)
    if not all(block.optional or block.key is not None for block in planner.blocks):
        return False
    if query.group_by is True:
        return bool(query.default_cols)
    pk, base = query.model._meta.pk, next(iter(query.alias_map))
    return any(
        isinstance(one, Col) and one.target is pk and one.alias == base for one in query.group_by
    )


def _page(planner: Any) -> bool:
    if not any(block in planner.untested or planner.uses(block) for block in planner.blocks):
        return False
    outside = [block.join[0] for block in planner.blocks]
    entries = keysets.local_entries(planner.query, planner.blocks)
    if not all(column.alias in entries for column in outside):
        return False
    pattern = Pattern(planner)
    walk = Walk(planner, outside, pattern)
    if not walk.go():
        return False
    query = planner.query
    kept = walk.kept[query.low_mark : query.high_mark]
    if not kept:
        raise EmptyResultSet
    if pattern.possible:
        raise Answered(walk.stitched(kept))
    pk = query.model._meta.pk.get_col(query.get_initial_alias())
    query.where = WhereNode([keysets.key_in(pk, [row[0] for row in kept])])
    query.clear_limits()
    for index, block in reversed(list(enumerate(planner.blocks, start=1))):
        if block.key is None or planner.uses(block):
            asked = dict.fromkeys(row[index] for row in kept if row[index] is not None)
            block.conditions.append(keysets.key_in(block.join[1], list(asked)))
        else:
            planner.leave_out(block)
    return True


def _groups(planner: Any) -> bool:
    """Narrow a query whose rows are groups, one for each of a block's keys."""
    if not groups.by_key(planner):
        return False
    (block,) = planner.blocks
    outside = block.key[0]
    pattern = Pattern(planner, of_groups=True)
    walk = Walk(planner, [outside], pattern)
    if not walk.go():
        return False
    keys_ = [row[0] for row in walk.kept]
    if not keys_:
        raise EmptyResultSet
    if pattern.possible:
        raise Answered(walk.stitched(walk.kept[planner.query.low_mark : planner.query.high_mark]))
    planner.query.where = WhereNode([planner.query.where, keysets.key_in(outside, keys_)])
    block.conditions.append(keysets.key_in(block.key[1], keys_))
    return True


class Walk:
    """A walk along the query's own order."""

    def __init__(self, planner: Any, outside: list[Any], pattern: Pattern | None = None) -> None:
        self.planner = planner
        self.outside = outside
        self.pattern = pattern
        #: Rows of the page: what they are known by, the blocks' keys, the columns of their own.
        self.kept: list[Any] = []
        #: For each block, what is known of its keys: the columns, or ``None`` for no row.
        self.known: list[dict[Any, Any]] = [{} for _ in outside]
        self.tests = [
            index for index, block in enumerate(planner.blocks) if block in planner.untested
        ]

    def go(self) -> bool:
        """Walk until the page is full; tell whether that was worth it."""
        planner, need = self.planner, self.planner.query.high_mark
        size = need
        # Where nothing but a missing row makes the test fail, hardly any row does.
        if any(planner.blocks[index].conditions for index in self.tests):
            size = min(limits.STEP, max(2 * need, limits.FIRST_STEP))
        kept: dict[Any, Any] = {}
        walked, asked = 0, False
        while True:
            rows = self._rows(walked, size)
            walked += len(rows)
            for index in self.tests:
                self._ask(index, rows)
            for row in rows:
                if all(self.known[index].get(row[1 + index]) is not None for index in self.tests):
                    kept.setdefault(row[0], row)
            if len(kept) >= need or len(rows) < size:
                break
            if not asked and walked >= limits.FIRST:
                # Further on, it is worth to know whether the keys are few.
                asked = True
                # If some of these rows do, its own database soon finds the others.
                slow = need * walked > limits.SLOW * len(kept)
                planner.few(limits.MANY if kept and slow else limits.FEW)
                if len(planner.untested) < len(self.tests):
                    return False
            if walked >= limits.PATIENCE and need * walked > limits.LONGEST * len(kept):
                _leave_the_order(planner)
                return False
            size = min(4 * size, limits.STEP)
        for index in self.tests:
            reason = f"rows of the query's own order until {len(kept)} do"
            planner.run.note(planner.blocks[index], "probe", reason, walked)
        self.kept = list(kept.values())
        return True

    def stitched(self, kept: list[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of the page with the columns of the blocks."""
        assert self.pattern is not None
        for index, block in enumerate(self.planner.blocks):
            if index not in self.tests and self.pattern.columns(index):
                self._ask(index, kept)
                self.planner.run.note(block, "stitch", "columns by key", len(self.known[index]))
        start = 1 + len(self.outside)
        return [
            self.pattern.row(
                row[start:],
                [known.get(row[1 + index]) for index, known in enumerate(self.known)],
            )
            for row in kept
        ]

    def _ask(self, index: int, rows: list[Any]) -> None:
        """Ask a block for the keys of these rows."""
        known = self.known[index]
        found = {row[1 + index] for row in rows}
        asked = [key for key in found if key is not None and key not in known]
        if asked:
            known.update(dict.fromkeys(asked))
            columns = self.pattern.columns(index) if self.pattern else []
            known.update(rows_of(self.planner.blocks[index], columns, asked))

    def _rows(self, start: int, size: int) -> list[Any]:
        """Return the next rows of the query's own order."""
        planner = self.planner
        query = alone(planner)
        if _is_of_rows(planner):
            query.group_by = None
            pk = query.model._meta.pk.get_col(query.get_initial_alias())
            query.select = (pk, *self.outside)
            if self.pattern is not None and self.pattern.possible:
                query.select += tuple(self.pattern.own.values())
        else:
            (key,) = self.outside
            groups.group(query, key)
            query.select = (key, key)
            if self.pattern is not None and self.pattern.possible:
                query.select += groups.counted(query, self.pattern.own.values())
        query.clear_limits()
        query.set_limits(start, start + size)
        return list(query.get_compiler(using=planner.using).results_iter())


def _leave_the_order(planner: Any) -> None:
    """Let the query find its rows first, and sort them then.

    Its database takes the rows that are asked for to be spread evenly, and would walk along an
    index of the order, where hardly any are.
    """
    query, (first, *others) = planner.query, planner.compiler.order_by
    first = _spelled_out(first)
    if isinstance(first.expression, Col):
        # No index is of this.
        first.expression = Coalesce(first.expression, first.expression)
        query.clear_ordering(force=True)
        # The terms are as they are sorted by: nothing is to be reversed once more.
        query.standard_ordering = True
        query.order_by = (first, *map(_spelled_out, others))
        planner.compiler.set_up = None


def _top(planner: Any) -> bool:
    """Narrow a query that is ordered by a block to the keys of its page."""
    terms = planner.compiler.order_by
    leading = [
        block
        for block in planner.blocks
        if not block.optional and conditions.belongs(terms[0], block)
    ]
    if not leading or any(
        block in planner.untested for block in planner.blocks if block not in leading
    ):
        return False
    (block,) = leading
    outside = block.key[0]
    if outside.alias not in keysets.local_entries(planner.query, planner.blocks):
        return False
    order = list(_order(planner, terms, block))
    tail = [_spelled_out(term) for term in terms[len(order) :]]
    pattern = Pattern(planner)
    if (
        pattern.possible
        and not isinstance(outside, ColPairs)
        and len(planner.blocks) == 1
        and any(map(_tells_apart, order))
        and not conditions.mentions_any(tail, planner.blocks)
    ):
        _stitched_top(planner, block, pattern, order, tail)
    found = _keys_in_order(planner, block, outside, order)
    if found is None:
        return False
    planner.run.note(block, "top", "keys of its order until they fill the page", len(found))
    planner.query.where = WhereNode([planner.query.where, keysets.key_in(outside, found)])
    block.conditions.append(keysets.key_in(block.key[1], found))
    return True


def _tells_apart(term: Any) -> bool:
    """Tell whether no two rows of the block stand at the same place of the order."""
    column = term.expression
    return isinstance(column, Col) and column.target.unique and not column.target.null


def _stitched_top(
    planner: Any, block: Block, pattern: Pattern, order: list[OrderBy], tail: list[Any]
) -> None:
    """Answer a query that is ordered by a block, if its first rows are found soon.

    Raises ``Answered``. Nobody else's place is between two rows of one key, so that the rows
    are read by the place of their key, and what orders them further.
    """
    query = planner.query
    (outside, inside), need = block.key, query.high_mark  # type: ignore[misc]
    theirs = block.query([inside, *pattern.columns(0)])
    theirs.order_by = tuple(order)
    rows: list[tuple[Any, ...]] = []
    # As many as there are rows to show, if each has one.
    walked, size = 0, min(limits.PLACES, max(need, limits.FIRST_STEP // 4))
    while walked < limits.PLACES:
        theirs.clear_limits()
        theirs.set_limits(walked, walked + size)
        step = {key: rest for key, *rest in theirs.get_compiler(using=block.home).results_iter()}
        if step:
            own = alone(planner)
            own.select = (outside, *pattern.own.values())
            own.where = WhereNode([query.where, keysets.key_in(outside, list(step))])
            own.clear_ordering(force=True)
            # The terms are as they are sorted by: nothing is to be reversed once more.
            own.standard_ordering = True
            own.order_by = (OrderBy(keysets.PlaceOf(outside, list(step))), *tail)
            own.clear_limits()
            own.set_limits(high=need - len(rows))
            for key, *values in own.get_compiler(using=planner.using).results_iter():
                rows.append(pattern.row(values, [step[key]]))
        walked += len(step)
        if len(rows) >= need or len(step) < size:
            planner.run.note(block, "top", "keys of its order until they fill the page", walked)
            raise Answered(rows[query.low_mark : need])
        size = min(4 * size, limits.PLACES)


def _keys_in_order(
    planner: Any, block: Block, outside: Any, order: list[OrderBy]
) -> list[Any] | None:
    need = planner.query.high_mark
    assert block.key is not None
    first = order[0].expression
    query = block.query([block.key[1], first])
    query.order_by = tuple(order)
    found: list[Any] = []
    size, rows = min(limits.STEP, max(2 * need, limits.FIRST_STEP)), 0
    while True:
        query.clear_limits()
        query.set_limits(len(found), len(found) + size)
        step = list(query.get_compiler(using=block.home).results_iter())
        counts = _counts(planner, outside, [key for key, _ in step])
        for key, value in step:
            found.append(key)
            rows += counts.get(key, 0)
            if rows >= need:
                return _with_ties(block, first, value, found)
        if len(step) < size:
            return found
        if len(found) >= limits.LONGEST_TOP:
            return None
        size = min(4 * size, limits.STEP)


def _counts(planner: Any, outside: Any, found: list[Any]) -> dict[Any, int]:
    """Return how many rows of the query each key has."""
    query = alone(planner)
    query.clear_ordering(force=True)
    query.clear_limits()
    pk = query.model._meta.pk.get_col(query.get_initial_alias())
    query.select = (outside, Count(pk))
    query.group_by = (outside,)
    where = query.where
    counts: dict[Any, int] = {}
    for chunk in keysets.in_chunks(outside, found, planner.using):
        query.where = WhereNode([where, chunk])
        counts.update(query.get_compiler(using=planner.using).results_iter(tuple_expected=True))
    return counts


def _with_ties(block: Block, first: Any, value: Any, found: list[Any]) -> list[Any] | None:
    """Return the keys with those that stand at the same place of the order as the last."""
    if isinstance(first, Col) and first.target.unique and not first.target.null:
        return found
    same = IsNull(first, True) if value is None else Exact(first, value)
    ties = keysets.of_block(block, limits.LONGEST_TOP, condition=same)
    return None if ties is None else list(dict.fromkeys([*found, *ties]))


def _order(planner: Any, terms: list[Any], block: Block) -> Iterator[OrderBy]:
    """Yield the leading terms of the order that are the block's, as the query would sort."""
    largest = connections[planner.using].features.nulls_order_largest
    for term in terms:
        if not conditions.belongs(term, block):
            return
        term = _spelled_out(term)
        if term.nulls_first is None and term.nulls_last is None:
            target = getattr(term.expression, "target", None)
            if target is None or target.null:
                # Each server has its own place for NULL.
                last = largest is not term.descending
                term.nulls_first, term.nulls_last = (None, True) if last else (True, None)
        yield term


def _spelled_out(term: Any) -> Any:
    """Return a copy of a term of ORDER BY that names no place of the select list."""
    term = term.copy()
    if isinstance(term.expression, Ref):
        (term.expression,) = term.expression.get_source_expressions()
    return term


def _is_page(planner: Any) -> bool:
    """Tell whether the query asks for the first rows of an order, each for itself."""
    query = planner.query
    blocks = {alias for block in planner.blocks for alias in block.aliases}
    entries = keysets.local_entries(query, planner.blocks)
    return bool(
        query.high_mark is not None
        and not query.distinct
        and not query.distinct_fields
        and not query.select_for_update
        and not query.explain_info
        and len(query.model._meta.pk_fields) == 1
        and all(block.join is not None for block in planner.blocks)
        and planner.compiler.having is None
        and not conditions.mentions_any([query.where], planner.blocks)
        and not any(_counts_rows(one, query) for one in planner.compiler.used)
        and not (
            _is_of_rows(planner)
            and any(getattr(one, "contains_aggregate", False) for one in planner.compiler.order_by)
        )
        # No table lies beyond a block, and none makes two rows of one.
        and all(
            alias in entries or alias in blocks
            for alias, count in query.alias_refcount.items()
            if count
        )
        and all(entry.parent_alias is None or finds_one(entry) for entry in entries.values())
    )


def _counts_rows(expression: Any, query: Any) -> bool:
    """Tell whether an expression's value depends on more than its row, or group."""
    return bool(
        getattr(expression, "contains_over_clause", False)
        or (query.group_by is None and getattr(expression, "contains_aggregate", False))
        or any(isinstance(part, Random) for part in _flat(expression))
    )


def _flat(expression: Any) -> Iterator[Any]:
    if hasattr(expression, "flatten"):
        yield from expression.flatten()
