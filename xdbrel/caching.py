"""django-cachalot at arm's length: the only module that imports it.

Reads that decide something run inside ``uncached()``. Where cachalot is not among the
installed apps nothing here does anything. ``guard()`` mends two ways in which it goes stale;
of those that only a project's settings can mend, ``xdbrel.checks.caches`` warns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.apps import apps
from django.core.cache import caches
from django.db import DEFAULT_DB_ALIAS, models
from django.db.transaction import Atomic

from xdbrel.compat import on_commit_robustly


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


def guard() -> None:
    """Let a transaction leave nothing stale behind where it cannot begin, nor while it ends.

    cachalot opens a level of its cache before Django begins the block, and closes it in the
    block's exit. Where Django cannot begin (the database cannot be reached, the connection
    was lost before a savepoint) there is no exit: everything that the thread reads from that
    alias would come from that level for ever, and what it writes would never be forgotten
    elsewhere. And cachalot closes the level after ``on_commit()`` has called back: whoever is
    told of the commit in another process would be answered from before it.

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


def forget_committed(using: str) -> None:
    """Drop from the shared cache what the transaction has written that just ended on ``using``.

    cachalot does so itself, after every callback of the commit.
    """
    from cachalot.utils import _invalidate_tables

    for level in _levels(using):
        for name, cache in level.items():
            _invalidate_tables(caches[name], using, cache.to_be_invalidated)


def _levels(alias: str) -> list[dict[str, Any]]:
    """Return cachalot's caches of this thread's open blocks, by name of the cache."""
    from cachalot.cache import cachalot_caches

    levels: list[dict[str, Any]] = cachalot_caches.atomic_caches[alias]
    return levels
