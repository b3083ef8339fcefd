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
    SELECT attname, collname FROM pg_attribute JOIN pg_collation ON pg_collation.oid = attcollation
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND collname <> 'default'
"""
_POSTGRES_DATABASE = """
    SELECT '', CASE datlocprovider WHEN 'c' THEN datcollate ELSE datlocprovider::text || ':' ||
        coalesce(to_jsonb(pg_database) ->> 'datlocale', to_jsonb(pg_database) ->> 'daticulocale')
    END FROM pg_database WHERE datname = current_database()
"""
#: How PostgreSQL's collations are called that compare code points.
_POSTGRES_BINARY = ("c", "posix", "ucs_basic", "c.utf8", "c.utf-8", "b:c", "b:c.utf-8")
#: What every SQLite has; others are functions of its connection.
_SQLITE = ("NOCASE", "RTRIM")


def clause(field: Any, home: Any, connection: Any, *, key: bool = False) -> str:
    """Return the collation of a temporary column at ``connection`` of text from ``home``.

    A ``key`` on PostgreSQL has none, since no index of another column would serve it then.
    """
    rule = rule_of(field, home)
    if connection.vendor == "mysql":
        if rule[0] != "mysql":
            # Not the one without padding, which cannot be compared with this usual one.
            return " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        _, name, charset = rule
        if home.mysql_is_mariadb != connection.mysql_is_mariadb:
            # Each has collations that the other has not.
            charset = "utf8mb4"
            name = "utf8mb4_bin" if name.endswith("_bin") else "utf8mb4_unicode_ci"
        return f" CHARACTER SET {charset} COLLATE {name}"
    return "" if key else ordering(field, home, connection) or ""


def ordering(field: Any, home: Any, connection: Any) -> str | None:
    """Return what makes an ORDER BY of shipped text follow the order of its home.

    That is nothing or a COLLATE; ``None`` where ``connection`` knows no such order, and the
    rank at home has to be brought.
    """
    rule = rule_of(field, home)
    if connection.vendor == "mysql":
        if rule == BINARY:
            nopad = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
            return f" COLLATE {nopad}"
        return "" if rule[0] == "mysql" and _are_alike(home, connection) else None
    if connection.vendor == "sqlite":
        if rule == BINARY:
            return ""
        return f" COLLATE {rule[1]}" if rule[0] == "sqlite" and rule[1] in _SQLITE else None
    if rule == _rules(connection).get("", BINARY):
        return ""
    if rule == BINARY:
        return ' COLLATE "C"'
    if rule[0] == "postgresql" and rule[1] in _collations_of(connection):
        return f" COLLATE {connection.ops.quote_name(rule[1])}"
    return None


def same_equality(field: Any, home: Any, connection: Any) -> bool:
    """Tell whether text that is equal at home is equal where it was brought.

    A temporary column has the collation of its home where there is one like it. What differs
    at home may be equal here: MariaDB pads the one that it shares with others.
    """
    rule = rule_of(field, home)
    if rule == BINARY or connection.vendor == "mysql":
        return True
    if connection.vendor == "postgresql" and rule[0] == "postgresql":
        # All of its own tell apart what differs in one byte, but those that say otherwise.
        return rule == _rules(connection).get("", BINARY) or rule[1] in _collations_of(connection)
    return ordering(field, home, connection) is not None


def rule_of(field: Any, connection: Any) -> tuple[str, ...]:
    """Return the rule by which text of ``field`` compares in ``connection``, its home."""
    if connection.vendor == "sqlite":
        name = str(getattr(field, "db_collation", None) or "BINARY").upper()
        return BINARY if name == "BINARY" else ("sqlite", name)
    model = getattr(field, "model", None)
    rules = _rules(connection, model._meta.db_table) if model is not None else {}
    return rules.get(getattr(field, "column", "")) or _rules(connection).get("", BINARY)


def _are_alike(home: Any, connection: Any) -> bool:
    return bool(home.mysql_is_mariadb == connection.mysql_is_mariadb)


def _rules(connection: Any, table: str = "") -> dict[str, tuple[str, ...]]:
    """Return the rules of a table's columns, or under "" that of the database."""
    found = _known.get(_place(connection, table))
    if found is None:
        found = {}
        if connection.vendor == "mysql":
            for column, name, charset in _ask(connection, table, _MYSQL_COLUMNS, _MYSQL_DATABASE):
                found[column] = ("mysql", name, charset)
        elif connection.vendor == "postgresql":
            quoted = table and connection.ops.quote_name(table)
            for column, name in _ask(connection, quoted, _POSTGRES_COLUMNS, _POSTGRES_DATABASE):
                binary = name.lower() in _POSTGRES_BINARY
                found[column] = BINARY if binary else ("postgresql", name)
        _known[_place(connection, table)] = found
    return found


def _collations_of(connection: Any) -> dict[str, tuple[str, ...]]:
    place = _place(connection, None)
    if place not in _known:
        rows = _ask(connection, "", "", "SELECT DISTINCT collname FROM pg_collation")
        _known[place] = {name: () for (name,) in rows}
    return _known[place]


def _ask(connection: Any, table: str, of_table: str, of_database: str) -> list[Any]:
    with connection.cursor() as cursor:
        if table:
            cursor.execute(of_table, [table])
        else:
            cursor.execute(of_database)
        return list(cursor.fetchall())


def _place(connection: Any, table: str | None) -> tuple[Any, ...]:
    settings = connection.settings_dict
    return (connection.vendor, settings["HOST"], settings["PORT"], settings["NAME"], table)


def forget(*, setting: str = "DATABASES", **kwargs: Any) -> None:
    """Forget what the servers said: the databases changed, or their tables."""
    if setting == "DATABASES":
        _known.clear()


post_migrate.connect(forget, dispatch_uid="xdbrel.query.collations")
setting_changed.connect(forget, dispatch_uid="xdbrel.query.collations")
