"""What cachalot forgets by: told here, kept from it, and mended where it comes at a wrong time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.core.cache import caches
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.transaction import Atomic

from xdbrel.caching.levels import BEGAN, installed, levels
from xdbrel.compat import on_commit_robustly


def invalidate(tables: Iterable[type[models.Model]], using: str) -> None:
    """Drop what is cached of these models' tables on the alias ``using``."""
    models_ = list(tables)
    if installed() and models_:
        from cachalot.api import invalidate as drop

        drop(*models_, db_alias=using)


@contextmanager
def unseen(connection: Any) -> Iterator[None]:
    """Let cachalot not take the block's statements on ``connection`` for writes to what they name.

    It looks for the names of tables anywhere in SQL that creates, inserts or drops, and the
    columns of a temporary table bear them.
    """
    before = getattr(connection, "raw", True)
    connection.raw = False
    try:
        yield
    finally:
        connection.raw = before


def forget_autocommitted(table: str, using: str) -> None:
    """Drop what was cached of ``table`` while a statement was writing to it, outside of any block.

    cachalot drops what it has when such a statement begins. What others read from then until
    the rows are changed is of before the write, and would stay.
    """
    if not installed() or connections[using].in_atomic_block:
        return
    from cachalot.settings import cachalot_settings
    from cachalot.utils import _invalidate_tables

    _invalidate_tables(caches[cachalot_settings.CACHALOT_CACHE], using, [table])


def guard() -> None:
    """Let a transaction leave nothing stale behind where it cannot begin, nor while it ends.

    cachalot opens a level of its cache before Django begins the block, and closes it in the
    block's exit. Where Django cannot begin (the database cannot be reached, the connection
    was lost before a savepoint) there is no exit: everything that the thread reads from that
    alias would come from that level for ever, and what it writes would never be forgotten
    elsewhere. And cachalot closes the level after ``on_commit()`` has called back: whoever is
    told of the commit in another process would be answered from before it. Then it writes what
    the level knew of tables over what others have said of them since.

    Called once, by the app's ``ready()``.
    """
    if not installed():
        return
    from cachalot.settings import cachalot_settings

    # cachalot's own app may come later among the installed ones; this patches once.
    cachalot_settings.load()
    entered: Any = Atomic.__enter__
    if not hasattr(entered, "__wrapped__"):
        raise RuntimeError("django-cachalot does not wrap Atomic.__enter__ any more")

    def enter(block: Atomic) -> None:
        alias = block.using or DEFAULT_DB_ALIAS
        open_blocks = levels(alias)
        depth = len(open_blocks)
        if not depth:
            # Before anything can be read in it, whichever of its moments that will show.
            setattr(connections[alias], BEGAN, time.time())
        try:
            entered(block)
        except BaseException:
            del open_blocks[depth:]
            raise
        if not depth:
            on_commit_robustly(partial(forget_committed, alias), using=alias)

    # What cachalot puts back when it is switched off.
    enter.__wrapped__ = entered.__wrapped__  # type: ignore[attr-defined]
    Atomic.__enter__ = enter  # type: ignore[method-assign]
    _keep_times_of_others()


def _keep_times_of_others() -> None:
    """Let the end of a block leave the times at which others wrote to tables as they are.

    What reads of a table that the cache knows nothing of notes the time of that: in a block, for
    its end, when somebody may have written to the table. What was kept before the write would
    be newer than that time, and count again.
    """
    from cachalot.settings import cachalot_settings
    from cachalot.transaction import AtomicCache

    commit = AtomicCache.commit

    def commit_with_times(level: Any) -> None:
        if not isinstance(level.parent_cache, AtomicCache):
            own = {
                cachalot_settings.CACHALOT_TABLE_KEYGEN(level.db_alias, table)
                for table in level.to_be_invalidated
            }
            for key in [key for key, value in level.items() if isinstance(value, float)]:
                noted = level.pop(key)
                if key not in own:
                    level.parent_cache.add(key, noted, cachalot_settings.CACHALOT_TIMEOUT)
        commit(level)

    AtomicCache.commit = commit_with_times


def forget_committed(using: str) -> None:
    """Drop from the shared cache what the transaction has written that just ended on ``using``.

    cachalot does so itself, after every callback of the commit.
    """
    from cachalot.utils import _invalidate_tables

    for level in levels(using):
        for name, cache in level.items():
            _invalidate_tables(caches[name], using, cache.to_be_invalidated)
