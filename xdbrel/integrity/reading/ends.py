"""The two ends of a relation, as a scan reads them.

Owns which rows, which column and which alias; and what is known of the keys' type. An
end is always read at its home: a replica may lag behind. What is asked of the source is
in ``sources``, what is asked of the target in ``targets``.
"""

from __future__ import annotations

import decimal
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import connections, models
from django.db.models import ExpressionWrapper, F, Func, Q
from django.db.models.fields.composite import CompositePrimaryKey
from django.db.models.lookups import (
    GreaterThan,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
)
from django.db.models.sql.compiler import SQLCompiler

from xdbrel import keys
from xdbrel.integrity.reading import columns
from xdbrel.relations import Relation, is_composite

_INTEGERS = (models.IntegerField, models.AutoField)
_TEXTS = (models.CharField, models.TextField)
_TIMES = (models.DateTimeField, models.DateField)

#: What a field may change on the way between column and Python.
_CONVERSIONS = ("db_type", "get_prep_value", "get_db_prep_value", "get_db_converters", "to_python")

#: Fields that describe a column of another type than its own field says.
_MADE: dict[str, type[models.Field[Any, Any]]] = {
    columns.INTEGER: models.BigIntegerField,
    columns.TEXT: models.TextField,
    columns.UUID: models.UUIDField,
}

#: What integers a column holds, unless it is one of MariaDB's without a sign.
LEAST, MOST = -(2**63), 2**63 - 1
_MOST_UNSIGNED = 2**64 - 1

_LOOKUPS: dict[str, type[Any]] = {
    "gt": GreaterThan,
    "gte": GreaterThanOrEqual,
    "lt": LessThan,
    "lte": LessThanOrEqual,
}

#: The name that a key's column has in a query of ours.
KEY = "xdbrel_key"


@dataclass(frozen=True)
class End:
    """The rows of ``model`` that hold a key in ``field``, in the database ``using``.

    ``field`` may be a parent's: a multi-table child is asked through its parent link.

    Keys of several columns are tuples; each of the columns is one of ``parts``. What a scan
    asks of them is in ``tuples``.

    The column of an unmanaged table may be of another type than its field says. Keys are
    then what the column holds, texts of digits, say, and ``own`` makes one end's of the
    other's.
    """

    relation: Relation
    model: type[models.Model]
    field: models.Field[Any, Any]
    using: str
    #: Which rows of the model count; None for all.
    of_these: Q | None = None

    @property
    def attname(self) -> str:
        """The name by which a query speaks of the key's column."""
        return self.field.attname

    @property
    def vendor(self) -> str:
        return connections[self.using].vendor

    def all_rows(self) -> models.QuerySet[Any]:
        """Return the rows, whether they hold a key or not, in no order."""
        found = self.model._base_manager.using(self.using).order_by()
        return found if self.of_these is None else found.filter(self.of_these)

    def rows(self, condition: Q | None = None) -> models.QuerySet[Any]:
        """Return the rows that hold a key, in no order."""
        found = self.all_rows()
        if any(part.null for part in self.fields):
            found = found.filter(**{f"{self.attname}__isnull": False})
        return found if condition is None else found.filter(condition)

    def between(
        self, after: Any = None, upto: Any = None, *, before: Any = None, since: Any = None
    ) -> Q:
        """Return the condition that keys are above, up to, below or from these; None is no bound.

        Lower and higher are the database's own: its collation, its order of UUIDs.
        """
        bounds = {"gt": after, "gte": since, "lt": before, "lte": upto}
        given = {lookup: bound for lookup, bound in bounds.items() if bound is not None}
        if self._stand_in is None:
            return Q(**{f"{self.attname}__{lookup}": bound for lookup, bound in given.items()})
        return Q(*(_LOOKUPS[lookup](self.key, self.own(bound)) for lookup, bound in given.items()))

    @cached_property
    def fields(self) -> tuple[models.Field[Any, Any], ...]:
        """The fields that hold the key: several, or the one that it is."""
        if is_composite(self.field):
            own: tuple[models.Field[Any, Any], ...] = self.field.local_related_fields  # type: ignore[attr-defined]
            return own
        if isinstance(self.field, CompositePrimaryKey):
            return keys.columns_of(self.field)
        return (self.field,)

    @property
    def is_composite(self) -> bool:
        """Whether keys are tuples: those of several columns."""
        return len(self.fields) > 1

    @cached_property
    def parts(self) -> tuple[End, ...]:
        """This end, for each of the columns alone."""
        return tuple(End(self.relation, self.model, one, self.using) for one in self.fields)

    @cached_property
    def column(self) -> columns.Column:
        """What the database says of the key's column, looked up once.

        Of several columns: whether an index begins with one of them, and the most different
        values that one of them has.
        """
        if self.is_composite:
            known = [part.column for part in self.parts]
            return columns.Column(
                indexed=any(one.indexed for one in known),
                rows=known[0].rows,
                distinct=max((one.distinct for one in known if one.distinct), default=None),
            )
        table, name = self.field.model._meta.db_table, self.field.column
        return columns.Column() if name is None else columns.look_up(self.using, table, name)

    @property
    def key(self) -> Any:
        """The expression for the key."""
        named = F(self.attname)
        return (
            named
            if self._stand_in is None
            else ExpressionWrapper(named, output_field=self._stand_in)
        )

    @property
    def key_field(self) -> models.Field[Any, Any]:
        """The field that gives the keys their type."""
        return self._stand_in or keys.key_field(self.field)

    @cached_property
    def _stand_in(self) -> models.Field[Any, Any] | None:
        """The field that describes the column better than its own; None where that is right."""
        declared = keys.key_field(self.field)
        expected = self._expected(declared)
        if not expected or self.column.kind == "":
            return None
        if self.column.kind == expected and not self._is_hyphenated(declared):
            return None
        made = _MADE.get(self.column.kind)
        return None if made is None else made()

    @property
    def is_declared_otherwise(self) -> bool:
        """Whether the column is of another type than its field says."""
        return self._stand_in is not None

    def _expected(self, declared: models.Field[Any, Any]) -> str:
        """Return the kind of column that Django would make; empty where it may be any."""
        if _is_plain(declared, _INTEGERS):
            return columns.INTEGER
        if _is_plain(declared, _TEXTS):
            return columns.TEXT
        if _is_plain(declared, (models.UUIDField,)):
            native = connections[self.using].features.has_native_uuid_field
            return columns.UUID if native else columns.TEXT
        return ""

    def _is_hyphenated(self, declared: models.Field[Any, Any]) -> bool:
        """Tell whether UUIDs stand in a text that is longer than Django makes it."""
        return (
            isinstance(declared, models.UUIDField)
            and self.column.kind == columns.TEXT
            and self.column.length not in (None, 32)
        )

    @cached_property
    def is_integer(self) -> bool:
        """Whether the keys are integers, in Python and in the column."""
        return says_integer(self.key_field) and self.column.kind in (columns.INTEGER, "")

    @cached_property
    def is_uuid(self) -> bool:
        return _is_plain(self.key_field, (models.UUIDField,))

    @cached_property
    def is_text(self) -> bool:
        """Whether keys are compared by a collation, which may take two of them for one."""
        return isinstance(self.key_field, _TEXTS)

    def own(self, key: Any) -> Any:
        """Return the other end's ``key`` as this one's; None where it can have no such key."""
        if self.is_composite:
            owned = tuple(part.own(one) for part, one in zip(self.parts, key, strict=True))
            return owned if keys.is_whole(owned) else None
        try:
            if self._is_number:
                return self._own_integer(key)
            if self.is_text:
                return self._own_text(key)
            if self.is_uuid:
                return key if isinstance(key, uuid.UUID) else self.key_field.to_python(key)
        except (ValidationError, ValueError, TypeError, ArithmeticError):
            return None
        return key

    @cached_property
    def _is_number(self) -> bool:
        return says_integer(self.key_field)

    def _own_integer(self, key: Any) -> Any:
        if type(key) is not int:
            if isinstance(key, (decimal.Decimal, float)) and key != int(key):
                return None
            key = self.key_field.to_python(key)
        if LEAST <= key <= MOST:
            return key
        return key if MOST < key <= _MOST_UNSIGNED and self.vendor == "mysql" else None

    def _own_text(self, key: Any) -> str | None:
        if isinstance(key, uuid.UUID):
            return key.hex if self.column.length == 32 else str(key)
        text = key if isinstance(key, str) else str(self.key_field.to_python(key))
        # PostgreSQL has no text with this character.
        return None if "\0" in text and self.vendor == "postgresql" else text

    def told(self, held: Iterable[Any]) -> list[Any]:
        """Return keys, as rows hold them, as findings have them: as keys of the target."""
        if self.of_these is None:
            return list(held)
        target = self.relation.target_field
        return keys.decode_any(keys.encode(held, target), target)

    @property
    def told_field(self) -> models.Field[Any, Any]:
        """The field that gives keys of findings their type."""
        if self.of_these is None:
            return self.key_field
        return keys.key_field(self.relation.target_field)

    def only_keys(self, rows: models.QuerySet[Any]) -> models.QuerySet[Any, Any]:
        """Return the query for the rows' keys alone, one column of the name ``KEY``."""
        listed: models.QuerySet[Any, Any] = rows.annotate(**{KEY: self.key})
        return listed.values_list(KEY, flat=True)

    def chunk_size(self) -> int:
        """Return how many keys one statement carries."""
        return keys.chunk_size(self.using, self.key_field)

    def holds(self, wanted: Sequence[Any]) -> keys.KeyIn:
        """Return the condition that the key is one of these, as the database compares."""
        if self._stand_in is not None or self.of_these is not None:
            wanted = [own for key in wanted if (own := self.own(key)) is not None]
        return keys.KeyIn(self.key, wanted)


def of(relation: Relation) -> tuple[End, End]:
    """Return source and target of ``relation``, each at its home."""
    return (
        End(
            relation,
            relation.source,
            relation.field if relation.condition is None else relation.source_fields[0],
            relation.source_home,
            relation.condition,
        ),
        End(relation, relation.target, relation.target_field, relation.target_home),
    )


def ordered_alike(first: End, second: End) -> bool:
    """Tell whether both databases put these keys in the same order and hand them out alike.

    Integers have one order everywhere. UUIDs have one between databases of a kind:
    PostgreSQL and SQLite sort them by their digits, MariaDB's own type by other bytes
    first, differently from release to release. Text goes by collations, which no two
    databases share for certain.
    """
    if first.is_composite:
        pairs = zip(first.parts, second.parts, strict=True)
        return all(ordered_alike(one, other) or _are_sorted_by(one, other) for one, other in pairs)
    if first.is_integer and second.is_integer:
        return True
    ordering = ("postgresql", "sqlite")
    return (
        first.is_uuid
        and second.is_uuid
        and first.vendor == second.vendor
        and first.vendor in ordering
    )


def _are_sorted_by(first: End, second: End) -> bool:
    """Tell whether tuples are put in one order by what these columns of theirs hold.

    Days and moments have one order; texts are sorted by their bytes for it (``Exact``).
    """
    return any(
        _is_plain(first.key_field, (kind,)) and _is_plain(second.key_field, (kind,))
        for kind in (*_TIMES, *_TEXTS)
    ) or (first.is_text and second.is_text)


def sorts_as_python(end: End) -> bool:
    """Tell whether the end's database puts keys of one column in the order that Python does."""
    return end.is_integer or _is_plain(end.key_field, _TIMES)


@dataclass(frozen=True)
class Fetched:
    """Keys as they came over the wire, to be compared with others that came the same way."""

    keys: list[Any]
    first: Any
    last: Any


def fetch(end: End, rows: models.QuerySet[Any, Any], *, packed: bool) -> Fetched | None:
    """Run an ordered query for keys alone; None where there are none.

    For ends that are ``ordered_alike``. A scan reads millions of keys, and making a row
    and an object of each would take most of its time: they are left as the driver has
    them or, ``packed``, come from PostgreSQL as one text. ``decode`` makes Python values
    of those that matter.
    """
    try:
        sql, params = rows.query.get_compiler(using=end.using).as_sql()
    except EmptyResultSet:
        return None
    if packed:
        key = f"keys.{connections[end.using].ops.quote_name(KEY)}"
        sql = f"SELECT string_agg({key}::text, ',') FROM ({sql}) AS keys"  # noqa: S608
    with connections[end.using].cursor() as cursor:
        cursor.execute(sql, params)
        if packed:
            ((joined,),) = cursor.fetchall()
            fetched = joined.split(",") if joined else []
        else:
            fetched = [key for (key,) in cursor.fetchall()]
    if not fetched:
        return None
    # An aggregate's input is in no promised order.
    order = int if packed and end.is_integer else None
    return Fetched(fetched, min(fetched, key=order), max(fetched, key=order))


def decode(end: End, fetched: Iterable[Any]) -> list[Any]:
    """Return keys of a ``Fetched`` as Python values of the keys' field."""
    return [end.key_field.to_python(key) for key in fetched]


class Exact(Func):
    """A text as it is: equal to no other text, whatever the column's collation says.

    Case, accents and trailing spaces count, so that ``DISTINCT`` and ``GROUP BY`` keep
    apart what another database may tell apart.
    """

    arity = 1

    def as_postgresql(
        self, compiler: SQLCompiler, connection: Any, **context: Any
    ) -> tuple[str, Any]:
        return super().as_sql(
            compiler, connection, template='(%(expressions)s)::text COLLATE "C"', **context
        )

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        return super().as_sql(
            compiler, connection, template="(%(expressions)s) COLLATE BINARY", **context
        )

    def as_mysql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        # utf8mb4_bin takes 'a' and 'a ' for one. MySQL and MariaDB name the one that does
        # not differently.
        collation = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
        return super().as_sql(
            compiler,
            connection,
            template=f"CONVERT(%(expressions)s USING utf8mb4) COLLATE {collation}",
            **context,
        )


def says_integer(field: models.Field[Any, Any]) -> bool:
    """Tell whether the field's values are integers, in Python and in a column made for it."""
    return _is_plain(field, _INTEGERS)


def _is_plain(field: models.Field[Any, Any], kinds: tuple[type[Any], ...]) -> bool:
    """Tell whether values are in the column what they are in Python.

    A subclass may keep something else there (an encoded id, say), whose order and
    neighbours are not the values' own.
    """
    return (
        isinstance(field, kinds)
        and not hasattr(field, "from_db_value")
        and all(
            getattr(type(field), name).__module__.startswith("django.db.models.")
            for name in _CONVERSIONS
        )
    )
