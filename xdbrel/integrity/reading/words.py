"""Integer keys as bits: 64 neighbouring keys are one word, which the database puts together.

For dense keys this is by far the shortest way to say which are there: the database reads
its index once and hands out a sixty-fourth of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections

from xdbrel.integrity.reading.ends import KEY, End
from xdbrel.integrity.reading.ranges import KeyRange

#: Keys in a word, and a word that has them all.
BITS = 64
FULL = (1 << BITS) - 1

# Shifting right rounds down, below zero as well; in MySQL and MariaDB it would make a negative
# number a large one, so that the window's own first word is taken off before.
_SQL = {
    "postgresql": (
        "SELECT k::bigint >> 6, bit_or(1::bigint << (k::bigint & 63)::integer) "
        "FROM ({keys}) AS s(k) GROUP BY 1"
    ),
    "mysql": (
        "SELECT CAST((s.{key} - {first}) >> 6 AS SIGNED) + {word} AS w, "
        "BIT_OR(1 << (s.{key} & 63)) FROM ({keys}) AS s GROUP BY w ORDER BY NULL"
    ),
    # The bits' sum is their union as long as each key comes once.
    "sqlite": "SELECT s.{key} >> 6, SUM(1 << (s.{key} & 63)) FROM ({keys}) AS s GROUP BY 1",
}


@dataclass(frozen=True)
class Words:
    """The keys in ``[base, last]``: the number of each word that has any, and its bits.

    Word 0 begins with key 0, whatever ``base`` is.
    """

    base: int
    last: int
    bits: Mapping[int, int]

    def __len__(self) -> int:
        return sum(map(int.bit_count, self.bits.values()))

    def top(self) -> int:
        """Return the highest key, or what is below ``base`` where there is none."""
        if not self.bits:
            return self.base - 1
        number = max(self.bits)
        return number * BITS + self.bits[number].bit_length() - 1

    def keys(self) -> list[int]:
        """Return the keys, in order."""
        found: list[int] = []
        for number in sorted(self.bits):
            found.extend(_spelled(number * BITS, self.bits[number]))
        return found

    def without(self, other: Words) -> Words:
        """Return the keys that ``other``, of the same range, has not."""
        there = other.bits.get
        left = {number: bits & ~there(number, 0) for number, bits in self.bits.items()}
        return Words(self.base, self.last, {number: bits for number, bits in left.items() if bits})

    def gaps(self) -> Iterator[KeyRange]:
        """Yield the ranges of missing keys, in order, apart from each other."""
        after = upto = self.base - 1
        begins, ends = self.base // BITS, self.last // BITS
        there = self.bits.get
        for number in range(begins, ends + 1):
            missing = FULL & ~there(number, 0)
            first = number * BITS
            if number == begins:
                missing &= FULL << (self.base - first)
            while missing:
                start = (missing & -missing).bit_length() - 1
                rest = missing >> start
                length = (rest ^ (rest + 1)).bit_length() - 1
                missing &= ~(((1 << length) - 1) << start)
                if first + start != upto + 1:
                    if upto > after:
                        yield KeyRange(after, upto)
                    after = first + start - 1
                upto = first + start + length - 1
        upto = min(upto, self.last)
        if upto > after:
            yield KeyRange(after, upto)


def read(end: End, base: int, last: int, *, distinct: bool) -> Words:
    """Return the keys of ``end`` in ``[base, last]``, some hundred thousand at most.

    ``distinct`` tells that many rows may hold one key: they are then brought down to one
    first, which is faster, and in SQLite necessary.
    """
    asked = statement(end, base, last, distinct=distinct)
    if asked is None:
        return Words(base, last, {})
    with connections[end.using].cursor() as cursor:
        cursor.execute(*asked)
        return of_rows(base, last, cursor.fetchall())


def statement(
    end: End, base: int, last: int, *, distinct: bool
) -> tuple[str, Sequence[Any]] | None:
    """Return the statement that ``read`` runs, and its parameters; None where no row can match."""
    rows = end.only_keys(end.rows(end.between(since=base, upto=last)))
    if distinct:
        rows = rows.distinct()
    try:
        sql, params = rows.query.get_compiler(using=end.using).as_sql()
    except EmptyResultSet:
        return None
    connection = connections[end.using]
    word = base // BITS
    return _SQL[connection.vendor].format(
        first=f"({word * BITS})",
        word=f"({word})",
        keys=sql,
        key=connection.ops.quote_name(KEY),
    ), params


def of_rows(base: int, last: int, rows: Iterable[tuple[int, int]]) -> Words:
    """Return what the rows that such a statement gave tell of ``[base, last]``."""
    # Some databases hand out words as signed numbers.
    return Words(base, last, {number: int(bits) & FULL for number, bits in rows})


def _spelled(first: int, bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield first + lowest.bit_length() - 1
        bits ^= lowest
