"""SQLite: row-level triggers, one intent for each row.

SQLite cannot catch an error inside a trigger. What the trigger needs and does not find
fails the delete with an error that names it; ``xdbrel_triggers remove`` is the remedy. Its
triggers vanish with their table, and Django alters a table by making it anew: see
``migrating``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings as django_settings

from xdbrel.cascade.triggers.backends import (
    Standing,
    Trigger,
    digest_in,
    digest_of,
    literal,
    marked,
    quoted,
)
from xdbrel.cascade.triggers.captures import Capture
from xdbrel.cascade.triggers.row import Row, columns
from xdbrel.cascade.triggers.zones import least_offset
from xdbrel.models import CascadeIntent


def triggers(connection: Any, capture: Capture) -> list[Trigger]:
    """Return the triggers for ``capture``: one for deletes, one for updates of its column."""
    with connection.cursor() as cursor:
        if capture.table not in connection.introspection.table_names(cursor):
            return []
    return [_trigger(connection, capture, event) for event in capture.events]


def standing(connection: Any) -> list[Standing]:
    """Return the triggers of xdbrel's in this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
            " AND (name GLOB 'xdbrel_delete_*' OR name GLOB 'xdbrel_update_*')"
            " ORDER BY tbl_name, name"
        )
        rows = cursor.fetchall()
    return [
        Standing(table, name, digest_in(sql), True, (f'DROP TRIGGER IF EXISTS "{name}"',))
        for name, table, sql in rows
    ]


def prepare(connection: Any) -> list[str]:
    """Return nothing: the intents' table is as it should be."""
    return []


def tidy(connection: Any) -> list[str]:
    """Return nothing: triggers here need no functions."""
    return []


def broken(connection: Any) -> str:
    """Return nothing: SQLite knows no rights."""
    return ""


def is_denied(error: Exception) -> bool:
    """Tell whether ``error`` says that the file cannot be written to."""
    return "readonly" in str(error)


def notes(connection: Any, captures: Sequence[Capture]) -> list[str]:
    """Return what goes past triggers here."""
    if not captures:
        return []
    return [
        "REPLACE INTO fires no delete trigger in SQLite (but for PRAGMA recursive_triggers): a "
        "scan finds what it leaves."
    ]


def _trigger(connection: Any, capture: Capture, event: str) -> Trigger:
    name, table = capture.name(event), quoted(connection, capture.table)
    column = quoted(connection, capture.column)
    new_keys, condition = "NULL", f"OLD.{column} IS NOT NULL"
    when = f"AFTER DELETE ON {table}"
    if event == "update":
        when = f"AFTER UPDATE OF {column} ON {table}"
        new_keys = f"json_array({_key(capture, f'NEW.{column}')})"
        # BINARY: letters that a collation takes for equal are another key all the same.
        condition += f" AND OLD.{column} IS NOT NEW.{column} COLLATE BINARY"
    rows = [
        Row(
            relation=literal(handle),
            keys=f"json_array({_key(capture, f'OLD.{column}')})",
            new_keys=new_keys,
            # Whose delete it was is written afterwards: see owning.
            deletion="''",
            attempts="0",
            available_at=_now(connection),
            claimed_by="''",
            created_at=_now(connection),
        )
        for handle in capture.relations_at(event)
    ]
    body = (
        f"  INSERT INTO {quoted(connection, CascadeIntent._meta.db_table)} "
        f"({columns(lambda one: quoted(connection, one))}) VALUES\n    "
        + ",\n    ".join(f"({row.values()})" for row in rows)
    )
    head = f'CREATE TRIGGER "{name}" {when} FOR EACH ROW WHEN {condition}'
    digest = digest_of(head, body)
    create = (
        f'DROP TRIGGER IF EXISTS "{name}"',
        f"{head} BEGIN\n  {marked(digest)}\n{body};\nEND",
    )
    return Trigger(capture.table, name, capture.relations_at(event), digest, create)


def _key(capture: Capture, value: str) -> str:
    """Return the value as ``xdbrel.keys.encode`` would have it."""
    if capture.kind == "uuid":
        digits = f"lower(replace({value}, '-', ''))"
        parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        return " || '-' || ".join(
            f"substr({digits}, {start}, {length})" for start, length in parts
        )
    if capture.kind == "decimal":
        if capture.places is None:
            return f"CAST({value} AS TEXT)"
        return f"CASE WHEN {value} IS NOT NULL THEN printf('%.{capture.places}f', {value}) END"
    if capture.kind == "datetime":
        suffix = "+00:00" if django_settings.USE_TZ else ""
        return f"replace({value}, ' ', 'T') || '{suffix}'"
    return value


def _now(connection: Any) -> str:
    """Return the time as Django stores it here: text, in the connection's own zone.

    The time of this machine is Django's own where it has no zones, since it tells its
    process which zone it is in.
    """
    zone = connection.timezone_name
    if not django_settings.USE_TZ:
        zone = "'localtime'"
    elif zone == "UTC":
        zone = "'+0 minutes'"
    else:
        zone = f"'{least_offset(zone):+d} minutes'"
    return f"strftime('%Y-%m-%d %H:%M:%f', 'now', {zone}) || '000'"
