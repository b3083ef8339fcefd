"""Connections to a database beside the scan's own, at which other threads read.

Owns their making, the bound on their statements, and their end. Who asks what there, and goes
on alone where no connection is to be had, is for ``readers`` and ``ahead``.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from xdbrel.integrity.reading import statement_time
from xdbrel.integrity.reading.ends import End

logger = logging.getLogger(__name__)

#: What a statement answers: its rows, in a thread's own time.
Rows = Future[list[tuple[Any, ...]]]


def has_others(end: End) -> bool:
    """Tell whether other connections to the end's database see what the scan's own sees.

    Not inside a transaction. Nor are they asked for where a pool hands out a number of them
    that others wait for.
    """
    connection = connections[end.using]
    return not (connection.in_atomic_block or connection.settings_dict["OPTIONS"].get("pool"))


def told_alone(end: End, error: Exception) -> None:
    """Tell the log that the scan goes on by the connection that it has, and why."""
    logger.warning(
        "The scan of %s goes on by one connection to %s: %s",
        end.relation.handle,
        end.using,
        error,
        extra={"action": "scan_alone", "relation": end.relation.handle, "alias": end.using},
    )


class Beside:
    """Up to ``number`` connections to the database of ``end``, each used by one thread at a time.

    They are made by their threads when there is something to read, and closed by ``close()``.
    """

    def __init__(self, end: End, number: int) -> None:
        self._idle: queue.SimpleQueue[BaseDatabaseWrapper] = queue.SimpleQueue()
        self._made: list[BaseDatabaseWrapper] = []
        for _ in range(number):
            connection = connections[end.using].copy()
            # Whichever thread is free takes whichever connection is.
            connection.inc_thread_sharing()
            self._made.append(connection)
            self._idle.put(connection)
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="xdbrel-reader")

    def read(self, sql: str, params: Sequence[Any]) -> Rows:
        """Begin to run a statement; its result is its rows, or the database's error."""
        return self._threads.submit(self._read, sql, params)

    def close(self) -> None:
        """Wait for what is running, and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        for connection in self._made:
            connection.close()

    def _read(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = self._idle.get()
        try:
            if connection.connection is None:
                statement_time.bound(connection)
            with connection.cursor() as cursor:
                cursor.execute(sql, params)
                rows: list[tuple[Any, ...]] = cursor.fetchall()
                return rows
        finally:
            self._idle.put(connection)
