"""Several connections that look into the sources' index at once.

Keys that lie apart are on pages apart. Where an index is larger than what the database
keeps in memory, one connection waits for the disk page after page, most of the time;
several wait at once, and the target's database works meanwhile. What is asked is for
``sources``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from types import TracebackType
from typing import Self

from django.db import DatabaseError, InterfaceError, connections

from xdbrel import keys
from xdbrel.integrity.reading import beside, sources
from xdbrel.integrity.reading.ends import End

#: How many keys a connection looks up in one statement, beside others: a few dozen
#: milliseconds of reading from a disk.
PART = 250

#: What waits for a disk. PostgreSQL's and SQLite's pages are in the system's cache as well.
_WAITING = frozenset({"mysql"})


@dataclass(frozen=True)
class Counting:
    """The sources of some keys, being counted part by part, or still to be counted here."""

    readers: Readers
    parts: Sequence[list[int]]
    begun: Sequence[beside.Rows] = ()

    def is_done(self) -> bool:
        """Tell whether the result is there, or nobody else works at it."""
        return all(future.done() for future in self.begun)

    def result(self) -> dict[int, int]:
        """Return how many sources hold each key, as ``sources.count`` does."""
        found: dict[int, int] = {}
        for part, future in zip_longest(self.parts, self.begun):
            found.update(self.readers.finished(part, future))
        return found


class Readers:
    """Counts the sources of integer keys, by up to ``number`` connections at once.

    They are made when there is work for several, and closed when the block ends. Inside a
    transaction, which other connections do not see, and for databases that gain nothing by
    it the scan's own connection does it all.
    """

    def __init__(self, source: End, number: int) -> None:
        self.source = source
        if connections[source.using].vendor not in _WAITING or not beside.has_others(source):
            number = 1
        self.number = max(1, number)
        self._beside: beside.Beside | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._beside is not None:
            self._beside.close()
            self._beside = None

    def enough(self) -> int:
        """Return of how many keys all connections have something to do."""
        return self.source.chunk_size() if self.number == 1 else PART * self.number

    def count(self, wanted: Sequence[int]) -> Counting:
        """Begin to count the sources that hold these keys."""
        if self.number == 1 or len(wanted) <= PART:
            return Counting(self, [list(wanted)])
        parts = list(keys.chunks(wanted, PART))
        if self._beside is None:
            self._beside = beside.Beside(self.source, self.number)
        begun = [self._beside.read(*sources.counting(self.source, part)) for part in parts]
        return Counting(self, parts, begun)

    def finished(self, part: Sequence[int], future: beside.Rows | None) -> dict[int, int]:
        """Return a part's numbers, counted by somebody else or else by the scan itself."""
        if future is not None:
            try:
                return dict(future.result())
            except (DatabaseError, InterfaceError) as error:
                # The server may have no connection left to give. The scan has one: where
                # that fails as well, its error counts.
                if self.number > 1:
                    self.number = 1
                    beside.told_alone(self.source, error)
        return sources.count(self.source, part)
