"""One application cut into steps: transactions of bounded size and time.

A step ends where it is safe: what has been deleted is deleted with all that hung on it,
and whoever must follow in another database has an intent in the same transaction. What is
not done when the time is over, or the process dies, is found again by the target's keys.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from xdbrel.cascade.capture import Capture, Planned, capturing
from xdbrel.cascade.savepoint import savepoint
from xdbrel.conf import settings


class Unfinished(Exception):
    """The time was over, or the lease lost, before all the sources had followed.

    ``rows`` is how many were deleted until then.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        super().__init__(rows)


@dataclass(frozen=True)
class Pace:
    """How one application is cut: at most ``rows`` sources in a step.

    ``until`` is the time of ``time.monotonic()`` after which no further step begins.
    ``keep`` is called between steps and answers whether this process may go on.
    """

    rows: int
    until: float = float("inf")
    keep: Callable[[], bool] = lambda: True

    @classmethod
    def after(cls, failures: int, **options: Any) -> Pace:
        """Return the pace after so many failures: each makes the steps smaller.

        A step that is too much for a database would be too much every time.
        """
        return cls(max(1, settings.RELAY_BATCH_ROWS >> 2 * failures), **options)


class Steps:
    """The open transaction of an application, and what has been done so far.

    A context manager. Without a ``pace`` everything is one step (a savepoint where a
    transaction is open already). ``hand_on`` is given, at the end of each step, the keys
    of sources that it has deleted, by relations from yet other databases. ``further`` tells
    that there may be such relations.
    """

    def __init__(
        self,
        using: str,
        pace: Pace | None,
        hand_on: Callable[[Planned, Capture], None],
        *,
        further: bool,
    ) -> None:
        self.using = using
        self.pace = pace
        self.counts: Counter[str] = Counter()
        #: Rows that have followed, those that were only given another key included.
        self.rows = 0
        self._in_this_step = 0
        self._hand_on = hand_on
        self._may_go_further = further
        self._further: Planned = {}
        self._open: ExitStack | None = None

    @property
    def most(self) -> int | None:
        """Most rows in one statement; None where there is no bound."""
        return self.pace.rows if self.pace else None

    def note(self, relation: Any, alias: str, going: list[Any]) -> None:
        """Remember keys of sources that this step deletes, for a relation that crosses."""
        self._further.setdefault((relation, alias), []).extend(going)

    def took(self, rows: int, label: str = "") -> None:
        """Count rows that have followed: deleted ones by their model's ``label``."""
        if label:
            self.counts[label] += rows
        self.rows += rows
        self._in_this_step += rows

    def rest(self) -> None:
        """End the step here if it is large enough; begin the next one.

        Raises ``Unfinished`` between two steps.
        """
        pace = self.pace
        if pace is None:
            return
        if self._in_this_step >= pace.rows or (
            self._in_this_step and time.monotonic() >= pace.until
        ):
            self._end()
            if time.monotonic() >= pace.until or not pace.keep():
                raise Unfinished(sum(self.counts.values()))
            self._begin()

    def __enter__(self) -> Steps:
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._end()
        elif self._open is not None:
            self._open.__exit__(kind, error, trace)

    def _begin(self) -> None:
        self._in_this_step = 0
        with ExitStack() as stack:
            stack.enter_context(savepoint(self.using))
            self._capture = stack.enter_context(
                capturing(self.using, deleting=self._may_go_further)
            )
            # What is left open here is closed by the end of the step.
            self._open = stack.pop_all()

    def _end(self) -> None:
        further, self._further = self._further, {}
        opened, self._open = self._open, None
        with opened or ExitStack():
            if further:
                self._hand_on(further, self._capture)
