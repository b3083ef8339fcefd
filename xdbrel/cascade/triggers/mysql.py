"""MariaDB: row-level triggers, one intent for each row.

A lack of something that the trigger needs (its table, a column, a right) lets the delete
through: nobody's deletes are to fail for good. MariaDB lets no warning out of a trigger, so
that it is ``drift`` who says it. Any other error fails the statement, intents and all:
after a deadlock there is no transaction left to go on in.
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
from xdbrel.conf import settings
from xdbrel.models import CascadeIntent

#: No table, no such column, a column too many, a right to the table or the column that is
#: not there, a column that has no default or takes no such value, a rule that it breaks.
_STRUCTURAL = (1146, 1054, 1136, 1142, 1143, 1364, 1048, 1406, 1366, 4025)
#: The same of whoever makes triggers, and a server that is read-only or keeps a binary log
#: and trusts nobody with triggers.
_DENIED = (1044, 1142, 1227, 1290, 1370, 1419)

_BODY = """BEGIN
  {mark}
  DECLARE EXIT HANDLER FOR {structural} BEGIN END;
  IF {condition} THEN
    INSERT INTO {intents} ({columns}) VALUES
      {rows};
  END IF;
END"""


def triggers(connection: Any, capture: Capture) -> list[Trigger]:
    """Return the triggers for ``capture``: one for deletes, one for updates."""
    with connection.cursor() as cursor:
        if capture.table not in connection.introspection.table_names(cursor):
            return []
    return [_trigger(connection, capture, event) for event in capture.events]


def standing(connection: Any) -> list[Standing]:
    """Return the triggers of xdbrel's in this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT trigger_name, event_object_table, action_statement"
            " FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
            " AND trigger_name REGEXP '^xdbrel_(delete|update)_'"
            " ORDER BY event_object_table, trigger_name"
        )
        rows = cursor.fetchall()
    return [
        Standing(table, name, digest_in(body), True, (f"DROP TRIGGER IF EXISTS `{name}`",))
        for name, table, body in rows
    ]


def prepare(connection: Any) -> list[str]:
    """Return nothing: the intents' table is as it should be."""
    return []


def tidy(connection: Any) -> list[str]:
    """Return nothing: triggers here need no functions."""
    return []


def broken(connection: Any) -> str:
    """Return nothing: whoever makes a trigger is whom it runs as."""
    return ""


def is_denied(error: Exception) -> bool:
    """Tell whether ``error`` is a lack of privilege, or a server that nobody writes to."""
    return bool(error.args) and error.args[0] in _DENIED


def notes(connection: Any, captures: Sequence[Capture]) -> list[str]:
    """Return what goes past triggers here, with the foreign keys through which it does."""
    if not captures:
        return []
    found = ["TRUNCATE fires no trigger in MariaDB: a scan finds what it leaves."]
    tables = {capture.table for capture in captures}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, constraint_name FROM"
            " information_schema.referential_constraints"
            " WHERE constraint_schema = DATABASE() AND delete_rule = 'CASCADE'"
            " ORDER BY 1, 2"
        )
        rows = cursor.fetchall()
    found += [
        f"Rows of {table} go through the foreign key {constraint} (ON DELETE CASCADE), which "
        f"fires no trigger in MariaDB: a scan finds what they leave."
        for table, constraint in rows
        if table in tables
    ]
    return found


def _trigger(connection: Any, capture: Capture, event: str) -> Trigger:
    name, table = capture.name(event), quoted(connection, capture.table)
    column = quoted(connection, capture.column)
    new_keys, condition = "NULL", f"OLD.{column} IS NOT NULL"
    if event == "update":
        new_keys = f"JSON_ARRAY({_key(capture, f'NEW.{column}')})"
        # BINARY: letters that a collation takes for equal are another key all the same.
        condition += f" AND NOT (BINARY OLD.{column} <=> BINARY NEW.{column})"
    now = _now(connection)
    rows = [
        Row(
            relation=literal(handle),
            keys=f"JSON_ARRAY({_key(capture, f'OLD.{column}')})",
            new_keys=new_keys,
            deletion="LEFT(COALESCE(IF(@xdbrel_token IS NULL, NULL, @xdbrel_deletion), ''), 32)",
            attempts="0",
            available_at=f"IF(@xdbrel_token IS NULL, {now}, "
            f"{now} + INTERVAL {settings.CLAIM_SECONDS} SECOND)",
            claimed_by="LEFT(COALESCE(@xdbrel_token, ''), 64)",
            created_at=now,
        )
        for handle in capture.relations_at(event)
    ]
    body = _BODY.replace("{structural}", ", ".join(map(str, _STRUCTURAL)))
    body = body.replace("{condition}", condition)
    body = body.replace("{intents}", quoted(connection, CascadeIntent._meta.db_table))
    body = body.replace("{columns}", columns(lambda one: quoted(connection, one)))
    body = body.replace("{rows}", ",\n      ".join(f"({row.values()})" for row in rows))
    head = f"TRIGGER `{name}` AFTER {event.upper()} ON {table} FOR EACH ROW"
    digest = digest_of(head, body)
    whole = f"{head}\n{body.replace('{mark}', marked(digest))}"
    create = (f"CREATE OR REPLACE {whole}",)
    if not connection.mysql_is_mariadb:
        create = (f"DROP TRIGGER IF EXISTS `{name}`", f"CREATE {whole}")  # type: ignore[assignment]
    return Trigger(capture.table, name, capture.relations_at(event), digest, create)


def _key(capture: Capture, value: str) -> str:
    """Return the value as ``xdbrel.keys.encode`` would have it."""
    if capture.kind == "uuid":
        # char(32) or a type of its own: the same digits, with hyphens or without.
        digits = f"REPLACE(CAST({value} AS CHAR), '-', '')"
        parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        cut = ", ".join(f"SUBSTR({digits}, {start}, {length})" for start, length in parts)
        # Of a missing value there are no parts to put together.
        return f"IF({value} IS NULL, NULL, LOWER(CONCAT_WS('-', {cut})))"
    if capture.kind == "decimal":
        return f"CAST({value} AS CHAR)"
    if capture.kind == "date":
        return f"DATE_FORMAT({value}, '%Y-%m-%d')"
    if capture.kind == "datetime":
        suffix = "+00:00" if django_settings.USE_TZ else ""
        return f"CONCAT(DATE_FORMAT({value}, '%Y-%m-%dT%H:%i:%s.%f'), '{suffix}')"
    return value


def _now(connection: Any) -> str:
    """Return the time as Django stores it here: without a zone, in the connection's own.

    Zones by name need tables that a server may not have; then the zone's earliest time of
    the year, since an intent that lies ahead of its time would have to wait.
    """
    zone = connection.timezone_name
    if zone == "UTC":
        return "UTC_TIMESTAMP(6)"
    return (
        f"COALESCE(CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', {literal(zone)}), "
        f"UTC_TIMESTAMP(6) + INTERVAL {least_offset(zone)} MINUTE)"
    )
