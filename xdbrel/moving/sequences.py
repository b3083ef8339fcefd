"""The next key that a table gives by itself.

Owns reading and setting it on each kind of database. A table that rows were moved to must
neither give their keys again nor those that the source has given to rows that are gone:
relations may still hold them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connections, models
from django.db.models import Max

from xdbrel.moving.parts import Part

#: How often a table is altered that others write to meanwhile, and the seconds of each wait.
ATTEMPTS, WAIT = 30, 2

#: A deadlock, and a wait that was too long.
_GAVE_WAY = frozenset({1213, 1205})


def carry_over(part: Part, *, headroom: int = 0) -> int | None:
    """Let the destination go on behind its own keys, and ``headroom`` behind the source's.

    Returns the last key that is taken for given; None for a table that gives no keys.
    """
    field = part.model._meta.auto_field
    if field is None or field not in part.fields:
        return None
    # Room that an earlier call has left is not added to.
    last = max(given(part.model, part.source) + headroom, given(part.model, part.destination))
    if last:
        forward(part.model, part.destination, last)
    return last


def given(model: type[models.Model], using: str) -> int:
    """Return the last key that the table has given, or holds."""
    field: Any = model._meta.auto_field
    held = (
        models.QuerySet(model, using=using).order_by().aggregate(last=Max(field.attname))["last"]
    )
    return max(held or 0, _LAST[connections[using].vendor](connections[using], model))


def forward(model: type[models.Model], using: str, last: int) -> None:
    """Let the table give keys beyond ``last`` from now on."""
    _FORWARD[connections[using].vendor](connections[using], model, last)


def _sequence(connection: Any, model: type[models.Model]) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_get_serial_sequence(%s, %s)",
            [connection.ops.quote_name(model._meta.db_table), _column(model)],
        )
        (name,) = cursor.fetchone()
    return None if name is None else str(name)


def _last_postgresql(connection: Any, model: type[models.Model]) -> int:
    name = _sequence(connection, model)
    if name is None:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {name}")  # noqa: S608
        return int(cursor.fetchone()[0])


def _forward_postgresql(connection: Any, model: type[models.Model], last: int) -> None:
    name = _sequence(connection, model)
    if name is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT setval(%s, %s)", [name, last])


def _last_mysql(connection: Any, model: type[models.Model]) -> int:
    with connection.cursor() as cursor:
        # MySQL, unlike MariaDB, tells a figure that may be a day old.
        if not connection.mysql_is_mariadb:
            cursor.execute("SET SESSION information_schema_stats_expiry = 0")
        cursor.execute(
            "SELECT auto_increment FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_name = %s",
            [model._meta.db_table],
        )
        row = cursor.fetchone()
    return int(row[0]) - 1 if row and row[0] else 0


def _forward_mysql(connection: Any, model: type[models.Model], last: int) -> None:
    table = connection.ops.quote_name(model._meta.db_table)
    for attempt in range(1, ATTEMPTS + 1):
        if _last_mysql(connection, model) >= last:
            return
        try:
            with connection.cursor() as cursor, _short_waits(cursor):
                cursor.execute(f"ALTER TABLE {table} AUTO_INCREMENT = {last + 1:d}")
        except OperationalError as error:
            # It waits for whoever writes to the table, and that one may come to wait for it: at
            # a lock of which the server sees both sides, or of which it does not (a row's parent
            # is locked by InnoDB, a table by the server). It gives way, and nothing was done.
            if error.args[0] not in _GAVE_WAY or attempt == ATTEMPTS:
                raise


@contextmanager
def _short_waits(cursor: Any) -> Iterator[None]:
    """Let statements of the block wait for locks no longer than others can bear."""
    cursor.execute("SELECT @@SESSION.lock_wait_timeout, @@SESSION.innodb_lock_wait_timeout")
    before = cursor.fetchone()
    set_both = "SET SESSION lock_wait_timeout = %s, SESSION innodb_lock_wait_timeout = %s"
    cursor.execute(set_both, [WAIT, WAIT])
    try:
        yield
    finally:
        cursor.execute(set_both, before)


def _last_sqlite(connection: Any, model: type[models.Model]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")
        if cursor.fetchone() is None:
            return 0
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [model._meta.db_table])
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _forward_sqlite(connection: Any, model: type[models.Model], last: int) -> None:
    if _last_sqlite(connection, model) >= last:
        return
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")
        if cursor.fetchone() is None:
            # A table without AUTOINCREMENT: the largest key counts.
            return
        cursor.execute("UPDATE sqlite_sequence SET seq = %s WHERE name = %s", [last, table])
        if not cursor.rowcount:
            cursor.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, last]
            )


def _column(model: type[models.Model]) -> str:
    field: Any = model._meta.auto_field
    return str(field.column)


_LAST = {"postgresql": _last_postgresql, "mysql": _last_mysql, "sqlite": _last_sqlite}
_FORWARD = {
    "postgresql": _forward_postgresql,
    "mysql": _forward_mysql,
    "sqlite": _forward_sqlite,
}
