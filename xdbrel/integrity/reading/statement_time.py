"""How long one statement of a scan may take: bounded while it runs, restored afterwards.

PostgreSQL has ``statement_timeout``, MariaDB ``max_statement_time``, MySQL
``max_execution_time``; SQLite has nothing of the kind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from xdbrel.conf import settings
from xdbrel.integrity.reading.ends import End

logger = logging.getLogger(__name__)


@contextmanager
def bounded(*ends: End) -> Iterator[None]:
    """Bound the statements of the block at the ends' databases.

    By ``XDBREL["SCAN_STATEMENT_SECONDS"]``; 0 leaves the connections as they are, as a pool
    that hands connections on between transactions needs. A stricter bound of the project's
    own is kept.
    """
    before: dict[str, Any] = {}
    try:
        for alias in dict.fromkeys(end.using for end in ends):
            value = bound(connections[alias])
            if value is not None:
                before[alias] = value
        yield
    finally:
        for alias, value in before.items():
            _restore(alias, value)


def bound(connection: Any) -> Any:
    """Bound a connection's statements; return what to restore, None where nothing changed."""
    seconds = settings.SCAN_STATEMENT_SECONDS
    if not seconds:
        return None
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Told with its unit ("5min"), which an interval understands as well.
            cursor.execute(
                "WITH before AS MATERIALIZED (SELECT (EXTRACT(EPOCH FROM"
                " current_setting('statement_timeout')::interval) * 1000)::bigint AS ms)"
                " SELECT ms, set_config('statement_timeout', (CASE WHEN ms BETWEEN 1 AND %s"
                " THEN ms ELSE %s END)::text, false) FROM before",
                [round(seconds * 1000)] * 2,
            )
            value, _ = cursor.fetchone()
        return value
    if connection.vendor == "mysql":
        name, most = _mysql_variable(connection, seconds)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT @@SESSION.{name}")
            (value,) = cursor.fetchone()
            if 0 < value <= most:
                return None
            cursor.execute(f"SET SESSION {name} = %s", [most])
        return value
    return None


def _restore(alias: str, value: Any) -> None:
    connection = connections[alias]
    if connection.connection is None or connection.needs_rollback:
        # A new connection has the bound of before; so has one whose transaction, with what
        # was set in it, is rolled back.
        return
    try:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(value)])
            else:
                name, _ = _mysql_variable(connection, 0)
                cursor.execute(f"SET SESSION {name} = %s", [value])
    except (DatabaseError, InterfaceError) as error:
        # Lost: the next one is made anew. What ended the scan is what counts.
        logger.warning(
            "The bound on statements in %s could not be restored: %s",
            alias,
            error,
            extra={"action": "scan", "relation": None, "alias": alias},
        )


def _mysql_variable(connection: Any, seconds: float) -> tuple[str, float]:
    if connection.mysql_is_mariadb:
        return "max_statement_time", float(seconds)
    return "max_execution_time", round(seconds * 1000)
