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

from django.db import DatabaseError, InterfaceError, connections

from xdbrel import keys
from xdbrel.integrity.reading import sources
from xdbrel.integrity.reading.beside import Beside, Rows
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
    begun: Sequence[Rows] = ()

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
    """Counts the sources of integer keys, by connections beside the scan's own.

    Where there are none, and for databases that gain nothing by them, that does it all.
    """

    def __init__(self, source: End, beside: Beside) -> None:
        self.source = source
        self._beside = beside
        self._waits = connections[source.using].vendor in _WAITING

    @property
    def number(self) -> int:
        """How many connections look up keys at once, the scan's own where that is alone."""
        return max(1, self._beside.number) if self._waits else 1

    def enough(self) -> int:
        """Return of how many keys all connections have something to do."""
        return self.source.chunk_size() if self.number == 1 else PART * self.number

    def count(self, wanted: Sequence[int]) -> Counting:
        """Begin to count the sources that hold these keys."""
        if self.number == 1 or len(wanted) <= PART:
            return Counting(self, [list(wanted)])
        parts = list(keys.chunks(wanted, PART))
        begun = [self._beside.read(*sources.counting(self.source, part)) for part in parts]
        return Counting(self, parts, begun)

    def finished(self, part: Sequence[int], future: Rows | None) -> dict[int, int]:
        """Return a part's numbers, counted by somebody else or else by the scan itself."""
        if future is not None:
            try:
                return dict(future.result())
            except (DatabaseError, InterfaceError) as error:
                # Where the scan's own connection fails as well, its error counts.
                self._beside.give_up(error)
        return sources.count(self.source, part)
