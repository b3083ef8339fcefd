"""Processes that are killed: forked with Django set up, ended by SIGKILL at some instant.

Owns how a process is started and how it dies; what it does until then is for ``arena``.
A ``Fuse`` kills its own process right before or after a statement or commit, so that no
place of a path is missed; a ``Slot`` kills after a time, wherever that happens to be.
Nothing is cleaned up by who is killed: the servers find the connections closed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.faults.journal import Journal

#: Where a death falls that no fuse has decided.
AT_RANDOM, BY_FUSE = "at a random time", "by its fuse"
#: A fuse that nothing burns (its process waits for a lock) is helped after this time.
LONGEST_LIFE_SECONDS = 5.0


class Fuse:
    """Kills its own process at the given of its steps; never, if there is none.

    Each statement and each commit, on any database, is two steps: before and after. Where
    only ``commits`` count, statements are none.
    """

    def __init__(self, length: int | None, commits: bool, role: str, journal: Journal) -> None:
        self.left = length
        self.commits = commits
        self.role = role
        self.journal = journal

    def light(self) -> None:
        """Begin to count."""
        if self.left is None:
            return
        if not self.commits:
            for connection in connections.all():
                connection.execute_wrappers.append(self._statement)
        commit = BaseDatabaseWrapper._commit

        def counted(connection: BaseDatabaseWrapper) -> None:
            self._step("before a commit")
            commit(connection)
            self._step("after a commit")

        # In this process only, which is about to end.
        BaseDatabaseWrapper._commit = counted

    def _statement(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._step("before a statement")
        result = execute(sql, params, many, context)
        self._step("after a statement")
        return result

    def _step(self, place: str) -> None:
        self.left -= 1
        if self.left == 0:
            self.journal.note(event="killed", role=self.role, place=place)
            os.kill(os.getpid(), signal.SIGKILL)


def fork(call: Callable[[], None]) -> int:
    """Run ``call`` in a new process, with connections of its own, and return its pid."""
    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        call()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class Slot:
    """A place where a process always runs: killed after a while, and succeeded by the next."""

    def __init__(
        self,
        role: str,
        work: Callable[[random.Random, Fuse], None],
        journal: Journal,
        rng: random.Random,
        *,
        steps: int,
        seconds: float,
    ) -> None:
        self.role = role
        self.work = work
        self.journal = journal
        self.rng = rng
        self.steps = steps
        self.seconds = seconds
        self.killed: Counter[str] = Counter()
        self.died: list[int] = []
        self.pid: int | None = None

    def start(self) -> None:
        """Start the next process, its death decided."""
        kind = self.rng.choice(["time", "time", "statements", "commits"])
        by_fuse = kind != "time"
        steps = self.steps if kind == "statements" else self.steps // 10
        length = self.rng.randint(1, steps) if by_fuse else None
        fuse = Fuse(length, kind == "commits", self.role, self.journal)
        own = random.Random(self.rng.getrandbits(64))
        self.pid = fork(lambda: self.work(own, fuse))
        life = LONGEST_LIFE_SECONDS if by_fuse else self.rng.uniform(0, self.seconds)
        self.until = time.monotonic() + life
        self.sent = False

    def watch(self) -> None:
        """Kill where it is time, and bury who has died. Leaves ``pid`` None after a death."""
        if self.pid is None:
            return
        if not self.sent and time.monotonic() >= self.until:
            # Not waited for, it keeps its pid: nobody else is hit.
            os.kill(self.pid, signal.SIGKILL)
            self.sent = True
        found, status = os.waitpid(self.pid, os.WNOHANG)
        if found:
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                self.killed[AT_RANDOM if self.sent else BY_FUSE] += 1
            else:
                self.died.append(status)
            self.pid = None

    def end(self) -> None:
        """Kill what runs, uncounted."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None


def ended_well(pid: int, seconds: float) -> bool:
    """Wait for a process that ends by itself; kill it, and return False, if it does not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False
