"""The targets' words, those of the next window read while the last one's are looked at.

Where a database puts words together it is busy, and the scan waits; what the scan then does
with them, at the sources and in its own process, leaves the targets' database idle. By another
connection both go on at once.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from django.db import DatabaseError, InterfaceError, connections

from xdbrel.integrity.reading import beside, words
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.words import Words

#: What works in processes of its own.
_SERVERS = frozenset({"postgresql", "mysql"})


class Ahead:
    """Reads the words of one end, window after window, with ``readers`` connections at most.

    ``distinct`` is as for ``words.read``. Used as a context manager.
    """

    def __init__(self, end: End, readers: int, *, distinct: bool = False) -> None:
        self.end = end
        self.distinct = distinct
        self._may = (
            readers > 1 and connections[end.using].vendor in _SERVERS and beside.has_others(end)
        )
        self._beside: beside.Beside | None = None
        #: The window that is being read beside, if one is.
        self._begun: tuple[int, int, beside.Rows] | None = None
        #: Where the window that was read last ended.
        self._last: int | None = None

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

    def read(self, base: int, last: int, upto: int) -> Words:
        """Return the keys in ``[base, last]``, and begin with as many after them, to ``upto``.

        Nothing is begun before a second window follows the first: most tables are small.
        """
        begun, self._begun = self._begun, None
        follows, self._last = self._last == base - 1, last
        if self._may and follows and last < upto:
            self._begin(last + 1, min(last + 1 + last - base, upto))
        if begun is not None and begun[:2] == (base, last):
            try:
                return words.of_rows(base, last, begun[2].result())
            except (DatabaseError, InterfaceError) as error:
                # The server may have no connection left to give. The scan has one: where
                # that fails as well, its error counts.
                self._may, self._begun = False, None
                beside.told_alone(self.end, error)
        return words.read(self.end, base, last, distinct=self.distinct)

    def _begin(self, base: int, last: int) -> None:
        statement = words.statement(self.end, base, last, distinct=self.distinct)
        if statement is None:
            return
        if self._beside is None:
            self._beside = beside.Beside(self.end, 1)
        self._begun = (base, last, self._beside.read(*statement))
