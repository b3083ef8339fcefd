"""Both sides in open transactions: what may commit, and when an intent is settled.

A cascade that was applied inside the sources' open transaction must not be committed once
the delete it follows has been rolled back: the sources of living targets would be gone.
Django has no hook before a commit, so the connection concerned, and no other, is given a
``commit()`` that looks first. What stands in ``run_on_commit`` tells how the other side
fared: Django drops a callback when its savepoint or transaction is rolled back.

What counts is the delete that began it all. Once that commits, every database further on
will follow, if need be by the relay, so nothing that followed early is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.db import connections, transaction

from xdbrel.compat import on_commit_robustly
from xdbrel.exceptions import DeleteRolledBack

logger = logging.getLogger(__name__)

_GUARDED = "_xdbrel_guarded"


class Beginning:
    """The delete that began a cascade, in an open transaction on ``alias``."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.committed = False
        transaction.on_commit(self.commit, using=alias)

    def commit(self) -> None:
        self.committed = True

    def is_open(self) -> bool:
        """Tell whether the delete may still commit."""
        return _stands(connections[self.alias], self.commit)


class Followed:
    """A cascade that was applied inside the sources' open transaction."""

    def __init__(self, beginning: Beginning, alias: str, handles: list[str]) -> None:
        self.beginning = beginning
        self.alias = alias
        self.handles = handles
        transaction.on_commit(self.commit, using=alias)
        _guard(connections[alias])

    def commit(self) -> None:
        """Called after the commit; what matters is that it stands among those to be called."""

    def judge(self) -> None:
        """Raise ``DeleteRolledBack`` if the transaction must not commit."""
        beginning = self.beginning
        if beginning.committed:
            return
        if not beginning.is_open():
            raise DeleteRolledBack(self.handles, beginning.alias, self.alias)
        for handle in self.handles:
            logger.warning(
                "%s: the sources in %s commit before the delete in %s that they follow, and "
                "are lost if that is rolled back now; xdbrel.atomic() commits targets first",
                handle,
                self.alias,
                beginning.alias,
                extra={
                    "action": "sources_commit_first",
                    "relation": handle,
                    "alias": self.alias,
                },
            )


_beginning: ContextVar[Beginning | None] = ContextVar("xdbrel_beginning", default=None)


@contextmanager
def beginning(alias: str) -> Iterator[None]:
    """Mark what is deleted on ``alias`` as the beginning of what follows in the block.

    A cascade further on keeps the beginning of the whole.
    """
    if _beginning.get() is not None:
        yield
        return
    previous = _beginning.set(Beginning(alias))
    try:
        yield
    finally:
        _beginning.reset(previous)


def has_begun(alias: str) -> bool:
    """Tell whether a delete that others follow is open on ``alias``."""
    return any(
        isinstance(getattr(call, "__self__", None), Beginning)
        for _, call, *_ in connections[alias].run_on_commit
    )


def followed(alias: str, handles: list[str]) -> None:
    """Note that sources on ``alias`` have just followed, in its open transaction."""
    begun = _beginning.get()
    # Inside one connection both are committed or rolled back together.
    if begun is not None and begun.alias != alias and connections[alias].in_atomic_block:
        Followed(begun, alias, handles)


def when_both_commit(first: str, second: str, call: Callable[[], None]) -> None:
    """Call once the open transactions on both aliases have committed.

    A transaction without ``atomic()`` tells nobody that it commits: then it is never
    called, and the relay finds out.
    """
    committed: set[str] = set()

    def note(alias: str) -> None:
        committed.add(alias)
        if committed == {first, second}:
            call()

    for alias in (first, second):
        if connections[alias].in_atomic_block:
            on_commit_robustly(partial(note, alias), using=alias)


def _guard(connection: Any) -> None:
    if not getattr(connection, _GUARDED, False):
        setattr(connection, _GUARDED, True)
        connection.commit = partial(_commit, connection, connection.commit)


def _commit(connection: Any, commit: Callable[[], None]) -> None:
    for _, call, *_ in connection.run_on_commit:
        owner = getattr(call, "__self__", None)
        if isinstance(owner, Followed):
            owner.judge()
    commit()


def _stands(connection: Any, call: Callable[[], None]) -> bool:
    return any(waiting == call for _, waiting, *_ in connection.run_on_commit)
