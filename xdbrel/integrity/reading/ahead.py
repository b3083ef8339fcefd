"""The targets' words, those of the next window read while the last one's are looked at.

Where a database puts words together it is busy, and the scan waits; what the scan then does
with them, at the sources and in its own process, leaves the targets' database idle. By another
connection both go on at once.
"""

from __future__ import annotations

from django.db import DatabaseError, InterfaceError, connections

from xdbrel.integrity.reading import words
from xdbrel.integrity.reading.beside import Beside, Rows
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.words import Words

#: What works in processes of its own.
_SERVERS = frozenset({"postgresql", "mysql"})


class Ahead:
    """Reads the words of one end, window after window, the next one by a connection beside."""

    def __init__(self, end: End, beside: Beside) -> None:
        self.end = end
        self._beside = beside
        self._is_server = connections[end.using].vendor in _SERVERS
        #: Elsewhere, words do not mind that many rows hold one key.
        self._distinct = not (self._is_server or end.column.unique)
        #: The window that is being read beside, if one is.
        self._begun: tuple[int, int, Rows] | None = None
        #: Where the window that was read last ended.
        self._last: int | None = None

    def read(self, base: int, last: int, upto: int) -> Words:
        """Return the keys in ``[base, last]``, and begin with as many after them, to ``upto``.

        Nothing is begun before a second window follows the first: most tables are small.
        """
        begun, self._begun = self._begun, None
        follows, self._last = self._last == base - 1, last
        if follows and last < upto:
            self._begin(last + 1, min(last + 1 + last - base, upto))
        if begun is not None and begun[:2] == (base, last):
            try:
                return words.of_rows(base, last, begun[2].result())
            except (DatabaseError, InterfaceError) as error:
                # Where the scan's own connection fails as well, its error counts.
                self._beside.give_up(error)
                self._begun = None
        return words.read(self.end, base, last, distinct=self._distinct)

    def _begin(self, base: int, last: int) -> None:
        if self._is_server and self._beside.number:
            statement = words.statement(self.end, base, last, distinct=self._distinct)
            if statement is not None:
                self._begun = (base, last, self._beside.read(*statement))
