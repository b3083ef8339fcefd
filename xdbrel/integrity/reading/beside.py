"""Connections to a database beside the scan's own, at which other threads read.

Owns their making, the bound on their statements, and their end. Who asks what there, and goes
on alone where no connection is to be had, is for ``readers`` and ``ahead``.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from xdbrel.integrity.reading import statement_time
from xdbrel.integrity.reading.ends import End

logger = logging.getLogger(__name__)

#: What a statement answers: its rows, in a thread's own time.
Rows = Future[list[tuple[Any, ...]]]


class Beside:
    """Up to ``number`` connections to the database of ``end``, each used by one thread at a time.

    They are made when there is something to read, and closed when the block ends that they are
    the context manager of. None is made inside a transaction, which others do not see, nor where
    a pool hands out a number of them that others wait for: ``number`` is 0 then.
    """

    def __init__(self, end: End, number: int) -> None:
        connection = connections[end.using]
        alone = connection.in_atomic_block or connection.settings_dict["OPTIONS"].get("pool")
        self.end = end
        self.number = 0 if alone else number
        self._idle: queue.SimpleQueue[BaseDatabaseWrapper] = queue.SimpleQueue()
        self._made: list[BaseDatabaseWrapper] = []
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None
        for connection in self._made:
            connection.close()
        self._made.clear()

    def read(self, sql: str, params: Sequence[Any]) -> Rows:
        """Begin to run a statement; its result is its rows, or the database's error."""
        if self._threads is None:
            self._threads = self._started()
        return self._threads.submit(self._read, sql, params)

    def give_up(self, error: Exception) -> None:
        """Read no more: the server may have no connection left to give. The scan has one."""
        if self.number:
            self.number = 0
            handle, alias = self.end.relation.handle, self.end.using
            logger.warning(
                "The scan of %s goes on by one connection to %s: %s",
                handle,
                alias,
                error,
                extra={"action": "scan_alone", "relation": handle, "alias": alias},
            )

    def _started(self) -> ThreadPoolExecutor:
        for _ in range(self.number):
            connection = connections[self.end.using].copy()
            # Whichever thread is free takes whichever connection is.
            connection.inc_thread_sharing()
            self._made.append(connection)
            self._idle.put(connection)
        return ThreadPoolExecutor(self.number, thread_name_prefix="xdbrel-reader")

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
