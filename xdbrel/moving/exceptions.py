"""The errors of moving rows, each a child of ``XdbrelError``."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import IntegrityError

from xdbrel.exceptions import XdbrelError, describe_keys


class CannotMove(XdbrelError, ValueError):
    """The rows cannot be moved as asked; nothing was written.

    Attributes: ``model`` (label), ``using`` and ``to`` (aliases).
    """

    def __init__(self, model: str, using: str, to: str, reason: str, remedy: str) -> None:
        self.model = model
        self.using = using
        self.to = to
        super().__init__(
            f"{model}: rows cannot be moved from {using!r} to {to!r}, since {reason}; nothing "
            f"was written. {remedy}"
        )


class RowsCollide(XdbrelError):
    """Rows at the destination have the keys, or other unique values, of rows to be moved.

    Attributes: ``collisions``, those that were found, and ``to`` (alias).
    """

    def __init__(self, to: str, collisions: Sequence[Any], *, written: bool = False) -> None:
        self.to = to
        self.collisions = list(collisions)
        remedy = (
            "Give these rows other values at one of the two ends"
            if any(collision.fields != "primary key" for collision in collisions)
            else "Delete or change those rows at one of the two ends, or let the moved ones get "
            "new keys: renumber=True (--renumber)"
        )
        kept = "their batch was not written" if written else "nothing was written"
        super().__init__(
            f"{'; '.join(map(str, self.collisions))}. These rows are in the way in {to!r}; "
            f"{kept}. {remedy}."
        )


class MoveUnderWay(XdbrelError, RuntimeError):
    """Another process moves these rows. Attributes: ``model``, ``holder``, ``until``."""

    def __init__(self, model: str, holder: str, until: datetime.datetime | None) -> None:
        self.model = model
        self.holder = holder
        self.until = until
        when = f" from {until:%Y-%m-%d %H:%M:%S} on" if until else ""
        super().__init__(
            f"{model} is being moved by {holder}. Wait for it to end; if it died, its move can "
            f"be gone on with{when}."
        )


class MoveUnfinished(XdbrelError, RuntimeError):
    """Another move of these rows was begun, and is neither finished nor abandoned.

    Attributes: ``model`` (label), ``run`` (primary key), ``to`` (alias).
    """

    def __init__(self, model: str, run: int, using: str, to: str) -> None:
        self.model = model
        self.run = run
        self.to = to
        super().__init__(
            f"{model}: move {run} of other rows, or with other options, from {using!r} to {to!r} "
            f"is not finished. Go on with it (--resume), or take its copies back (--abandon)."
        )


class NoMove(XdbrelError, LookupError):
    """There is no unfinished move to go on with, or to abandon. Attribute: ``model``."""

    def __init__(self, model: str, using: str) -> None:
        self.model = model
        super().__init__(
            f"{model}: no unfinished move stands in database {using!r}. Name the database that "
            f"the rows come from (--from), or begin a new move."
        )


class NotVerified(XdbrelError):
    """Rows read back from the destination are not what was copied; the source is kept.

    Attributes: ``model`` (label), ``to`` (alias), ``keys``.
    """

    def __init__(self, model: str, to: str, keys: Iterable[Any], reason: str) -> None:
        self.model = model
        self.to = to
        self.keys = list(keys)
        super().__init__(
            f"{model}: {describe_keys(self.keys)} in database {to!r} {reason}; no row was "
            f"removed from the source. Make the columns there hold these values, take the "
            f"copies back (--abandon), and move again."
        )


class BothChanged(XdbrelError):
    """Rows were changed at both ends since they were copied; both are kept.

    Attributes: ``model`` (label), ``using`` and ``to`` (aliases), ``keys``.
    """

    def __init__(self, model: str, using: str, to: str, keys: Iterable[Any]) -> None:
        self.model = model
        self.using = using
        self.to = to
        self.keys = list(keys)
        super().__init__(
            f"{model}: {describe_keys(self.keys)} were changed in {using!r} and, otherwise, in "
            f"{to!r} since they were copied; both are kept. Make both rows the same, and run "
            f"the move again."
        )


class EndEmptied(XdbrelError):
    """One end has lost all of its rows since they were copied, which is taken for no wish.

    Attributes: ``model`` (label), ``using`` (the alias that is empty).
    """

    def __init__(self, model: str, using: str, other: str) -> None:
        self.model = model
        self.using = using
        super().__init__(
            f"{model}: its table in database {using!r} is empty, and rows of it were copied; "
            f"what is in {other!r} was left as it is. If they were deleted on purpose, delete "
            f"them in {other!r} as well and run the move again."
        )


class StillPointedAt(XdbrelError):
    """Rows that are to be removed have got new dependants that stay.

    Attributes: ``model`` (label), ``relation`` (``app.Model.field``), ``using`` (alias).
    """

    def __init__(self, model: str, relation: str, using: str) -> None:
        self.model = model
        self.relation = relation
        self.using = using
        super().__init__(
            f"{model}: rows in database {using!r} are still pointed at by {relation}, since the "
            f"move began; they are at both ends and were not removed. Let those rows go along, "
            f"or make the relation a CrossDBForeignKey, and run the move again."
        )


class StillWritten(XdbrelError):
    """The source is written faster than it can be emptied. Attributes: ``model``, ``using``."""

    def __init__(self, model: str, using: str) -> None:
        self.model = model
        self.using = using
        super().__init__(
            f"{model}: rows in database {using!r} are still being written, so that it was not "
            f"emptied; nothing is lost. Let the routers send writes to the other end first, "
            f"then run the move again."
        )


class WriteFailed(XdbrelError):
    """A database refused rows of a batch, which was not written there.

    Attributes: ``model`` (label), ``using`` (alias), ``is_integrity`` (whether a constraint
    was what refused).
    """

    def __init__(self, model: str, using: str, error: BaseException) -> None:
        self.model = model
        self.using = using
        self.is_integrity = isinstance(error, IntegrityError)
        super().__init__(
            f"{model}: database {using!r} refused rows of a batch, and none of them was written "
            f"({type(error).__name__}: {str(error).strip()}). Remove the cause, and run the move "
            f"again: it goes on where it was."
        )
