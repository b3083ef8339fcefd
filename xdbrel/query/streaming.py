"""Reading many rows of MariaDB without holding all of them.

Its driver fetches a whole result before the first row is seen, unless it is asked for a
cursor of another class; Django has no setting for a single read. PostgreSQL's cursors, and
SQLite's, read piece by piece as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def streamed(connection: Any) -> Iterator[None]:
    """Let chunked cursors of ``connection`` that are opened in the block read piece by piece.

    Until such a cursor is read to its end or closed, the connection can do nothing else.
    """
    if connection.vendor != "mysql" or "chunked_cursor" in vars(connection):
        yield
        return
    vars(connection)["chunked_cursor"] = lambda: _cursor(connection)
    try:
        yield
    finally:
        del vars(connection)["chunked_cursor"]


@contextmanager
def buffered(connection: Any) -> Iterator[None]:
    """Let chunked cursors of the block fetch whole results, whoever asked for pieces.

    A query that spans makes and drops tables on the connection that reads it.
    """
    streaming = vars(connection).pop("chunked_cursor", None)
    try:
        yield
    finally:
        if streaming is not None:
            vars(connection)["chunked_cursor"] = streaming


def _cursor(connection: Any) -> Any:
    connection.ensure_connection()
    driver = connection.connection
    usual = driver.cursorclass
    # Of mysqlclient, or of what stands in for it.
    driver.cursorclass = getattr(import_module(usual.__module__), "SSCursor", usual)
    try:
        return connection.cursor()
    finally:
        driver.cursorclass = usual
