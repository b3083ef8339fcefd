"""django-cachalot at arm's length: the only package that imports it.

Reads that decide something run inside ``uncached()``. Where cachalot is not among the
installed apps nothing here does anything. ``guard()`` and ``forget_autocommitted()`` mend four
ways in which it goes stale; of those that only a project's settings can mend,
``xdbrel.checks.caches`` warns. ``Slot`` is where the answer is kept to a query that was read on
several aliases.
"""

from xdbrel.caching.forgetting import (
    forget_autocommitted,
    forget_committed,
    guard,
    invalidate,
    unseen,
)
from xdbrel.caching.levels import installed
from xdbrel.caching.reading import (
    is_on,
    keeps_iterators,
    keeps_random,
    more_tables,
    uncached,
)
from xdbrel.caching.slot import Slot

__all__ = [
    "Slot",
    "forget_autocommitted",
    "forget_committed",
    "guard",
    "installed",
    "invalidate",
    "is_on",
    "keeps_iterators",
    "keeps_random",
    "more_tables",
    "uncached",
    "unseen",
]
