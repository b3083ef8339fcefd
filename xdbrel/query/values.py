"""Values on their way from one database's tables to another's.

Owns the types of shipped columns and what becomes of a value between two servers: out of
the one as the plain Python value that its backend makes of the column, into the other as
its backend wants it. What a custom field makes of a value (``from_db_value``) is left to the
end, where the row is read; JSON travels as its text. A value that the other database cannot
hold is refused, never changed: what SQLite, PostgreSQL and MariaDB take differs at the ends.
By which rules text compares is for ``query.collations``.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.db import DataError, NotSupportedError, models
from django.db.models.expressions import Col, ColPairs
from django.db.models.fields.json import KeyTransform
from django.utils.duration import duration_microseconds

from xdbrel import keys
from xdbrel.query import collations

Convert = Callable[[Any], Any]
Rows = Sequence[Sequence[Any]]

TEXTS = ("CharField", "TextField", "FileField", "FilePathField", "SlugField")
INTEGERS = (
    "AutoField",
    "BigAutoField",
    "SmallAutoField",
    "IntegerField",
    "BigIntegerField",
    "SmallIntegerField",
    "PositiveIntegerField",
    "PositiveBigIntegerField",
    "PositiveSmallIntegerField",
)
#: The longest text that MariaDB and MySQL index whole, and the length of a longer one's index.
_INDEXABLE = 255
_LARGEST = 2**63 - 1
#: Of a decimal number: what SQLite keeps of its digits, what MariaDB has at most.
_SQLITE_DIGITS = 15
_MYSQL_DIGITS, _MYSQL_PLACES = 65, 30
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def plain(field: Any) -> Any:
    """Return the field that says what a column holds: a key's last target, a result's type."""
    field = keys.key_field(field)
    while field.get_internal_type() == "GeneratedField":
        field = keys.key_field(field.output_field)
    return field


def is_text(field: Any) -> bool:
    """Tell whether a collation decides how values of ``field`` compare."""
    return plain(field).get_internal_type() in TEXTS


def has_own_type(field: Any) -> bool:
    """Tell whether the class of ``field`` names a column type by itself."""
    kind = type(plain(field))
    return kind.db_type is not models.Field.db_type and not kind.db_type.__module__.startswith(
        "django.db.models."
    )


def column_type(field: Any, connection: Any, home: Any, *, key: bool = False) -> str:
    """Return the type of a column at ``connection`` that takes ``field``'s values from ``home``.

    ``key`` tells that rows are found by it. Raises ``NotSupportedError`` where that database
    has no such type.
    """
    column, field = field, plain(field)
    internal = field.get_internal_type()
    mysql = connection.vendor == "mysql"
    kind: str | None
    if has_own_type(field):
        kind = field.cast_db_type(connection)
        if field.__class__.__module__.startswith("django.contrib.postgres.") and (
            connection.vendor != "postgresql"
        ):
            kind = None
    elif internal in TEXTS:
        # Without a length: SQLite keeps none, and the other side may count in another way.
        kind = "text"
        if mysql:
            length = getattr(field, "max_length", None) or 0
            short = home.vendor != "sqlite" and 0 < length <= _INDEXABLE
            kind = f"varchar({length})" if short else "longtext"
        kind += collations.clause(column, home, connection, key=key)
    elif internal in INTEGERS:
        kind = "bigint"
        if mysql and home.vendor == "mysql" and internal == "PositiveBigIntegerField":
            kind = "bigint unsigned"
    elif internal == "DecimalField":
        kind = _decimal_type(field, connection)
    elif internal == "DurationField" and not connection.features.has_native_duration_field:
        kind = "bigint"
    else:
        kind = field.cast_db_type(connection)
    if kind is None:
        raise NotSupportedError(
            f"Values of {_name(column)} ({type(field).__name__}) cannot be brought from database "
            f"{home.alias!r} to {connection.alias!r}, which has no such type."
        )
    return kind


def _decimal_type(field: Any, connection: Any) -> str | None:
    digits, places = field.max_digits, field.decimal_places
    if connection.vendor != "mysql":
        return "numeric" if digits is None else str(field.cast_db_type(connection))
    if digits is None:
        return f"decimal({_MYSQL_DIGITS}, {_MYSQL_PLACES})"
    if digits > _MYSQL_DIGITS or places > _MYSQL_PLACES:
        return None
    return f"decimal({digits}, {places})"


def is_indexable(field: Any) -> bool:
    """Tell whether a column of ``field`` may bear an index without further words."""
    return not has_own_type(field) and plain(field).get_internal_type() not in (
        "JSONField",
        "BinaryField",
    )


def index_length(field: Any, kind: str) -> str:
    """Return what follows the column's name in an index of MariaDB."""
    return f"({_INDEXABLE})" if is_text(field) and kind.startswith("longtext") else ""


def one_by_one(select: Iterable[Any]) -> Iterator[tuple[Any, str | None]]:
    """Yield what a compiler selects with its alias, a key of several columns as these."""
    for expression, _, alias in select:
        if isinstance(expression, ColPairs):
            yield from ((column, None) for column in expression.get_cols())
        else:
            yield expression, alias


def rows_of(compiler: Any, chunks: Iterable[Rows]) -> Iterator[Rows]:
    """Yield what ``compiler`` read, rows in lists, as plain Python values."""
    if compiler.select is None:
        return
    connection = compiler.connection
    converters: list[tuple[int, Convert]] = []
    selected = compiler.select[: compiler.col_count]
    for index, (expression, _) in enumerate(one_by_one(selected)):
        if isinstance(expression, Col):
            # A foreign key's column is converted as what it points at.
            expression = Col(expression.alias, expression.target, plain(expression.output_field))
        found = list(connection.ops.get_db_converters(expression))
        if getattr(expression, "convert_value", None) is not getattr(
            expression, "_convert_value_noop", None
        ):
            found.append(expression.convert_value)
        if isinstance(expression, KeyTransform) and connection.vendor == "sqlite":
            # The only one that takes values out of their JSON.
            found.append(_json_again)
        if found:
            converters.append((index, _one_after_the_other(found, expression, connection)))
    for chunk in chunks:
        yield _changed(chunk, converters) if converters else chunk


def _one_after_the_other(converters: Sequence[Any], expression: Any, connection: Any) -> Convert:
    def convert(value: Any) -> Any:
        for converter in converters:
            value = converter(value, expression, connection)
        return value

    return convert


def _changed(rows: Rows, changes: Sequence[tuple[int, Convert]]) -> Rows:
    made = [list(row) for row in rows]
    for index, change in changes:
        for row in made:
            row[index] = change(row[index])
    return made


def _json_again(value: Any, expression: Any, connection: Any) -> Any:
    if value is None:
        return None
    field = expression.output_field
    return json.dumps(field.from_db_value(value, expression, connection), cls=field.encoder)


def adapted(
    chunks: Iterator[Rows], fields: Sequence[Any], home: Any, connection: Any
) -> Iterator[Rows]:
    """Yield rows of plain values of ``fields`` from ``home`` as ``connection`` takes them.

    Raises ``DataError`` for what it cannot hold.
    """
    adapters = [
        (index, _unless_null(adapt))
        for index, field in enumerate(fields)
        if (adapt := adapter(field, home, connection)) is not None
    ]
    return (_changed(chunk, adapters) for chunk in chunks) if adapters else chunks


def _unless_null(adapt: Convert) -> Convert:
    return lambda value: None if value is None else adapt(value)


def adapter(field: Any, home: Any, connection: Any) -> Convert | None:
    """Return what makes a parameter of a plain value of ``field``; ``None`` for nothing."""
    column, field = field, plain(field)
    if has_own_type(field):
        return None
    internal = field.get_internal_type()
    ops, features, vendor = connection.ops, connection.features, connection.vendor

    def refuse(why: str) -> None:
        raise DataError(
            f"A value of {_name(column)} cannot be brought from database {home.alias!r} to "
            f"{connection.alias!r}: {why}."
        )

    if internal in TEXTS:
        return _text(refuse) if vendor == "postgresql" != home.vendor else None
    if internal == "PositiveBigIntegerField":
        return _integer(refuse) if home.vendor == "mysql" != vendor else None
    if internal == "FloatField":
        return _float(vendor, refuse) if vendor not in ("postgresql", home.vendor) else None
    if internal == "DecimalField":
        declared = getattr(field, "model", None) is not None
        return _decimal(vendor, declared, refuse) if vendor != "postgresql" else None
    if vendor == "postgresql" == home.vendor and internal != "DateTimeField":
        return None
    if internal == "DateTimeField":
        return lambda value: ops.adapt_datetimefield_value(_moment(value))
    if internal == "DateField":
        return ops.adapt_datefield_value  # type: ignore[no-any-return]
    if internal == "TimeField":
        return ops.adapt_timefield_value  # type: ignore[no-any-return]
    if internal == "DurationField":
        # Where there is no such type it is a number of microseconds, which only the field
        # itself makes into something else.
        return _interval if features.has_native_duration_field else _microseconds
    if internal == "JSONField":
        return _as_django_writes if home.vendor == "postgresql" != vendor else None
    if internal == "UUIDField":
        if features.has_native_uuid_field:
            return None if vendor == "postgresql" else str
        return lambda value: value.hex if isinstance(value, uuid.UUID) else value
    if internal == "BinaryField":
        return bytes
    if internal == "BooleanField":
        return bool
    return None


def _as_django_writes(value: Any) -> Any:
    # Where JSON is text it compares as such, and Django writes it in ASCII.
    if isinstance(value, str) and not value.isascii():
        return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], value)
    return value


def _name(field: Any) -> str:
    model = getattr(field, "model", None)
    return type(field).__name__ if model is None else f"{model._meta.label}.{field.name}"


def _text(refuse: Callable[[str], None]) -> Convert:
    def adapt(value: Any) -> Any:
        if isinstance(value, str) and "\x00" in value:
            refuse("text of PostgreSQL contains no NUL (0x00) character")
        return value

    return adapt


def _integer(refuse: Callable[[str], None]) -> Convert:
    def adapt(value: Any) -> Any:
        if value > _LARGEST:
            refuse(f"integers end at {_LARGEST} there")
        return value

    return adapt


def _float(vendor: str, refuse: Callable[[str], None]) -> Convert:
    def adapt(value: Any) -> Any:
        if not math.isfinite(value) and (vendor == "mysql" or math.isnan(value)):
            refuse(f"there is no number {value} there")
        return value

    return adapt


def _decimal(vendor: str, declared: bool, refuse: Callable[[str], None]) -> Convert:
    """A number that was computed may be rounded, as it is anyway; one that was saved may not."""

    def adapt(value: Any) -> Any:
        if not isinstance(value, decimal.Decimal):
            return value
        if not value.is_finite():
            refuse(f"there is no number {value} there")
        if declared:
            shortest = value.normalize(_EXACT)
            _, digits, exponent = shortest.as_tuple()
            if vendor == "sqlite" and len(digits) > _SQLITE_DIGITS:
                refuse(f"SQLite keeps {_SQLITE_DIGITS} digits of a number")
            if vendor == "mysql" and int(exponent) < -_MYSQL_PLACES:
                refuse(f"numbers have at most {_MYSQL_PLACES} decimal places there")
        return str(value) if vendor == "sqlite" else value

    return adapt


#: As precise as any number is.
_EXACT = decimal.Context(prec=decimal.MAX_PREC)


def _interval(value: Any) -> Any:
    return datetime.timedelta(microseconds=value) if isinstance(value, (int, float)) else value


def _microseconds(value: Any) -> Any:
    return duration_microseconds(value) if isinstance(value, datetime.timedelta) else value


def _moment(value: Any) -> Any:
    # MIN() and the like of a date may be plain dates.
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.datetime(value.year, value.month, value.day)
    return value
