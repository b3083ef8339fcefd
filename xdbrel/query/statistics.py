"""How many rows a table has, roughly, without counting them.

Owns the estimates: what the server's catalog says, kept for a minute. They decide how rows
come, never which.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

from django.db import DatabaseError, connections
from django.db.models import Max, Min

from xdbrel.query import limits

#: Seconds for which an estimate is taken to hold.
KEEP = 60.0

#: So many reads are remembered.
REMEMBERED = 1_000

_many: dict[Any, float] = {}
_dense: dict[tuple[str, Any], tuple[float, bool]] = {}
_known: dict[tuple[str, str], tuple[float, int | None]] = {}


def rows(model: Any, using: str) -> int | None:
    """Return about how many rows ``model``'s table at ``using`` has; ``None`` if nobody knows."""
    table = model._meta.db_table
    found = _known.get((using, table))
    if found is not None and time.monotonic() - found[0] < KEEP:
        return found[1]
    estimate = _ask(table, using)
    _known[using, table] = (time.monotonic(), estimate)
    return estimate


def is_dense(field: Any, using: str) -> bool:
    """Tell whether the integers in a column with an index lie close together."""
    if not (field.unique or field.db_index):
        return False
    model = field.model
    found = _dense.get((using, field))
    if found is not None and time.monotonic() - found[0] < KEEP:
        return found[1]
    ends = model._base_manager.using(using).order_by()
    first, last = ends.aggregate(first=Min(field.attname), last=Max(field.attname)).values()
    known = rows(model, using)
    dense = bool(known and first is not None and last - first <= limits.DENSE * known)
    _dense[using, field] = (time.monotonic(), dense)
    return dense


def estimate(sql: str, params: Any, using: str) -> int | None:
    """Return about how many rows a statement gives, as the server plans it."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            (told,) = cursor.fetchone()
            return int(
                (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]["Plan Rows"]
            )
        if connection.vendor == "mysql":
            cursor.execute(f"EXPLAIN {sql}", params)
            names = [column[0] for column in cursor.description]
            counts = [dict(zip(names, row, strict=True)).get("rows") for row in cursor.fetchall()]
            return math.prod(int(count) for count in counts if count) if any(counts) else 0
    return None


def was_many(*what: Any) -> bool:
    """Tell whether a bounded read of this found too many, less than a minute ago."""
    try:
        return time.monotonic() - _many.get(what, -KEEP) < KEEP
    except TypeError:  # a value that cannot be looked up
        return False


def found_many(*what: Any) -> None:
    """Remember that a bounded read of this found too many."""
    if len(_many) >= REMEMBERED:
        _many.clear()
    try:
        _many[what] = time.monotonic()
    except TypeError:
        return


def forget(**kwargs: Any) -> None:
    """Forget every estimate."""
    _known.clear()
    _dense.clear()
    _many.clear()


def _ask(table: str, using: str) -> int | None:
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # What was added since the last ANALYZE shows in the table's size.
            cursor.execute(
                "SELECT relkind, reltuples, relpages,"
                " pg_relation_size(oid) / current_setting('block_size')::int"
                " FROM pg_class WHERE oid = to_regclass(%s)",
                [connection.ops.quote_name(table)],
            )
            row = cursor.fetchone()
            if row is None or row[0] != "r":
                return None
            _, tuples, pages, now = row
            if now == 0:
                return 0
            if tuples < 0 or pages == 0:
                return int(now) * 100
            return int(tuples / pages * now)
        if connection.vendor == "mysql":
            cursor.execute(
                "SELECT table_rows FROM information_schema.tables"
                " WHERE table_schema = DATABASE() AND table_name = %s",
                [table],
            )
            row = cursor.fetchone()
            return None if row is None or row[0] is None else int(row[0])
        if connection.vendor == "sqlite":
            try:
                cursor.execute(
                    f"SELECT max(rowid) FROM {connection.ops.quote_name(table)}"  # noqa: S608
                )
            except DatabaseError:  # a table without rowids, a view
                return None
            (last,) = cursor.fetchone()
            return int(last or 0)
    return None
