"""Checks of what the databases hold: the types of key columns, xdbrel's own tables.

These connect, and so they bear Django's tag ``database`` and look only at the databases
that they are given: ``manage.py check --database default --database blog``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core import checks
from django.db import connections, models
from django.db.migrations.recorder import MigrationRecorder

from xdbrel.checks.scope import Found, check, crossing, relations_of
from xdbrel.keys import key_field
from xdbrel.models import CascadeIntent
from xdbrel.relations import Relation

_BYTES = {"Small": 2, "": 4, "Big": 8}
_INTEGERS = {
    kind.format(size): width
    for size, width in _BYTES.items()
    for kind in ("{}IntegerField", "{}AutoField", "Positive{}IntegerField")
}
_TEXTS = ("CharField", "TextField")

#: Types that a database without its own type for them keeps as another.
_KEPT_AS = {
    "UUIDField": {"UUIDField", "text", "BinaryField"},
    "GenericIPAddressField": {"GenericIPAddressField", "text"},
    "DurationField": {"DurationField", "integer"},
    "BooleanField": {"BooleanField", "integer"},
}


@dataclass(frozen=True)
class Column:
    """What a database says of a column: its type in words, its family and its size.

    The size is in bytes for integers, in characters for text, ``None`` where it has no end.
    """

    type: str
    family: str
    size: int | None


@check(checks.Tags.database)
def check_column_types(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> Found:
    """E060, W061: key columns of another type or size than their targets'."""
    reader = _Reader()
    for relation in crossing(relations_of(app_configs)):
        aliases = (relation.source_home, relation.target_home)
        if not set(aliases) <= set(databases or ()):
            continue
        for field, target_field in _pairs(relation):
            source = reader.column(aliases[0], field)
            target = reader.column(aliases[1], target_field)
            if source is None or target is None:
                continue
            # The keys of generic relations are of many types, and compared as the column's.
            if relation.condition is None or source.family == target.family:
                yield from _compare(relation, field, source, target)


@check(checks.Tags.database)
def check_recorded_tables(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> Found:
    """E062: xdbrel's migrations recorded as applied without its tables."""
    homes = {relation.target_home for relation in crossing(relations_of(app_configs))}
    reader = _Reader()
    for alias in sorted(homes.intersection(databases or ())):
        if CascadeIntent._meta.db_table in reader.tables(alias):
            continue
        applied = MigrationRecorder(connections[alias]).applied_migrations()
        if ("xdbrel", "0001_initial") in applied:
            yield checks.Error(
                f"The migrations of xdbrel are recorded as applied in {alias!r}, and its "
                f"tables are not there: a router kept them off when they were.",
                hint=f'Run "manage.py migrate xdbrel zero --fake --database={alias}", then '
                f'"manage.py migrate xdbrel --database={alias}".',
                id="xdbrel.E062",
            )


def _pairs(relation: Relation) -> Iterator[tuple[models.Field[Any, Any], models.Field[Any, Any]]]:
    """Yield the fields whose columns are compared, of the source and of the target."""
    yield from zip(relation.source_fields, relation.target_fields, strict=True)


def _compare(
    relation: Relation, field: models.Field[Any, Any], source: Column, target: Column
) -> Found:
    kind = key_field(field).get_internal_type()
    alike = _KEPT_AS.get(kind, set())
    named = f" {field.name!r}" if relation.is_composite else ""
    where = (
        f"{relation}: the key column{named} is {source.type} in {relation.source_home!r}, and its "
        f"target's is {target.type} in {relation.target_home!r}"
    )
    if source.family != target.family:
        if not {source.family, target.family} <= alike:
            yield checks.Error(
                f"{where}. No comparison of the two is reliable.",
                hint="Migrate the key column to the target's type.",
                obj=relation.field,
                id="xdbrel.E060",
            )
    elif source.size != target.size and kind not in _KEPT_AS:
        narrower = source.size is not None and (target.size is None or source.size < target.size)
        # A longer text costs nothing; a wider integer says that one side was migrated alone.
        if narrower or source.family == "integer":
            yield checks.Warning(
                f"{where}. "
                + (
                    "Some targets' keys do not fit."
                    if narrower
                    else "It may hold keys that no target can have."
                ),
                hint="Migrate the narrower column to the wider type.",
                obj=relation.field,
                id="xdbrel.W061",
            )


class _Reader:
    """Introspection that asks each database once for each table."""

    def __init__(self) -> None:
        self._tables: dict[str, set[str]] = {}
        self._columns: dict[tuple[str, str], dict[str, Column]] = {}

    def tables(self, alias: str) -> set[str]:
        if alias not in self._tables:
            connection = connections[alias]
            with connection.cursor() as cursor:
                names = connection.introspection.table_names(cursor, include_views=True)
            self._tables[alias] = set(names)
        return self._tables[alias]

    def column(self, alias: str, field: models.Field[Any, Any]) -> Column | None:
        """Return the column of ``field``; ``None`` where it or its table is not there (yet)."""
        table = field.model._meta.db_table
        if table not in self.tables(alias):
            return None
        if (alias, table) not in self._columns:
            self._columns[alias, table] = _columns(alias, table)
        return self._columns[alias, table].get(field.column or "")


def _columns(alias: str, table: str) -> dict[str, Column]:
    connection = connections[alias]
    introspection = connection.introspection
    with connection.cursor() as cursor:
        description = introspection.get_table_description(cursor, table)
    found = {}
    for row in description:
        try:
            kind: str = introspection.get_field_type(row.type_code, row)
        except KeyError:
            continue  # A type that Django has no field for.
        length = row.display_size or row.internal_size
        if kind in _INTEGERS:
            # SQLite keeps every integer in as many bytes as it takes.
            size = 8 if connection.vendor == "sqlite" else _INTEGERS[kind]
            found[row.name] = Column(f"an integer of {size} bytes", "integer", size)
        elif kind in _TEXTS:
            # SQLite declares a length and does not keep to it; a text's is no limit.
            bounded = connection.vendor != "sqlite" and kind == "CharField" and (length or 0) > 0
            found[row.name] = Column(
                f"text of {length} characters" if bounded else "text",
                "text",
                length if bounded else None,
            )
        else:
            found[row.name] = Column(f"a {kind.removesuffix('Field').lower()}", kind, None)
    return found
