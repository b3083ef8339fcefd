"""django-cachalot at arm's length: the only module that imports it.

Reads that decide something run inside ``uncached()``. Where cachalot is not among the
installed apps nothing here does anything. ``guard()`` and ``forget_autocommitted()`` mend four
ways in which it goes stale; of those that only a project's settings can mend,
``xdbrel.checks.caches`` warns. ``Slot`` is where the answer is kept to a query that was read on
several aliases, which cachalot by itself knows nothing of.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.apps import apps
from django.core.cache import caches
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.transaction import Atomic

from xdbrel.compat import on_commit_robustly

#: The attribute of a connection that says when its last outermost block of ``atomic()`` began.
BEGAN = "_xdbrel_block_began"

_UNREADABLE = (pickle.PickleError, ImportError, AttributeError, KeyError, TypeError, ValueError)


def installed() -> bool:
    """Tell whether django-cachalot is among the installed apps."""
    return apps.is_installed("cachalot")


@contextmanager
def uncached() -> Iterator[None]:
    """Run the block's queries against the databases, whatever is cached.

    cachalot's own context manager leaves caching switched off for good when its block
    raises; here the state of before is restored either way.
    """
    if not installed():
        yield
        return
    from cachalot.api import LOCAL_STORAGE, cachalot_disabled

    before = {
        name: getattr(LOCAL_STORAGE, name)
        for name in ("cachalot_enabled", "disable_on_all")
        if hasattr(LOCAL_STORAGE, name)
    }
    manager = cachalot_disabled()
    manager.__enter__()
    try:
        yield
    finally:
        for name in ("cachalot_enabled", "disable_on_all"):
            if name in before:
                setattr(LOCAL_STORAGE, name, before[name])
            elif hasattr(LOCAL_STORAGE, name):
                delattr(LOCAL_STORAGE, name)


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
        levels = _levels(alias)
        depth = len(levels)
        if not depth:
            # Before anything can be read in it, whichever of its moments that will show.
            setattr(connections[alias], BEGAN, time.time())
        try:
            entered(block)
        except BaseException:
            del levels[depth:]
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

    for level in _levels(using):
        for name, cache in level.items():
            _invalidate_tables(caches[name], using, cache.to_be_invalidated)


def is_on(using: str) -> bool:
    """Tell whether what is read on ``using`` in this thread may be kept now, by what is cheap."""
    if not installed():
        return False
    from cachalot.api import LOCAL_STORAGE
    from cachalot.settings import cachalot_settings

    return (
        cachalot_settings.CACHALOT_ENABLED
        and getattr(LOCAL_STORAGE, "cachalot_enabled", True)
        and _seen_since(using) is not None
    )


def keeps_random() -> bool:
    """Tell whether cachalot keeps answers that are in no order."""
    from cachalot.settings import cachalot_settings

    return bool(cachalot_settings.CACHALOT_CACHE_RANDOM)


def keeps_iterators() -> bool:
    """Tell whether cachalot keeps what ``iterator()`` has read."""
    from cachalot.settings import cachalot_settings

    return bool(cachalot_settings.CACHALOT_CACHE_ITERATORS)


def more_tables() -> set[str]:
    """Return the tables without a model that cachalot looks for in raw SQL."""
    from cachalot.settings import cachalot_settings

    return set(cachalot_settings.CACHALOT_ADDITIONAL_TABLES)


class Slot:
    """Where cachalot's cache keeps one answer that was read on several aliases.

    It is there under ``key``, with the time before the first read, and counts as long as no
    table of ``tables`` was written to since on any of ``aliases``, by cachalot's own account.
    ``find()`` comes before the reading, ``fill()`` after it.
    """

    def __init__(self, key: str, tables: Iterable[str], aliases: Iterable[str]) -> None:
        from cachalot.settings import cachalot_settings

        self._cache = caches[cachalot_settings.CACHALOT_CACHE]
        self._timeout = cachalot_settings.CACHALOT_TIMEOUT
        self._key = key
        self._aliases = list(aliases)
        self._tables = [
            cachalot_settings.CACHALOT_TABLE_KEYGEN(alias, table)
            for alias in self._aliases
            for table in sorted(tables)
        ]
        #: What is read from now on is no older than this; ``None`` where it is not kept.
        self._since: float | None = None
        self._blocks = self._begun()

    @classmethod
    def of(
        cls, key: str, compiled: Any, kinds: set[type], tables: set[str], aliases: set[str]
    ) -> Slot | None:
        """Return the slot of a query; ``None`` where its answer is neither kept nor looked for.

        ``compiled`` is its compiler, ``kinds`` the classes of its expressions. cachalot's settings
        decide, and what it says of the parameters; an open transaction that has written, too.
        """
        from cachalot.settings import cachalot_settings
        from cachalot.utils import UNCACHABLE_FUNCS, UncachableQuery, are_all_cachable

        if (
            not aliases <= set(cachalot_settings.CACHALOT_DATABASES)
            or not are_all_cachable(tables)
            or kinds & UNCACHABLE_FUNCS
            or any(_seen_since(alias) is None for alias in aliases)
        ):
            return None
        try:
            # It may be a project's own, that tells tenants apart.
            key += cachalot_settings.CACHALOT_QUERY_KEYGEN(compiled)
        except UncachableQuery:
            return None
        return cls(f"xdbrel:{key}", tables, sorted(aliases))

    def find(self) -> tuple[Any, ...] | None:
        """Return the values that ``fill()`` was given, as long as they count."""
        try:
            data = self._cache.get_many([*self._tables, self._key])
        except _UNREADABLE:
            # What was pickled was of classes that are no more, or are others.
            data = {}
        kept = data.pop(self._key, None)
        missing = [table for table in self._tables if table not in data]
        newest = max(data.values(), default=0.0)
        if kept is not None and not missing and kept[0] > newest:
            values: tuple[Any, ...] = kept[1:]
            return values
        for table in missing:
            # Not set(): whoever writes meanwhile has said so here.
            newest = time.time()
            self._cache.add(table, newest, self._timeout)
        # Taken before the first read. Of a block, what it saw when it began may be all it sees.
        since = min(_seen_since(alias) or 0.0 for alias in self._aliases)
        if since > newest:
            self._since = since
        return None

    def fill(self, *values: Any, streamed: bool = False) -> None:
        """Keep ``values``, unless what they were read in may have been changed and taken back.

        That is a block that has written, one that began meanwhile, and any block where they came
        as a stream (``streamed``), during which it may have written and rolled back.
        """
        if (
            self._since is None
            or self._blocks != self._begun()
            or any(_seen_since(alias) is None for alias in self._aliases)
            or (streamed and any(map(_levels, self._aliases)))
        ):
            return
        try:
            self._cache.set(self._key, (self._since, *values), self._timeout)
        except (pickle.PickleError, AttributeError, TypeError):
            # A field's own values need not be fit for it.
            return

    def _begun(self) -> list[Any]:
        return [getattr(connections[alias], BEGAN, None) for alias in self._aliases]


def _seen_since(alias: str) -> float | None:
    """Return from when on others see what this thread's connection to ``alias`` would read now.

    Outside of blocks that is now; in a block that has not written, when it began, since a
    database may go on showing that moment. ``None`` where it may be a transaction's own.
    """
    connection = connections[alias]
    levels = _levels(alias)
    if not levels:
        manual = connection.connection is not None and not connection.autocommit
        if connection.in_atomic_block or manual or not connection.settings_dict["AUTOCOMMIT"]:
            return None
        return time.time()
    from cachalot.settings import cachalot_settings

    if not cachalot_settings.CACHALOT_INVALIDATE_RAW or any(
        cache.to_be_invalidated for level in levels for cache in level.values()
    ):
        return None
    began: float | None = getattr(connection, BEGAN, None)
    return began


def _levels(alias: str) -> list[dict[str, Any]]:
    """Return cachalot's caches of this thread's open blocks, by name of the cache."""
    from cachalot.cache import cachalot_caches

    levels: list[dict[str, Any]] = cachalot_caches.atomic_caches[alias]
    return levels
