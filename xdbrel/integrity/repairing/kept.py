"""A table's rows as they stand in its columns: written as JSON, and inserted again.

Owns the way between column and JSON. It goes past every field's own conversions, which may
lose what they do not show (JSON's null and SQL's, a custom field's value), and past the
drivers' where the database spells its values out exactly. Which rows, and when, is for
``quarantine``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db import connections, models
from django.db.models import F, Func
from django.db.models.sql.compiler import SQLCompiler

from xdbrel import keys

#: Most rows in one statement that inserts.
ROWS = 500

#: MariaDB's and MySQL's columns of time, whose values Python's types do not all hold.
_TEMPORAL = ("date", "time", "year")


class _AsItStands(Func):
    """What stands in a column, untouched by what it means."""

    arity = 1

    def __init__(self, field: models.Field[Any, Any]) -> None:
        # A field of no kind: no converter, Django's or the backend's, knows it.
        super().__init__(F(field.attname), output_field=models.Field())
        self.kept = field

    def as_postgresql(
        self, compiler: SQLCompiler, connection: Any, **context: Any
    ) -> tuple[str, Any]:
        # Text goes out and comes in exactly, whatever the type: dumps rest on that.
        return super().as_sql(compiler, connection, template="(%(expressions)s)::text", **context)

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        # The sign takes the declared type away, and with it the driver's converter.
        return super().as_sql(compiler, connection, template="+(%(expressions)s)", **context)

    def as_mysql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        kind = self.kept.db_type(connection) or ""
        template = (
            "CAST(%(expressions)s AS CHAR)" if kind.startswith(_TEMPORAL) else "%(expressions)s"
        )
        return super().as_sql(compiler, connection, template=template, **context)


def columns(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    """Return the fields of ``model``'s own table that hold a value somebody wrote."""
    return [field for field in model._meta.local_concrete_fields if not _is_generated(field)]


def unknown_columns(model: type[models.Model], *, using: str) -> list[str]:
    """Return the columns of the table that no field of ``model`` stands for."""
    connection = connections[using]
    with connection.cursor() as cursor:
        described = connection.introspection.get_table_description(cursor, model._meta.db_table)
    known = {str(field.column).lower() for field in model._meta.local_concrete_fields}
    return sorted(column.name for column in described if column.name.lower() not in known)


def read(
    model: type[models.Model], pks: Iterable[Any], *, using: str
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the primary key and the columns of each row, locked where the database can."""
    fields = columns(model)
    kept = [_AsItStands(field) for field in fields]
    names = [str(field.column) for field in fields]
    for chunk in keys.chunks(pks, keys.chunk_size(using, model._meta.pk, listed=True)):
        rows = model._base_manager.using(using).filter(pk__in=chunk).order_by()
        for pk, *values in rows.select_for_update().values_list("pk", *kept):
            yield pk, {name: encode(value) for name, value in zip(names, values, strict=True)}


def insert(model: type[models.Model], rows: Sequence[Mapping[str, Any]], *, using: str) -> None:
    """Insert what ``read`` gave. No signal is sent; ``IntegrityError`` is raised as it comes.

    A field that was added since takes its default.
    """
    connection = connections[using]
    name = connection.ops.quote_name
    known = {str(field.column): field for field in columns(model)}
    for several in _alike(rows, known):
        fresh = {
            column: field.get_db_prep_save(field.get_default(), connection)
            for column, field in known.items()
            if column not in several[0] and field.db_default is models.NOT_PROVIDED
        }
        written = [*several[0], *fresh]
        into = ", ".join(name(column).replace("%", "%%") for column in written)
        table = name(model._meta.db_table).replace("%", "%%")
        one = f"({', '.join(['%s'] * len(written))})"
        limit = connection.features.max_query_params
        size = ROWS if limit is None else max(1, min(ROWS, limit // len(written)))
        for chunk in keys.chunks(several, size):
            values = ", ".join([one] * len(chunk))
            with connection.cursor() as cursor:
                cursor.execute(
                    f"INSERT INTO {table} ({into}) VALUES {values}",  # noqa: S608
                    [
                        value
                        for row in chunk
                        for value in (*map(decode, row.values()), *fresh.values())
                    ],
                )


def lost_columns(model: type[models.Model], row: Mapping[str, Any]) -> list[str]:
    """Return the columns of ``row`` with a value that ``model``'s table has no more."""
    known = {field.column for field in columns(model)}
    return sorted(name for name, value in row.items() if value is not None and name not in known)


def encode(value: Any) -> Any:
    """Return what JSON carries of a driver's value, without loss; raises ``TypeError``."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    raise TypeError(f"{type(value).__name__} cannot be kept as JSON")


def decode(value: Any) -> Any:
    """Return what ``encode`` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    return _KINDS[kind](text)


_KINDS: dict[str, Any] = {"float": float, "decimal": Decimal, "bytes": base64.b64decode}


def _alike(
    rows: Sequence[Mapping[str, Any]], known: Mapping[str, Any]
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the rows in lists of those that have the same columns, in the same order."""
    lists: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        names = tuple(sorted(name for name in row if name in known))
        lists.setdefault(names, []).append({name: row[name] for name in names})
    yield from lists.values()


def _is_generated(field: models.Field[Any, Any]) -> bool:
    return bool(getattr(field, "generated", False))
