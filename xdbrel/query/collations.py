"""By which rules text compares: in the column's home, and where it is brought.

Owns the collations of temporary columns and the answer to whether two databases put text in
the same order. What the servers say of a table's columns is remembered until a migration.
"""

from __future__ import annotations

from typing import Any

from django.core.signals import setting_changed
from django.db.models.signals import post_migrate

#: Code points, one after the other, every one counts.
BINARY = ("binary",)

#: (vendor, address, table) → the rules of its columns; without a table, of the database.
_known: dict[tuple[Any, ...], dict[str, tuple[str, ...]]] = {}

_MYSQL_COLUMNS = """
    SELECT column_name, collation_name, character_set_name FROM information_schema.columns
    WHERE table_schema = database() AND table_name = %s AND collation_name IS NOT NULL
"""
_MYSQL_DATABASE = "SELECT '', @@collation_database, @@character_set_database"
_POSTGRES_COLUMNS = """
    SELECT attname, collname, collprovider, collcollate, collisdeterministic
    FROM pg_attribute JOIN pg_collation ON pg_collation.oid = attcollation
    WHERE attrelid = to_regclass(%s) AND attnum > 0
"""
_POSTGRES_DATABASE = """
    SELECT datcollate, to_jsonb(pg_database) FROM pg_database WHERE datname = current_database()
"""


def clause(field: Any, home: Any, connection: Any, *, key: bool = False) -> str:
    """Return the collation of a temporary column at ``connection`` of text from ``home``."""
    if connection.vendor == "mysql":
        if home.vendor != "mysql":
            # Not the one without padding, which cannot be compared with this usual one.
            return " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        name, charset = _of_mysql(field, home)
        return f" CHARACTER SET {charset} COLLATE {name}"
    return ""


def _of_mysql(field: Any, home: Any) -> tuple[str, str]:
    model = getattr(field, "model", None)
    rules = _rules(home, model._meta.db_table) if model is not None else {}
    rule = rules.get(getattr(field, "column", "")) or _rules(home)[""]
    return rule[1], rule[2]


def _rules(connection: Any, table: str = "") -> dict[str, tuple[str, ...]]:
    """Return the rules of a table's columns, or under "" that of the database."""
    settings = connection.settings_dict
    place = (connection.vendor, settings["HOST"], settings["PORT"], settings["NAME"], table)
    try:
        return _known[place]
    except KeyError:
        pass
    found: dict[str, tuple[str, ...]] = {}
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            if table:
                cursor.execute(_MYSQL_COLUMNS, [table])
            else:
                cursor.execute(_MYSQL_DATABASE)
            for column, name, charset in cursor.fetchall():
                found[column] = ("mysql", name, charset)
    return _known.setdefault(place, found)


def forget(**kwargs: Any) -> None:
    """Forget what the servers said: the settings changed, or the tables."""
    _known.clear()


post_migrate.connect(forget, dispatch_uid="xdbrel.query.collations")
setting_changed.connect(forget, dispatch_uid="xdbrel.query.collations")
