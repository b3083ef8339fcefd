"""Emptying PostgreSQL's tables after a transactional test, by DELETE instead of TRUNCATE.

To truncate a table is to make its files anew: with some sixty tables in three databases
that is longer than most tests take. Django itself deletes on MariaDB and SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

# One query of the catalogue: what was analysed keeps its row estimates through a DELETE,
# and the next test's planner would believe them.
ESTIMATED = "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > 0"


@contextmanager
def by_delete() -> Iterator[None]:
    """Let Django's flush delete from PostgreSQL's tables while the block runs."""
    try:
        from django.db.backends.postgresql.operations import DatabaseOperations
    except ImportError:
        # No driver: nothing to flush there either.
        yield
        return
    truncate = DatabaseOperations.sql_flush

    def sql_flush(
        self: Any, style: Any, tables: Sequence[str], *, reset_sequences: bool = False, **kw: Any
    ) -> list[str]:
        if reset_sequences:
            return truncate(self, style, tables, reset_sequences=True, **kw)
        with self.connection.cursor() as cursor:
            cursor.execute(ESTIMATED)
            estimated = {name for (name,) in cursor.fetchall()}
        statements = [
            f"TRUNCATE {self.quote_name(table)} CASCADE" for table in tables if table in estimated
        ]
        return statements + [
            f"DELETE FROM {self.quote_name(table)}" for table in tables if table not in estimated
        ]

    with mock.patch.object(DatabaseOperations, "sql_flush", sql_flush):
        yield
