"""One table of a move: its rows as they are read, written and deleted.

Owns the way of rows between two databases. Values are read by the fields' own converters and
written by the fields' own preparation, so that each database spells them in its way; no
instance is made, no ``pre_save()`` runs, and no signal is sent. A row of a multi-table child
is one in each of its tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from django.db import connections, models
from django.db.models import F, Func, sql

from xdbrel import caching, keys
from xdbrel.cascade.capture import Capture
from xdbrel.cascade.triggers.backends import backend_of
from xdbrel.cascade.triggers.install import intents_are_there
from xdbrel.cascade.triggers.owning import owning
from xdbrel.compat import raw_delete
from xdbrel.integrity.repairing import kept
from xdbrel.integrity.repairing.quarantine import decode_pk, encode_pk
from xdbrel.moving.digests import JSON_NULL, digest

#: A row: its values, in the order of the part's fields.
Row = tuple[Any, ...]


class _IsMissing(Func):
    """Whether a column holds SQL's NULL, which Python cannot tell from JSON's."""

    template = "(%(expressions)s IS NULL)"
    arity = 1
    output_field = models.BooleanField()

    def __init__(self, column: str) -> None:
        # Of no kind, so that nothing converts the column first.
        super().__init__(F(column))


@dataclass
class Part:
    """A table of a move, with the rows of it that are chosen at the source.

    ``translations`` map what a column holds at the source to what means the same at the
    destination (ids of content types), by the column's attribute.
    """

    model: type[models.Model]
    source: str
    destination: str
    chosen: models.QuerySet[Any]
    #: Every row of the table.
    whole: bool = True
    translations: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    #: Whether the destination had rows of its own when the move began.
    shared: bool = False

    @property
    def label(self) -> str:
        """``app_label.Model``."""
        return self.model._meta.label

    @cached_property
    def fields(self) -> list[models.Field[Any, Any]]:
        """The fields of the table's own columns, those aside that the database computes."""
        return kept.columns(self.model)

    @cached_property
    def names(self) -> list[str]:
        """The attributes of the fields."""
        return [one.attname for one in self.fields]

    @cached_property
    def _key_places(self) -> list[int]:
        return [self.names.index(one.attname) for one in self.model._meta.pk_fields]

    def key(self, row: Row) -> Any:
        """Return the primary key of a row; a tuple where it is of several columns."""
        places = self._key_places
        if len(places) == 1:
            return row[places[0]]
        return tuple(row[place] for place in places)

    def encode(self, key: Any) -> Any:
        """Return a primary key as JSON carries it."""
        return encode_pk(self.model, key)

    def decode(self, encoded: Any) -> Any:
        """Return what ``encode`` was given."""
        return decode_pk(self.model, encoded)

    def digest(self, row: Row) -> str:
        """Return the digest of a row."""
        return digest(row, self.fields)

    def all(self, using: str) -> models.QuerySet[Any]:
        """Return every row of the table on ``using``, whatever its managers hide."""
        return models.QuerySet(self.model, using=using)

    def page(self, after: Any, size: int) -> list[Row]:
        """Return the next chosen rows at the source, by primary key, behind ``after``."""
        rows = self.chosen.order_by("pk")
        if after is not None:
            rows = rows.filter(pk__gt=after)
        return self.read(rows[:size], self.source)

    def between(self, after: Any, upto: Any) -> list[Row]:
        """Return the chosen rows at the source whose keys are in ``(after, upto]``."""
        rows = self.chosen.order_by().filter(pk__lte=upto)
        if after is not None:
            rows = rows.filter(pk__gt=after)
        return self.read(rows, self.source)

    def by_keys(self, wanted: Iterable[Any], using: str, *, lock: bool = False) -> dict[Any, Row]:
        """Return rows by primary key, of the source or of the destination.

        Rows of the source are as they would be written to the destination.
        """
        found: dict[Any, Row] = {}
        for rows in self.selected(wanted, using):
            for row in self.read(rows.select_for_update() if lock else rows, using):
                found[self.key(row)] = row
        return found

    def selected(self, wanted: Iterable[Any], using: str) -> Iterator[models.QuerySet[Any]]:
        """Yield querysets that have the rows of these keys between them."""
        for chunk in keys.chunks(wanted, keys.chunk_size(using, self.model._meta.pk)):
            yield self.all(using).order_by().filter(keys.KeyIn(F("pk"), chunk))

    def insert(self, rows: Sequence[Row], using: str) -> None:
        """Insert rows as they are; raises what the database raises."""
        connection = connections[using]
        objects: Any = [
            SimpleNamespace(**dict(zip(self.names, row, strict=True)))
            for row in self._as_at(rows, using)
        ]
        size = max(1, connection.ops.bulk_batch_size(self.fields, objects))
        with _zero_as_a_key(connection, 0 in map(self.key, rows)):
            for chunk in keys.chunks(objects, size):
                query = sql.InsertQuery(self.model)
                query.insert_values(self.fields, chunk, raw=True)
                query.get_compiler(using=using).execute_sql()
        caching.invalidate([self.model], using)

    def update(self, rows: Iterable[Row], using: str) -> None:
        """Give rows that are there the values of these, by primary key."""
        connection = connections[using]
        quote = connection.ops.quote_name
        rest = [one for one in self.fields if one not in self.model._meta.pk_fields]
        if not rest:
            return
        for row in self._as_at(rows, using):
            values = dict(zip(self.names, row, strict=True))
            params: list[Any] = []
            places = []
            for one in [*rest, *self.model._meta.pk_fields]:
                value = values[one.attname]
                if value is JSON_NULL:
                    places.append(f"{quote(str(one.column))} = 'null'".replace("%", "%%"))
                    continue
                holder = getattr(one, "get_placeholder", None)
                place = "%s" if holder is None else holder(value, None, connection)
                places.append(f"{quote(str(one.column)).replace('%', '%%')} = {place}")
                params.append(one.get_db_prep_save(value, connection))
            table = quote(self.model._meta.db_table).replace("%", "%%")
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {table} SET {', '.join(places[: len(rest)])} "  # noqa: S608
                    f"WHERE {' AND '.join(places[len(rest) :])}",
                    params,
                )
        caching.invalidate([self.model], using)

    def delete(self, wanted: Iterable[Any], using: str) -> int:
        """Delete rows by key: no signal is sent, and nothing follows."""
        deleted = sum(raw_delete(rows, using) for rows in self.selected(wanted, using))
        caching.invalidate([self.model], using)
        return deleted

    def read(self, rows: models.QuerySet[Any], using: str) -> list[Row]:
        """Return what a queryset of the table finds on ``using``."""
        nullable = [
            place for place, one in enumerate(self.fields) if isinstance(one, models.JSONField)
        ]
        marks = [_IsMissing(self.names[place]) for place in nullable]
        found: list[Row] = list(rows.values_list(*self.names, *marks))
        width = len(self.names)
        if nullable:
            found = [_with_json_null(row, nullable, width) for row in found]
        if using == self.source and self.translations:
            return self._translated(found, self.translations)
        return found

    def _as_at(self, rows: Iterable[Row], using: str) -> Iterable[Row]:
        """Return rows with the ids of content types that ``using`` has for them."""
        if using != self.source or not self.translations:
            return rows
        back = {
            name: {new: old for old, new in pairs.items()}
            for name, pairs in self.translations.items()
        }
        return self._translated(rows, back)

    def _translated(
        self, rows: Iterable[Row], by_name: Mapping[str, Mapping[Any, Any]]
    ) -> list[Row]:
        pairs = [by_name.get(name) for name in self.names]
        return [
            tuple(
                value if known is None else known.get(value, value)
                for value, known in zip(row, pairs, strict=True)
            )
            for row in rows
        ]


def is_captured(using: str) -> bool:
    """Tell whether triggers of xdbrel's stand in the database ``using``."""
    if not intents_are_there(using):
        return False
    try:
        return bool(backend_of(using).standing(connections[using]))
    except NotImplementedError:
        return False


@contextmanager
def own_writes(using: str, *, captured: bool) -> Iterator[None]:
    """Let nothing follow what the block writes, in the open transaction on ``using``.

    Triggers, where they stand (``captured``), write down deletes and changed keys; here no
    row goes and no key changes, since rows only go from one place to another.
    """
    if not captured:
        yield
        return
    capture = Capture(using, by_triggers=True)
    with owning(using, capture.token):
        yield
        capture.forget()


@contextmanager
def _zero_as_a_key(connection: Any, needed: bool) -> Iterator[None]:
    """Let MariaDB take 0 for a key, and not for the wish to be given one."""
    if not needed or connection.vendor != "mysql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.sql_mode")
        (before,) = cursor.fetchone()
        cursor.execute("SET SESSION sql_mode = %s", [f"{before},NO_AUTO_VALUE_ON_ZERO"])
        # Asked for once, and then remembered: Django refuses a 0 by it.
        known = connection.features.allows_auto_pk_0
        connection.features.allows_auto_pk_0 = True
        try:
            yield
        finally:
            connection.features.allows_auto_pk_0 = known
            cursor.execute("SET SESSION sql_mode = %s", [before])


def _with_json_null(row: Row, places: Sequence[int], width: int) -> Row:
    values = list(row[:width])
    for place, missing in zip(places, row[width:], strict=True):
        if values[place] is None and not missing:
            values[place] = JSON_NULL
    return tuple(values)
