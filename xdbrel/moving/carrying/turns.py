"""Rows whose targets come and go while they are written.

Owns how often they are written again, and what is copied before.
"""

from __future__ import annotations

from collections.abc import Callable

from xdbrel.moving.exceptions import WriteFailed

#: How often rows are written whose targets come and go meanwhile.
ATTEMPTS = 5

#: Writes rows; is given what to do between reading them and writing them.
Write = Callable[[Callable[[], None]], None]


def after_targets(write: Write, copy_targets: Callable[[], None]) -> None:
    """Write rows; where they point at what was written since, copy that first.

    Somebody may write a row and one that points at it between the copies of their tables,
    or delete both.
    """
    for attempt in range(ATTEMPTS):
        try:
            write(copy_targets if attempt else nothing)
            return
        except WriteFailed as error:
            if not error.is_integrity or attempt == ATTEMPTS - 1:
                raise


def nothing() -> None:
    """Do nothing between reading and writing."""
