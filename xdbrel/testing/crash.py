"""A process that dies between the commit of a delete and what follows in other databases.

Nothing of the cascade's own code is replaced: the death is the first callback of the
commit, and no other is called after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connections, transaction

from xdbrel import signals


class SimulatedCrash(BaseException):
    """The end of a process: raised by a commit, ends the block of ``crash_between_commits``.

    No ``Exception``, so that no handler of the tested code goes on after its own death.
    """


@dataclass
class Crash:
    """The crash of a block; ``using`` is the alias whose commit was the last, None before."""

    using: str | None = None


class _Process:
    """The code inside the block: where it is to die, and what it has open that must not stay."""

    def __init__(self, using: str | None) -> None:
        self.wanted = using
        self.crash = Crash()
        #: The alias of a delete that is to be the last, and the callback that ends it all.
        self.last: tuple[str, Callable[[], None]] | None = None
        #: What waited for the commits of transactions that were open before the block.
        self.waiting_before = {
            connection.alias: list(connection.run_on_commit)
            for connection in connections.all(initialized_only=True)
            if connection.in_atomic_block
        }

    def listen(self, *, using: str, **kwargs: Any) -> None:
        """Note that a delete in the open transaction on ``using`` plans a cascade."""
        # A delete further on, in a database whose sources follow at once, belongs to the first.
        if _process.get() is not self or self.wanted not in (None, using) or self.is_to_die():
            return
        end = partial(self.die, using)
        self.last = using, end
        transaction.on_commit(end, using=using)
        waiting = connections[using].run_on_commit
        waiting.insert(0, waiting.pop())

    def is_to_die(self) -> bool:
        """Tell whether a delete stands; Django drops a callback when its block is rolled back."""
        if self.last is None:
            return False
        using, end = self.last
        return any(call is end for _, call, *_ in connections[using].run_on_commit)

    def die(self, using: str) -> None:
        # Django would reset this after the callbacks, none of which is called any more.
        connections[using].run_commit_hooks_on_set_autocommit_on = False
        self.crash.using = using
        raise SimulatedCrash

    def die_uncommitted(self) -> None:
        """Let the end of the block stand for the commit that a ``TestCase`` never makes."""
        if self.crash.using is not None or self.last is None or not self.is_to_die():
            return
        using, _ = self.last
        if using in self.waiting_before:
            self.crash.using = using
            before = self.waiting_before[using]
            connections[using].run_on_commit = [
                waiting
                for waiting in connections[using].run_on_commit
                if any(waiting is one for one in before)
            ]


_process: ContextVar[_Process | None] = ContextVar("xdbrel_testing_process", default=None)


@contextmanager
def crash_between_commits(using: str | None = None) -> Iterator[Crash]:
    """Run the block as a process that dies right after it has committed a delete.

    It dies with the commit of the first delete whose cascade leads to another database, or
    the first on the alias ``using``: no ``on_commit`` callback is called, nothing is applied,
    no statement of the block after it runs, and whatever else is in an open transaction is
    rolled back. The intents are left claimed, as a dead process leaves them; ``drain()``
    finishes. With the sources in open transactions too, that is the crash between the two
    commits.

    In a transaction that was open before the block (a ``TestCase``'s) there is no commit to
    die of. There the block runs to its end, which stands for the commit of the delete, and
    what the block wrote to the other databases is rolled back.

    Fails if the block ends without such a delete: a test of a crash has then tested nothing.
    """
    process = _Process(using)
    token = _process.set(process)
    signals.cascade_planned.connect(process.listen, weak=False)
    try:
        with ExitStack() as opened:
            for alias in process.waiting_before:
                opened.enter_context(transaction.atomic(using=alias))
            try:
                yield process.crash
            except SimulatedCrash:
                if process.crash.using is None:
                    raise
            process.die_uncommitted()
            if process.crash.using is not None:
                for alias in process.waiting_before:
                    if alias != process.crash.using:
                        transaction.set_rollback(True, using=alias)
    finally:
        signals.cascade_planned.disconnect(process.listen)
        _process.reset(token)
    if process.crash.using is None:
        where = f"on {using!r}" if using else "with sources in another database"
        raise AssertionError(f"Nothing crashed: the block committed no delete {where}.")
