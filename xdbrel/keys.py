"""Keys on their way between databases: chunks, predicates and JSON.

Owns how a list of keys enters a statement. PostgreSQL and SQLite take a whole list as
one parameter, which neither meets the limit of parameters nor compiles a thousand
placeholders; elsewhere, and for types that an array does not carry faithfully, it is
an ``IN`` list. A key of several columns (a ``CompositePrimaryKey``, a
``fields.key.CompositeKey``) is a tuple in Python and a list in JSON, and enters a statement
as a row of values. Where keys lead is for ``xdbrel.relations`` and ``xdbrel.placement``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import ColPairs
from django.db.models.fields.composite import CompositePrimaryKey
from django.db.models.lookups import Lookup
from django.db.models.sql.compiler import SQLCompiler

from xdbrel.conf import settings

T = TypeVar("T")

_INTEGERS = (models.IntegerField, models.AutoField)
_TEXTS = (models.CharField, models.TextField)


def chunk_size(
    using: str, field: models.Field[Any, Any], *, parameters: int = 1, listed: bool = False
) -> int:
    """Return how many keys of ``field`` one statement on ``using`` may carry.

    ``parameters`` is how often the statement names each key. The database's own limit
    counts where the keys are separate parameters, ``XDBREL["CHUNK_SIZE"]`` always.
    ``listed`` tells that they are separate (``__in``) even where ``KeyIn`` needs just one.
    """
    connection = connections[using]
    if not listed and _as_one_parameter(field, connection):
        return settings.CHUNK_SIZE
    limit = connection.features.max_query_params
    if limit is None:
        return settings.CHUNK_SIZE
    return max(1, min(settings.CHUNK_SIZE, limit // (parameters * len(columns_of(field)))))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield ``items`` in lists of at most ``size``."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def key_field(field: models.Field[Any, Any]) -> models.Field[Any, Any]:
    """Return the field that gives ``field``'s values their type: a foreign key's last target."""
    while field.remote_field is not None and hasattr(field, "target_field"):
        field = field.target_field
    return field


class KeySet(Sequence[Any]):
    """Keys that know a way of their own into a statement, by which nobody makes them objects.

    ``_keys`` makes them such for who needs that after all.
    """

    _keys: Any

    def __getitem__(self, place: Any) -> Any:
        return self._keys[place]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys)

    def test(
        self, column: str, field: models.Field[Any, Any], connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]] | None:
        """Return the predicate that ``column`` is one of them; ``None`` if it has to be a list.

        ``field`` gives the column its type. The column may stand there more than once.
        """
        raise NotImplementedError


def is_composite(field: models.Field[Any, Any]) -> bool:
    """Tell whether the field's keys are tuples: those of several columns."""
    return isinstance(key_field(field), CompositePrimaryKey)


def columns_of(field: models.Field[Any, Any]) -> tuple[models.Field[Any, Any], ...]:
    """Return the fields that give a key its values: several, or the one that it is."""
    if isinstance(field, models.ForeignObject) and len(field.foreign_related_fields) > 1:
        # One of Django's own has no field that would stand for all of them.
        return tuple(map(key_field, field.foreign_related_fields))
    field = key_field(field)
    if isinstance(field, CompositePrimaryKey):
        columns: Any = field.fields
        return tuple(columns)
    return (field,)


def is_whole(key: Any) -> bool:
    """Tell whether ``key`` is a key: NULL is none, and neither is a tuple that holds one.

    That is what SQL calls MATCH SIMPLE.
    """
    return None not in key if isinstance(key, tuple) else key is not None


class KeyIn(Lookup):
    """A predicate: the column is one of these keys. Pass it to ``filter()`` as it is.

    ``KeyIn(F("author_id"), [1, 2, 3])``; the keys are Python values of the column's
    field, tuples where it is several columns. One chunk of keys per predicate: see
    ``chunk_size``.
    """

    lookup_name = "xdbrel_key_in"
    prepare_rhs = False
    allows_composite_expressions = True
    rhs: Sequence[Any]

    def as_sql(  # type: ignore[override]
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        if isinstance(self.lhs, ColPairs):
            return self._of_tuples(compiler, connection)
        field = key_field(self.lhs.output_field)
        if isinstance(self.rhs, KeySet) and self.rhs:
            column, column_params = compiler.compile(self.lhs)
            made = None if column_params else self.rhs.test(column, field, connection)
            if made is not None:
                return made
        # NULL is no key and equals nothing.
        numbers = _is_plain(field, _INTEGERS) and all(type(key) is int for key in self.rhs)
        if numbers:
            # Nothing would be made of them, ten thousand times.
            keys = list(self.rhs)
        else:
            keys = [
                field.get_db_prep_value(key, connection, prepared=False)
                for key in self.rhs
                if key is not None
            ]
        if not keys:
            raise EmptyResultSet
        column, column_params = compiler.compile(self.lhs)
        params = list(column_params)
        if _as_one_parameter(field, connection):
            if connection.vendor == "postgresql":
                array = array_type(field)
                # Spelled out where nothing has to be quoted: the driver takes far longer
                # over a list.
                spelled = keys if array == "text[]" else f"{{{','.join(map(str, keys))}}}"
                return f"{column} = ANY(%s::{array})", [*params, spelled]
            return (
                f"{column} IN (SELECT value FROM json_each(%s))",  # noqa: S608
                [*params, json.dumps(keys)],
            )
        if numbers and connection.vendor == "mysql":
            # Its driver writes parameters into the statement one by one, which takes as long
            # as the database does over them.
            return f"{column} IN ({', '.join(map(str, keys))})", params
        placeholders = ", ".join(["%s"] * len(keys))
        return f"{column} IN ({placeholders})", [*params, *keys]

    def _of_tuples(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        columns: list[Any] = self.lhs.get_cols()
        rows = prepared_rows([column.output_field for column in columns], self.rhs, connection)
        if not rows:
            raise EmptyResultSet
        compiled = [compiler.compile(column) for column in columns]
        sql = f"({', '.join(sql for sql, _ in compiled)})"
        params = [param for _, its in compiled for param in its]
        listed = listed_rows([column.output_field for column in columns], rows, connection)
        return f"{sql} IN {listed[0]}", [*params, *listed[1]]


def prepared_rows(
    fields: Sequence[models.Field[Any, Any]],
    keys: Iterable[Any],
    connection: BaseDatabaseWrapper,
) -> list[tuple[Any, ...]]:
    """Return the tuples that are keys as the database is given their values."""
    prepare = [key_field(field).get_db_prep_value for field in fields]
    return [
        tuple(one(value, connection, False) for one, value in zip(prepare, key, strict=True))
        for key in keys
        if is_whole(key)
    ]


def listed_rows(
    fields: Sequence[models.Field[Any, Any]],
    rows: Sequence[tuple[Any, ...]],
    connection: BaseDatabaseWrapper,
) -> tuple[str, list[Any]]:
    """Return what follows ``IN`` for these rows of values, in parentheses."""
    if connection.vendor == "postgresql":
        arrays = [_tuple_array_type(key_field(field)) for field in fields]
        if None not in arrays:
            unnested = ", ".join(f"%s::{array}" for array in arrays)
            return (
                f"(SELECT * FROM unnest({unnested}))",  # noqa: S608 (types of ours)
                [list(column) for column in zip(*rows, strict=True)],
            )
    elif connection.vendor == "sqlite" and all(map(_is_json_alike, fields)):
        values = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(len(fields)))
        return f"(SELECT {values} FROM json_each(%s))", [json.dumps(rows)]  # noqa: S608
    row = f"({', '.join(['%s'] * len(fields))})"
    # SQLite takes a list of rows by this name alone.
    front = "VALUES " if connection.vendor == "sqlite" else ""
    return f"({front}{', '.join([row] * len(rows))})", [value for one in rows for value in one]


def encode(values: Iterable[Any], field: models.Field[Any, Any]) -> list[Any]:
    """Return keys of ``field`` as values that JSON carries, to the last microsecond."""
    field = key_field(field)
    if isinstance(field, CompositePrimaryKey):
        return list(map(list, _column_by_column(encode, values, field)))
    if isinstance(field, _INTEGERS):
        return [
            _integer(value, field) if isinstance(value, str) else field.get_prep_value(value)
            for value in values
        ]
    if isinstance(field, _TEXTS):
        return [field.get_prep_value(value) for value in values]
    # What the field's own serialization makes of a value, its to_python() understands.
    return [
        field.value_to_string(SimpleNamespace(**{field.attname: value}))  # type: ignore[arg-type]
        for value in values
    ]


def decode(values: Iterable[Any], field: models.Field[Any, Any]) -> list[Any]:
    """Return what ``encode`` was given: the keys as Python values of ``field``."""
    field = key_field(field)
    if isinstance(field, CompositePrimaryKey):
        return _column_by_column(decode, values, field)
    if _is_plain(field, _INTEGERS):
        return [value if type(value) is int else _integer(value, field) for value in values]
    return [field.to_python(value) for value in values]


def _column_by_column(
    convert: Callable[[Iterable[Any], Any], list[Any]], values: Iterable[Any], field: Any
) -> list[tuple[Any, ...]]:
    """Return tuples whose parts each went through ``convert`` as keys of their own column."""
    rows = list(values)
    if not rows:
        return []
    parts = zip(zip(*rows, strict=True), columns_of(field), strict=True)
    return list(zip(*(convert(part, column) for part, column in parts), strict=True))


def decode_any(values: Iterable[Any], field: models.Field[Any, Any]) -> list[Any]:
    """Return what ``decode`` does, and what is no key of ``field`` as it is.

    A column of another type may hold what its targets' keys cannot be.
    """
    values = list(values)
    try:
        return decode(values, field)
    except (ValidationError, ValueError, TypeError):
        if len(values) == 1:
            return values
    return [key for value in values for key in decode_any([value], field)]


def _integer(value: Any, field: models.Field[Any, Any]) -> Any:
    """Return a number; a text that writes none, or not as numbers are written, as it is.

    Such texts are in columns that hold texts, whatever their fields say.
    """
    try:
        found = field.to_python(value)
    except ValidationError:
        return value
    return value if isinstance(value, str) and str(found) != value else found


def as_one_parameter(field: models.Field[Any, Any], using: str) -> bool:
    """Tell whether ``using`` takes a whole list of the field's keys as one parameter."""
    return _as_one_parameter(field, connections[using])


def is_plain_integer(field: models.Field[Any, Any]) -> bool:
    """Tell whether the column holds integers as Python has them."""
    return _is_plain(field, _INTEGERS)


def _as_one_parameter(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> bool:
    field = key_field(field)
    if isinstance(field, CompositePrimaryKey):
        if connection.vendor == "postgresql":
            return all(_tuple_array_type(key_field(one)) for one in columns_of(field))
        return connection.vendor == "sqlite" and all(map(_is_json_alike, columns_of(field)))
    if connection.vendor == "postgresql":
        return array_type(field) is not None
    if connection.vendor == "sqlite":
        # json_each() gives integers and text as what they are; a decimal or a date would
        # be compared by another rule than the column's.
        return _is_plain(field, (*_INTEGERS, *_TEXTS, models.UUIDField))
    return False


def array_type(field: models.Field[Any, Any]) -> str | None:
    """Return PostgreSQL's type for an array of keys; None where it would carry them otherwise."""
    # Without a length: casting to varchar(n)[] would cut a key short and match another.
    if _is_plain(field, _INTEGERS):
        return "bigint[]"
    if _is_plain(field, (models.UUIDField,)):
        return "uuid[]"
    if _is_plain(field, _TEXTS):
        return "text[]"
    return None


def _tuple_array_type(field: models.Field[Any, Any]) -> str | None:
    """Return PostgreSQL's type for an array of one column's values of tuples."""
    found = array_type(field)
    if found is not None:
        return found
    if _is_plain(field, (models.DateTimeField,)):
        return "timestamptz[]"
    if _is_plain(field, (models.DateField,)):
        return "date[]"
    if _is_plain(field, (models.DecimalField,)):
        return "numeric[]"
    return None


def _is_json_alike(field: models.Field[Any, Any]) -> bool:
    """Tell whether SQLite finds in JSON the very value that it has in the column."""
    # Moments are texts there, which nothing makes numbers of.
    kinds = (*_INTEGERS, *_TEXTS, models.UUIDField, models.DateField)
    return _is_plain(key_field(field), kinds)


def _is_plain(field: models.Field[Any, Any], kinds: tuple[type[Any], ...]) -> bool:
    """Tell whether the column's type is the kind's own: a subclass may have another."""
    if not isinstance(field, kinds):
        return False
    return type(field).db_type is models.Field.db_type or type(field).__module__.startswith(
        "django.db.models."
    )
