"""Sets of keys: which rows of a block fulfil its conditions, and which the query asks for.

Owns the bounded reads by which a plan is made. Each reads one key more than it is allowed
to, and says "too many" by returning ``None``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import DatabaseError, OperationalError, connections, models, transaction
from django.db.models import Case, Func, Value, When
from django.db.models.expressions import Col, ColPairs
from django.db.models.functions import Cast
from django.db.models.lookups import Exact, IsNull
from django.db.models.sql import Query
from django.db.models.sql.where import AND, OR, WhereNode

from xdbrel import keys
from xdbrel.query import carried, limits, references, statistics
from xdbrel.query.blocks import Block
from xdbrel.query.values import plain

#: So many answers about NULL are remembered.
REMEMBERED = 1_000

_answers: dict[Any, bool | None] = {}


def of_block(
    block: Block, limit: int, *, among: Sequence[Any] | None = None, condition: Any = None
) -> list[Any] | None:
    """Return the keys of the block's rows, at most ``limit`` of them, or ``None``.

    ``among`` asks only for rows of these keys, ``condition`` for more than the block's own.
    """
    assert block.join is not None
    _, inside = block.join
    more = [] if condition is None else [condition]
    if among is None:
        return _bounded(block.query([inside], more), block.home, limit)
    found: list[Any] = []
    for chunk in in_chunks(inside, among, block.home):
        found += _values(block.query([inside], [*more, chunk]), block.home)
    return None if len(found) > limit else found


def for_column(
    block: Block, column: Any, using: str, limit: int, *, condition: Any = None
) -> Sequence[Any] | None:
    """Return what ``of_block`` does, for ``column`` at ``using`` to be compared with.

    Many keys come in a form of their own, if nothing but the two databases has to read them.
    """
    assert block.join is not None
    _, inside = block.join
    more = [] if condition is None else [condition]
    wanted = [*block.conditions, *more]
    if (
        limit <= limits.MANY
        or not carried.can_carry(inside.target, block.home, using)
        or (statistics.rows(block.model, block.home) or 0) <= limits.MANY
        # What is asked in there may live elsewhere.
        or any(isinstance(part, Query) for one in wanted for part in _parts(one))
    ):
        return of_block(block, limit, condition=condition)
    read = (block.home, block.model, WhereNode(wanted), limits.MANY)
    if not statistics.was_many(*read):
        few = of_block(block, limits.MANY, condition=condition)
        if few is not None:
            return few
        statistics.found_many(*read)
    found = carried.read(block.query([inside], more), block.home, limit)
    if isinstance(found, carried.KeyBitmap):
        # Of many more rows than there are keys, an index finds those that have one.
        rows = statistics.rows(column.target.model, using)
        found.listed = rows is None or rows > limits.ROWS_OF_A_KEY * len(found)
    return found


def outside(query: Any, block: Block, found: Sequence[Block], using: str, limit: int) -> Any:
    """Return the keys that the rest of the query asks the block for, or ``None``.

    They are those of the rows that fulfil the conditions in which no block appears, at most
    ``limit``; where the key belongs to another block, those of that block's rows.
    """
    assert block.join is not None
    column, _ = block.join
    for other in found:
        if column.alias in other.aliases:
            asked = other.query([column])
            using = other.home
            break
    else:
        entries = local_entries(query, found)
        if column.alias not in entries:
            return None
        asked = _select(query, entries, local_conditions(query.where, set(entries)), [column])
    asked.distinct = True
    return _bounded(asked, using, limit)


def local_entries(query: Any, found: Sequence[Block]) -> dict[str, Any]:
    """Return the entries of FROM that depend on no block, by alias."""
    shipped = {alias for block in found for alias in block.aliases}
    entries: dict[str, Any] = {}
    for alias, entry in query.alias_map.items():
        if not query.alias_refcount[alias] or alias in shipped:
            continue
        if entry.parent_alias is not None and entry.parent_alias not in entries:
            continue
        if entry.parent_alias is None and entries:
            continue
        entries[alias] = entry
    return entries


def local_conditions(where: Any, aliases: set[str]) -> list[Any]:
    """Return the conditions that every row fulfils and that mention these aliases alone."""
    if isinstance(where, WhereNode) and not where.negated and where.connector == AND:
        return [one for child in where.children for one in local_conditions(child, aliases)]
    if getattr(where, "contains_aggregate", False) or getattr(
        where, "contains_over_clause", False
    ):
        return []
    return [where] if references.aliases(where) <= aliases else []


def _select(query: Any, entries: dict[str, Any], where: list[Any], select: list[Any]) -> Any:
    made: Any = Query(query.model)
    made.default_cols = False
    made.clear_ordering(force=True)
    made.alias_map = dict(entries)
    made.alias_refcount = dict.fromkeys(entries, 1)
    made.table_map = {}
    for alias, entry in entries.items():
        made.table_map.setdefault(entry.table_name, []).append(alias)
    made.where = WhereNode(where)
    made.select = tuple(select)
    return made


def _bounded(query: Any, using: str, limit: int) -> list[Any] | None:
    """Return the values of the query's one column; ``None`` if there are more than ``limit``."""
    query.set_limits(high=limit + 1)
    # NULL counts as well: what lies behind the limit is not known.
    found = [row[0] for row in query.get_compiler(using=using).results_iter()]
    return None if len(found) > limit else list(filter(keys.is_whole, found))


def _values(query: Any, using: str) -> list[Any]:
    rows = query.get_compiler(using=using).results_iter()
    return [row[0] for row in rows if keys.is_whole(row[0])]


def key_in(column: Any, found: Sequence[Any]) -> Any:
    """Return the condition that ``column`` has one of the keys."""
    return keys.KeyIn(column, found if isinstance(found, keys.KeySet) else list(found))


def in_chunks(column: Any, asked: Sequence[Any], using: str) -> Iterator[Any]:
    """Yield ``key_in`` for the keys, as many at a time as one statement at ``using`` carries."""
    for chunk in keys.chunks(asked, keys.chunk_size(using, column.target)):
        yield key_in(column, chunk)


class PlaceOf(Func):
    """The place of a column's value among some keys, counted from 0; NULL for any other."""

    output_field = models.IntegerField()

    def __init__(self, column: Any, found: Sequence[Any]) -> None:
        super().__init__(column)
        self.found = found

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: Any, **extra: Any
    ) -> tuple[str, list[Any]]:
        (column,) = self.get_source_expressions()
        sql, params = compiler.compile(column)
        field = keys.key_field(column.output_field)
        if connection.vendor == "postgresql" and keys.is_plain_integer(field):
            # One parameter, where each key would be two, to be parsed and tried in turn.
            spelled = f"{{{','.join(map(str, self.found))}}}"
            return f"array_position(%s::bigint[], {sql}::bigint)", [spelled, *params]
        cases = [field.get_db_prep_value(key, connection, prepared=False) for key in self.found]
        places = " ".join(f"WHEN %s THEN {place}" for place in range(len(cases)))
        return f"CASE {sql} {places} END", [*params, *cases]


def untrue(condition: Any) -> Any:
    """Return the condition that holds wherever ``condition`` is false or unknown."""
    number = models.IntegerField()
    case = Case(
        When(condition, then=Value(1, output_field=number)),
        default=Value(0, output_field=number),
        output_field=number,
    )
    return Exact(case, 0)


def holds_for_none(block: Block, condition: Any) -> bool | None:
    """Tell whether ``condition`` is true where the block has no row: all its columns are NULL.

    Its own database is asked, once: no row plays a part. ``None`` if it cannot say.
    """
    question: Any = (block.home, _named(block, condition))
    try:
        if question in _answers:
            return _answers[question]
    except TypeError:  # a value that cannot be looked up
        question = None
    if len(_answers) >= REMEMBERED:
        _answers.clear()
    try:
        answer = _ask_of_none(block, condition)
    except OperationalError:
        # It may be able to say the next time.
        return None
    if question is not None:
        _answers[question] = answer
    return answer


def _named(block: Block, condition: Any) -> Any:
    """Return ``condition`` as it would be in any query: its aliases by their place."""
    places = {entry.table_alias: f"xdbrel_{place}" for place, entry in enumerate(block.entries)}
    return WhereNode([condition.relabeled_clone(places)])


def _ask_of_none(block: Block, condition: Any) -> bool | None:
    mentioned: dict[Any, Any] = {}
    for alias, field in references.columns(condition):
        if alias == references.ANYTHING or not isinstance(field, models.Field):
            return None
        column = Col(alias, field)
        # Of the column's type, which functions ask for.
        mentioned[column] = Cast(Value(None), plain(field))
    if any(isinstance(part, Query) for part in _parts(condition)):
        return None
    query: Any = Query(None)
    query.add_annotation(Value(1), "holds")
    query.where = WhereNode([condition.replace_expressions(mentioned)])
    connection = connections[block.home]
    try:
        with transaction.atomic(using=block.home) if connection.in_atomic_block else nullcontext():
            found = query.get_compiler(using=block.home).execute_sql("single")
    except EmptyResultSet:
        return False
    except FullResultSet:
        return True
    except OperationalError:
        raise
    except (DatabaseError, TypeError, ValueError):
        return None
    return bool(found)


def is_null(column: Any) -> Any:
    if isinstance(column, ColPairs):
        return either(*(IsNull(one, True) for one in column.get_cols()))
    return IsNull(column, True)


def either(*conditions: Any) -> WhereNode:
    return WhereNode(list(conditions), OR)


def opposite(condition: Any) -> WhereNode:
    return WhereNode([condition], negated=True)


def _parts(node: Any) -> Any:
    yield node
    children = getattr(node, "children", None)
    if children is None:
        get = getattr(node, "get_source_expressions", None)
        children = get() if get is not None and not isinstance(node, Query) else ()
        right = getattr(node, "rhs", None)
        if isinstance(right, Query):
            yield right
    for child in children:
        if child is not None:
            yield from _parts(child)
