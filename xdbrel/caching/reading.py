"""Reading past the cache, and what its settings say of reading.

Reads that decide something run inside ``uncached()``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xdbrel.caching.levels import installed, seen_since


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


def is_on(using: str) -> bool:
    """Tell whether what is read on ``using`` in this thread may be kept now, by what is cheap."""
    if not installed():
        return False
    from cachalot.api import LOCAL_STORAGE
    from cachalot.settings import cachalot_settings

    return (
        cachalot_settings.CACHALOT_ENABLED
        and getattr(LOCAL_STORAGE, "cachalot_enabled", True)
        and seen_since(using) is not None
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
