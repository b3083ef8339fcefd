"""What the workloads share: where servers are, databases made anew, statements counted, rows.

Settings modules import this, so that nothing of Django is imported before it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any


def postgresql(name: str) -> dict[str, Any]:
    """Return the settings of a PostgreSQL database: ``XDBREL_PG_HOST`` and so on say where."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "HOST": os.environ.get("XDBREL_PG_HOST", "127.0.0.1"),
        "PORT": os.environ.get("XDBREL_PG_PORT", "5432"),
        "USER": os.environ.get("XDBREL_PG_USER", "postgres"),
        "PASSWORD": os.environ.get("XDBREL_PG_PASSWORD", ""),
    }


def mariadb(name: str) -> dict[str, Any]:
    """Return the settings of a MariaDB database: ``XDBREL_MY_HOST`` and so on say where."""
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": name,
        "HOST": os.environ.get("XDBREL_MY_HOST", "127.0.0.1"),
        "PORT": os.environ.get("XDBREL_MY_PORT", "3306"),
        "USER": os.environ.get("XDBREL_MY_USER", "root"),
        "PASSWORD": os.environ.get("XDBREL_MY_PASSWORD", ""),
        "OPTIONS": {"charset": "utf8mb4"},
    }


def sqlite(path: Path) -> dict[str, Any]:
    """Return the settings of a SQLite file."""
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": path}


def unreachable(*aliases: str) -> str:
    """Return why the server of one of the aliases does not answer; empty where all do."""
    from django.db import OperationalError, connections

    for alias in aliases:
        connection = connections[alias]
        if connection.vendor == "sqlite":
            continue
        try:
            with connection._nodb_cursor():
                pass
        except OperationalError as error:
            return f"{connection.vendor}: {error}"
    return ""


@contextmanager
def databases(*aliases: str) -> Iterator[None]:
    """Create the databases of the aliases, empty, for a block; drop them after it."""
    try:
        for alias in aliases:
            recreate(alias)
        yield
    finally:
        for alias in aliases:
            drop(alias)


def recreate(alias: str, like: str | None = None) -> None:
    """Drop the database of an alias and create it, empty or as a copy of PostgreSQL's ``like``."""
    from django.db import connections

    drop(alias)
    connection = connections[alias]
    if connection.vendor == "sqlite":
        return
    create = f"CREATE DATABASE {_quoted(alias)}"
    if like is not None:
        connections[like].close()
        create += f" TEMPLATE {_quoted(like)} STRATEGY FILE_COPY"
    with connection._nodb_cursor() as cursor:
        cursor.execute(create)


def drop(alias: str) -> None:
    """Drop the database of an alias, if it is there."""
    from django.db import connections

    connection = connections[alias]
    connection.close()
    if connection.vendor == "sqlite":
        Path(connection.settings_dict["NAME"]).unlink(missing_ok=True)
        return
    force = " WITH (FORCE)" if connection.vendor == "postgresql" else ""
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {_quoted(alias)}{force}")


def _quoted(alias: str) -> str:
    from django.db import connections

    connection = connections[alias]
    return connection.ops.quote_name(connection.settings_dict["NAME"])


@contextmanager
def counting() -> Iterator[list[str]]:
    """Give a list that takes every statement executed on any alias meanwhile."""
    from django.db import connections

    counted: list[str] = []

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        counted.append(sql)
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for alias in connections:
            stack.enter_context(connections[alias].execute_wrapper(count))
        yield counted


def row(workload: str, name: str, **measured: Any) -> dict[str, Any]:
    """Return a row of results, with ``None`` for what was not measured."""
    return {
        "workload": workload,
        "name": name,
        "seconds": None,
        "rows": None,
        "statements": None,
        "peak_mb": None,
        "ratio": None,
        "against": None,
        "goal": None,
        **measured,
    }
