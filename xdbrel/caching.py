"""django-cachalot at arm's length: the only module that imports it.

Reads that decide something run inside ``uncached()``. Where cachalot is not among the
installed apps both functions do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.apps import apps
from django.db import models


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
