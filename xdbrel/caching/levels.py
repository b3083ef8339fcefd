"""Whether cachalot is there, and its caches of the blocks that are open in a thread."""

from __future__ import annotations

import time
from typing import Any

from django.apps import apps
from django.db import connections

#: The attribute of a connection that says when its last outermost block of ``atomic()`` began.
BEGAN = "_xdbrel_block_began"


def installed() -> bool:
    """Tell whether django-cachalot is among the installed apps."""
    return apps.is_installed("cachalot")


def levels(alias: str) -> list[dict[str, Any]]:
    """Return cachalot's caches of this thread's open blocks, by name of the cache."""
    from cachalot.cache import cachalot_caches

    found: list[dict[str, Any]] = cachalot_caches.atomic_caches[alias]
    return found


def seen_since(alias: str) -> float | None:
    """Return from when on others see what this thread's connection to ``alias`` would read now.

    Outside of blocks that is now; in a block that has not written, when it began, since a
    database may go on showing that moment. ``None`` where it may be a transaction's own.
    """
    connection = connections[alias]
    open_blocks = levels(alias)
    if not open_blocks:
        manual = connection.connection is not None and not connection.autocommit
        if connection.in_atomic_block or manual or not connection.settings_dict["AUTOCOMMIT"]:
            return None
        return time.time()
    from cachalot.settings import cachalot_settings

    if not cachalot_settings.CACHALOT_INVALIDATE_RAW or any(
        cache.to_be_invalidated for level in open_blocks for cache in level.values()
    ):
        return None
    began: float | None = getattr(connection, BEGAN, None)
    return began
