"""Where the answer is kept to a query that was read on several aliases.

cachalot by itself keeps what comes from one.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable
from typing import Any

from django.core.cache import caches
from django.db import connections

from xdbrel.caching.levels import BEGAN, levels, seen_since

_UNREADABLE = (pickle.PickleError, ImportError, AttributeError, KeyError, TypeError, ValueError)


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
            or any(seen_since(alias) is None for alias in aliases)
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
        since = min(seen_since(alias) or 0.0 for alias in self._aliases)
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
            or any(seen_since(alias) is None for alias in self._aliases)
            or (streamed and any(map(levels, self._aliases)))
        ):
            return
        try:
            self._cache.set(self._key, (self._since, *values), self._timeout)
        except (pickle.PickleError, AttributeError, TypeError):
            # A field's own values need not be fit for it.
            return

    def _begun(self) -> list[Any]:
        return [getattr(connections[alias], BEGAN, None) for alias in self._aliases]
