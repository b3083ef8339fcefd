"""Every event between Django and its databases, in order, and a fault at one of them.

What an ``execute_wrapper`` sees, on Django 5.2 and 6.1 alike, is every statement that goes
through a cursor: queries, savepoints, SQLite's BEGIN, what MariaDB is told on connecting.
It does not see connecting itself, COMMIT, ROLLBACK, nor autocommit turned off and on (by
which PostgreSQL and MariaDB begin and end a transaction). Those are wrapped on the
connection concerned, below everything that Django or xdbrel do in ``commit()``.

A fault is a function ``(tape, connection, event, go)``: ``go()`` does what was to be done.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

SECONDS_TO_BE_CUT = 10.0

#: Django numbers its savepoints.
_SAVEPOINT = re.compile(r"\S*s\d+_x\d+\S*")


class Died(BaseException):
    """The process dies here: nothing that it does from now on reaches a database."""


@dataclass(frozen=True)
class Event:
    """Something that one connection does: a statement by its first words, or what is none."""

    alias: str
    what: str

    def __str__(self) -> str:
        return f"{self.what} on {self.alias}"


Go = Callable[[], Any]
Fault = Callable[["Tape", BaseDatabaseWrapper, Event, Go], Any]


class Tape:
    """Records events while its block runs; lets ``fault`` happen at event number ``at``."""

    def __init__(self, at: int | None = None, fault: Fault | None = None) -> None:
        self.at = at
        self.fault = fault
        self.events: list[Event] = []
        self.struck: Event | None = None
        #: Aliases that answer nothing any more, and whether the process is dead.
        self.away: set[str] = set()
        self.dead = False
        self.ended = False

    def __enter__(self) -> Tape:
        for connection in connections.all():
            connection.execute_wrappers.append(self._statement)
            own = vars(connection)
            own["connect"] = self._wrapped(connection, "CONNECT", connection.connect)
            own["_commit"] = self._wrapped(connection, "COMMIT", connection._commit)
            own["_rollback"] = self._wrapped(connection, "ROLLBACK", connection._rollback)
            own["_set_autocommit"] = partial(
                self._autocommit, connection, connection._set_autocommit
            )
        return self

    def __exit__(self, *args: object) -> None:
        self.ended = True
        for connection in connections.all():
            connection.execute_wrappers.remove(self._statement)
            for name in ("connect", "_commit", "_rollback", "_set_autocommit"):
                del vars(connection)[name]

    def happens(self, connection: BaseDatabaseWrapper, what: str, go: Go) -> Any:
        if self.dead:
            raise Died
        event = Event(connection.alias, what)
        number = len(self.events)
        self.events.append(event)
        if connection.alias in self.away:
            raise lost(event)
        if number != self.at or self.fault is None:
            return go()
        self.struck = event
        return self.fault(self, connection, event, go)

    def _statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        return self.happens(
            context["connection"],
            " ".join(_SAVEPOINT.sub("", sql).split()[:3]),
            lambda: execute(sql, params, many, context),
        )

    def _autocommit(
        self, connection: BaseDatabaseWrapper, original: Callable[[bool], None], autocommit: bool
    ) -> None:
        what = f"AUTOCOMMIT {'ON' if autocommit else 'OFF'}"
        self.happens(connection, what, lambda: original(autocommit))

    def _wrapped(self, connection: BaseDatabaseWrapper, what: str, original: Go) -> Go:
        return lambda: self.happens(connection, what, original)


def lost(event: Event) -> OperationalError:
    return OperationalError(f"a fault at {event}")


# The faults.


def refused(tape: Tape, connection: BaseDatabaseWrapper, event: Event, go: Go) -> None:
    """The server does not do it. PostgreSQL does nothing more in that transaction, then."""
    raw = connection.connection
    if connection.vendor == "postgresql" and raw and raw.info.transaction_status.name == "INTRANS":
        with contextlib.suppress(connection.Database.Error):
            raw.execute("a fault")
    raise lost(event)


def unanswered(tape: Tape, connection: BaseDatabaseWrapper, event: Event, go: Go) -> None:
    """It is done, and nobody learns of it."""
    go()
    raise lost(event)


def undone(tape: Tape, connection: BaseDatabaseWrapper, event: Event, go: Go) -> None:
    """The server rolls the whole transaction back, as MariaDB does with a deadlock's victim."""
    with contextlib.suppress(connection.Database.Error):
        connection.connection.rollback()
    raise lost(event)


def cut(tape: Tape, connection: BaseDatabaseWrapper, event: Event, go: Go) -> Any:
    """The connection is closed for real, by the server; then the attempt is made."""
    cut_connection(connection)
    return go()


def away(tape: Tape, connection: BaseDatabaseWrapper, event: Event, go: Go) -> None:
    """This database answers nothing from now on."""
    tape.away.add(connection.alias)
    raise lost(event)


def died(tape: Tape, connection: BaseDatabaseWrapper, event: Event, go: Go) -> None:
    tape.dead = True
    raise Died


FAULTS: tuple[Fault, ...] = (refused, unanswered, undone, cut, away, died)


def makes_sense(fault: Fault, event: Event) -> bool:
    """Tell whether a fault is one of its own at that event."""
    vendor = connections[event.alias].vendor
    if vendor == "sqlite" and event.what.startswith("AUTOCOMMIT"):
        # Nothing but the driver takes note, and that cannot fail.
        return fault is died
    if fault is undone:
        # PostgreSQL refuses all the rest until it is rolled back: that is ``refused``.
        return vendor != "postgresql" and event.what not in ("CONNECT", "AUTOCOMMIT OFF")
    # SQLite has no server that could; before connecting there is nothing to cut.
    return fault is not cut or (vendor != "sqlite" and event.what != "CONNECT")


# Connections that really close.


def cut_connection(connection: BaseDatabaseWrapper) -> None:
    """Let the server end the session of ``connection``, and wait until it has."""
    raw = connection.connection
    assert raw is not None, f"{connection.alias} is not connected"
    executioner = connection.copy()
    try:
        with executioner.cursor() as cursor:
            if connection.vendor == "postgresql":
                milliseconds = int(SECONDS_TO_BE_CUT * 1000)
                pid = raw.info.backend_pid
                cursor.execute("SELECT pg_terminate_backend(%s, %s)", [pid, milliseconds])
                assert cursor.fetchone() == (True,)
                return
            session = raw.thread_id()
            cursor.execute(f"KILL CONNECTION {session:d}")
            until = time.monotonic() + SECONDS_TO_BE_CUT
            while cursor.execute(
                "SELECT 1 FROM information_schema.processlist WHERE id = %s", [session]
            ):
                assert time.monotonic() < until, f"session {session} does not end"
    finally:
        executioner.close()


@contextlib.contextmanager
def kept_in_memory() -> Iterator[None]:
    """Let databases in memory outlive their connections, which can then be closed for real."""
    with contextlib.ExitStack() as stack:
        for connection in connections.all():
            if connection.vendor == "sqlite":
                name = connection.settings_dict["NAME"]
                stack.enter_context(contextlib.closing(sqlite3.connect(name, uri=True)))
        try:
            yield
        finally:
            for connection in connections.all():
                connection.ensure_connection()


def hang_up(*kept: str) -> None:
    """Close every connection of this thread without a word, as a dying process does.

    Django knows nothing of what was open; it connects anew for the next statement. Aliases
    that have no part in it are ``kept``.
    """
    for connection in connections.all(initialized_only=True):
        if connection.alias in kept:
            continue
        raw, connection.connection = connection.connection, None
        if raw is not None:
            with contextlib.suppress(connection.Database.Error):
                raw.close()
        # What connecting sets, for those who ask before they connect.
        connection.in_atomic_block = False
        connection.savepoint_ids = []
        connection.atomic_blocks = []
        connection.needs_rollback = False
        connection.closed_in_transaction = False
        connection.autocommit = True
        connection.run_on_commit = []
