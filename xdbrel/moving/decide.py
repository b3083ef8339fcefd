"""Which end is right about one row: the source, the destination, or neither alone.

Owns the one table of decisions. A row is known by three digests: what stands at the source,
what was copied last, what stands at the destination; None is no row. Who changed is told by
the middle one, as where three versions of a text are merged.
"""

from __future__ import annotations

from enum import Enum, auto


class Step(Enum):
    """What is to be done about a row."""

    NOTHING = auto()
    TO_DESTINATION = auto()
    TO_SOURCE = auto()
    DELETE_AT_DESTINATION = auto()
    DELETE_AT_SOURCE = auto()
    #: Another row is at the destination under this key, which no move has put there.
    COLLISION = auto()
    #: Both ends were changed.
    CONFLICT = auto()


def step(
    source: str | None,
    copied: str | None,
    destination: str | None,
    *,
    switched: bool,
    pending: str | None = None,
    shared: bool = False,
) -> Step:
    """Return what is to be done about a row.

    ``switched`` tells that the routers send writes to the destination, so that what was
    changed there counts; before, a row that is missing there was lost and not deleted.
    ``pending`` is what was being written to the destination when the process died, and may
    not have arrived. ``shared`` tells that the destination has rows of its own.
    """
    if source == destination:
        return Step.NOTHING
    if copied is None:
        return _new(source, destination, switched=switched, shared=shared)
    if source is None:
        return Step.DELETE_AT_DESTINATION if destination == copied else Step.CONFLICT
    if pending is not None and destination in (None, copied, pending):
        return Step.TO_DESTINATION
    if destination is None:
        if not switched:
            return Step.TO_DESTINATION
        return Step.DELETE_AT_SOURCE if source == copied else Step.CONFLICT
    if destination == copied:
        return Step.TO_DESTINATION
    return Step.TO_SOURCE if source == copied and switched else Step.CONFLICT


def _new(source: str | None, destination: str | None, *, switched: bool, shared: bool) -> Step:
    """Decide about a row that was never copied."""
    if destination is None:
        return Step.TO_DESTINATION
    if source is None:
        return Step.TO_SOURCE if switched and not shared else Step.NOTHING
    return Step.COLLISION
