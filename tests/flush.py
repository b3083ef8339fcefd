"""Emptying the databases after a transactional test: no more than the test filled.

Django's flush goes through every table, and then sends ``post_migrate`` for every database,
which writes every content type and every permission anew: with some sixty tables in three
databases that is longer than most tests take. Here one query tells which tables have rows.
Content types and permissions stay, unless the test has changed them.

PostgreSQL's tables are emptied by DELETE, as Django does elsewhere: to truncate a table is
to make its files anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.core.management.color import no_style
from django.core.management.sql import emit_post_migrate_signal
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

#: What a migrated database has rows in.
MIGRATED = ("auth_permission", "django_content_type")
# What was analysed keeps its row estimates through a DELETE, and the next test's planner
# would believe them.
ESTIMATED = "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > 0"


@contextmanager
def of_what_was_filled() -> Iterator[None]:
    """Let Django's transactional tests end with this module's emptying while the block runs."""
    original = TransactionTestCase._fixture_teardown
    #: By database, what the tables of ``MIGRATED`` look like when nobody has touched them.
    untouched: dict[str, tuple[int, ...]] = {}

    def teardown(case: TransactionTestCase) -> None:
        if case.serialized_rollback or case.available_apps is not None:
            original(case)
            return
        for alias in case._databases_names(include_mirrors=False):
            connection = connections[alias]
            name = str(connection.settings_dict["NAME"])
            filled, figures = asked(connection)
            if figures == untouched.get(name):
                delete(connection, [table for table in filled if table not in MIGRATED])
                continue
            delete(connection, filled)
            emit_post_migrate_signal(verbosity=0, interactive=False, db=alias)
            untouched[name] = asked(connection)[1]

    with mock.patch.object(TransactionTestCase, "_fixture_teardown", teardown):
        yield


def asked(connection: BaseDatabaseWrapper) -> tuple[list[str], tuple[int, ...]]:
    """Return the models' tables that have rows, and the figures of ``MIGRATED``."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    if not tables:
        return [], ()
    quote = connection.ops.quote_name
    asking = [f"EXISTS(SELECT 1 FROM {quote(table)})" for table in tables]
    for table in sorted(set(MIGRATED).intersection(tables)):
        asking += [f"(SELECT {what} FROM {quote(table)})" for what in ("COUNT(*)", "MAX(id)")]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(asking)}")
        answers = cursor.fetchone()
    filled = [table for table, answer in zip(tables, answers, strict=False) if answer]
    return filled, answers[len(tables) :]


def delete(connection: BaseDatabaseWrapper, filled: Sequence[str]) -> None:
    """Empty the tables that have rows, and those that PostgreSQL thinks to have some."""
    statements: list[Any] = []
    if connection.vendor == "postgresql":
        tables = connection.introspection.django_table_names(only_existing=True)
        with connection.cursor() as cursor:
            cursor.execute(ESTIMATED)
            estimated = {name for (name,) in cursor.fetchall()}.intersection(tables)
        filled = [table for table in filled if table not in estimated]
        quote = connection.ops.quote_name
        statements = [f"TRUNCATE {quote(table)} CASCADE" for table in estimated]
        statements += [f"DELETE FROM {quote(table)}" for table in filled]
    elif filled:
        statements = connection.ops.sql_flush(no_style(), filled)
    if statements:
        connection.ops.execute_sql_flush(statements)
