"""Rows inside a statement of PostgreSQL: arrays, one for each column, unnested.

Owns how values are spelled in an array and where in a statement they stand: in a common
table expression before it. The driver could make the arrays, but takes far longer.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from xdbrel.query import values

#: Of each type that is spelled here: how, and whether that needs quotes.
_SPELLED: dict[str, tuple[Callable[[Any], str], bool]] = {
    **dict.fromkeys(values.INTEGERS, (str, False)),
    **dict.fromkeys(values.TEXTS, (str, True)),
    "BooleanField": (lambda value: "t" if value else "f", False),
    "DecimalField": (str, False),
    "FloatField": (repr, False),
    "UUIDField": (str, False),
    "DateField": (str, True),
    "DateTimeField": (str, True),
    "TimeField": (str, True),
    "DurationField": (lambda value: _interval(value), True),
    "GenericIPAddressField": (str, True),
    "JSONField": (str, True),
    "BinaryField": (lambda value: "\\x" + bytes(value).hex(), True),
}
#: What may stand before the statement proper.
_BEFORE = re.compile(
    r"\s*(?:EXPLAIN(?:\s*\([^)]*\))?\s+)?(?:WITH\s+(RECURSIVE\s+)?)?", re.IGNORECASE
)


def carries(fields: Sequence[Any]) -> bool:
    """Tell whether arrays carry values of all these fields."""
    return all(
        values.plain(field).get_internal_type() in _SPELLED and not values.has_own_type(field)
        for field in fields
    )


def expression(
    connection: Any,
    name: str,
    columns: Sequence[str],
    fields: Sequence[Any],
    types: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> tuple[str, list[Any]]:
    """Return ``name AS (SELECT …)`` that yields ``rows``, and its parameters."""
    qn = connection.ops.quote_name
    arrays, selected, params = [], [], []
    for index, (column, field, kind) in enumerate(zip(columns, fields, types, strict=True)):
        bare, collate, collation = kind.partition(" COLLATE ")
        arrays.append(f"%s::{bare}[]")
        selected.append(
            f"{qn(column)}{collate}{collation} AS {qn(column)}" if collate else qn(column)
        )
        params.append(_array(values.plain(field), (row[index] for row in rows)))
    names = ", ".join(map(qn, columns))
    return (
        f"{qn(name)} AS (SELECT {', '.join(selected)}"  # noqa: S608
        f" FROM unnest({', '.join(arrays)}) AS xdbrel ({names}))",
        params,
    )


def in_front(
    inside: Sequence[tuple[str, list[Any]]], sql: str, params: Sequence[Any]
) -> tuple[str, Sequence[Any]]:
    """Return a statement with these common table expressions, and all its parameters."""
    if not sql:
        return sql, params
    before = _BEFORE.match(sql)
    assert before is not None  # it may be empty
    head, rest = sql[: before.end()], sql[before.end() :]
    expressions = ", ".join(text for text, _ in inside)
    if head.rstrip().upper().endswith(("WITH", "RECURSIVE")):
        head, rest = f"{head}{expressions}, ", rest
    else:
        head = f"{head}WITH {expressions} "
    return head + rest, [value for _, its in inside for value in its] + list(params)


def _array(field: Any, column: Iterable[Any]) -> str:
    spell, quoted = _SPELLED[field.get_internal_type()]
    if quoted:
        spelled = ["NULL" if value is None else _quoted(spell(value)) for value in column]
    else:
        spelled = ["NULL" if value is None else spell(value) for value in column]
    return f"{{{','.join(spelled)}}}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _interval(value: datetime.timedelta) -> str:
    return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
