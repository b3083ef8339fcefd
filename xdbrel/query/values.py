"""Values on their way from one database's tables to another's.

Owns the types of shipped columns and what becomes of a value between two servers: out of
the one as the plain Python value that its backend makes of the column, into the other as
its backend wants it. What a custom field makes of a value (``from_db_value``) is left to the
end, where the row is read; JSON travels as its text.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.db import NotSupportedError, models
from django.utils.duration import duration_microseconds

from xdbrel import keys

Convert = Callable[[Any], Any]

_TEXTS = ("CharField", "TextField", "FileField", "FilePathField", "SlugField")
#: The longest text that MariaDB and MySQL index whole, with four bytes for a character.
_INDEXABLE = 255


def plain(field: Any) -> Any:
    """Return the field that says what a column holds: a key's last target, a result's type."""
    field = keys.key_field(field)
    while field.get_internal_type() == "GeneratedField":
        field = keys.key_field(field.output_field)
    return field


def is_text(field: Any) -> bool:
    """Tell whether a collation decides how values of ``field`` compare."""
    return plain(field).get_internal_type() in _TEXTS


def column_type(field: Any, connection: Any, home: Any) -> str:
    """Return the type of a column at ``connection`` that takes ``field``'s values from ``home``.

    Raises ``NotSupportedError`` where that database has no such type.
    """
    field = plain(field)
    kind = None
    if is_text(field):
        length = getattr(field, "max_length", None)
        if connection.vendor == "mysql":
            kind = f"varchar({length})" if length and length <= 1_000 else "longtext"
            if home.vendor != "mysql":
                kind += " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        else:
            # Without a length, which the other side may count in another way.
            kind = "text"
    elif isinstance(field, (models.IntegerField, models.AutoField)):
        kind = "bigint"
    elif field.get_internal_type() == "DecimalField" and field.max_digits is None:
        kind = {"mysql": "decimal(65, 30)"}.get(connection.vendor, "numeric")
    else:
        kind = field.cast_db_type(connection)
    if kind is None:
        raise NotSupportedError(
            f"Values of {type(field).__name__} cannot be brought from database {home.alias!r} to "
            f"{connection.alias!r}, which has no such type."
        )
    return str(kind)


def is_indexable(field: Any, connection: Any) -> bool:
    """Tell whether a column of ``field`` may bear an index without further words."""
    field = plain(field)
    if not is_text(field):
        return field.get_internal_type() not in ("JSONField", "BinaryField")
    return connection.vendor != "mysql" or 0 < (field.max_length or 0) <= _INDEXABLE


def rows_of(compiler: Any, rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield rows that ``compiler`` read, as plain Python values."""
    if compiler.select is None:
        return
    expressions = [column[0] for column in compiler.select[: compiler.col_count]]
    converters = []
    for index, expression in enumerate(expressions):
        found = list(compiler.connection.ops.get_db_converters(expression))
        if getattr(expression, "convert_value", None) is not getattr(
            expression, "_convert_value_noop", None
        ):
            found.append(expression.convert_value)
        if found:
            converters.append((index, expression, found))
    connection = compiler.connection
    for row in rows:
        if not converters:
            yield row
            continue
        values = list(row)
        for index, expression, found in converters:
            value = values[index]
            for convert in found:
                value = convert(value, expression, connection)
            values[index] = value
        yield values


def adapter(field: Any, connection: Any) -> Convert | None:
    """Return what makes a parameter of a plain value of ``field``; ``None`` for nothing."""
    field = plain(field)
    kind = field.get_internal_type()
    ops, features = connection.ops, connection.features
    if kind == "DateTimeField":
        return lambda value: ops.adapt_datetimefield_value(_moment(value))
    if kind == "DateField":
        return ops.adapt_datefield_value  # type: ignore[no-any-return]
    if kind == "TimeField":
        return ops.adapt_timefield_value  # type: ignore[no-any-return]
    if kind == "DecimalField" and connection.vendor != "postgresql":
        return lambda value: str(value) if connection.vendor == "sqlite" else value
    if kind == "DurationField" and not features.has_native_duration_field:
        return lambda value: (
            duration_microseconds(value) if isinstance(value, datetime.timedelta) else value
        )
    if kind == "UUIDField" and not features.has_native_uuid_field:
        return lambda value: value.hex if isinstance(value, uuid.UUID) else value
    if kind == "BinaryField":
        return lambda value: bytes(value)
    if kind == "BooleanField":
        return bool
    return None


def _moment(value: Any) -> Any:
    # MIN() and the like of a date may be plain dates.
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.datetime(value.year, value.month, value.day)
    return value
