"""Large sets of keys on their way from one PostgreSQL to another.

Owns the forms in which they travel: hundreds of thousands of keys that are fetched, made
Python objects and spelled again take longer than both databases need for them.

* As a *bitmap*, where they are integers and lie close together: the home puts 64 of them into
  a word, and the other side looks for a row's bit, with nothing to plan, to sort or to hash.
* As an *array* otherwise, one text that is passed on unread.

Both are sequences of the keys, for who needs these after all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models

from xdbrel import keys
from xdbrel.query import statistics

#: The bits of a word of a bitmap.
WORD = 64

_ARRAY = (
    "SELECT count(*), count(col1), "
    "coalesce(array_agg(col1) FILTER (WHERE col1 IS NOT NULL), '{{}}')::text FROM ({}) keys"
)
_BITMAP = (
    "SELECT sum(number)::bigint, "
    "coalesce(array_agg(word) FILTER (WHERE word IS NOT NULL), '{{}}')::text, "
    "coalesce(array_agg(bits) FILTER (WHERE word IS NOT NULL), '{{}}')::text FROM "
    "(SELECT col1::bigint >> 6 AS word, bit_or(1::bigint << (col1 & 63)::int) AS bits, "
    "count(*) AS number FROM ({}) keys GROUP BY 1) words"
)


def can_carry(field: models.Field[Any, Any], home: str, to: str) -> bool:
    """Tell whether keys of ``field`` can go from ``home`` to ``to`` in one of these forms."""
    return connections[home].vendor == connections[to].vendor == "postgresql" and (
        keys.array_type(keys.key_field(field)) in ("bigint[]", "uuid[]")
    )


def read(query: Any, using: str, limit: int) -> keys.KeySet | None:
    """Return the values of the query's one column; ``None`` if there are over ``limit``.

    The query is run as it is: all that it names lives at ``using``.
    """
    query.set_limits(high=limit + 1)
    field = query.select[0].target
    integers = keys.is_plain_integer(keys.key_field(field))
    as_bits = integers and statistics.is_dense(field, using)
    try:
        sql, params = query.get_compiler(using=using).as_sql(with_col_aliases=True)
    except EmptyResultSet:
        return KeyArray("{}", 0, field)
    with connections[using].cursor() as cursor:
        # Django names the one column inside col1.
        cursor.execute((_BITMAP if as_bits else _ARRAY).format(sql), params)
        rows, first, second = cursor.fetchone()
    # NULL counts as well: what lies behind the limit is not known.
    if rows is None:
        return KeyArray("{}", 0, field)
    if rows > limit:
        return None
    if as_bits:
        return KeyBitmap(
            dict(zip(map(int, _spelled(first)), map(int, _spelled(second)), strict=True))
        )
    return KeyArray(second, first, field)


class KeyArray(keys.KeySet):
    """Keys as PostgreSQL spells an array of them: ``text``, ``length`` of them."""

    def __init__(self, text: str, length: int, field: models.Field[Any, Any]) -> None:
        self.text = text
        self._length = length
        self._field = keys.key_field(field)

    def test(
        self, column: str, field: models.Field[Any, Any], connection: Any
    ) -> tuple[str, list[Any]] | None:
        array = keys.array_type(self._field)
        if connection.vendor != "postgresql" or keys.array_type(field) != array:
            return None
        return f"{column} = ANY(%s::{array})", [self.text]

    @cached_property
    def _keys(self) -> list[Any]:
        return [self._field.to_python(key) for key in _spelled(self.text)]

    def __len__(self) -> int:
        return self._length


class KeyBitmap(keys.KeySet):
    """Integers as bits: ``words`` by their number, where word 0 begins with key 0."""

    def __init__(self, words: dict[int, int]) -> None:
        self.words = words
        #: Whether the other side's rows are so many that an index shall be used for the keys.
        self.listed = False

    def test(
        self, column: str, field: models.Field[Any, Any], connection: Any
    ) -> tuple[str, list[Any]] | None:
        if self.listed or connection.vendor != "postgresql" or not keys.is_plain_integer(field):
            return None
        first, last = min(self.words) * WORD, max(self.words) * WORD + WORD - 1
        # What is asked of a bit outside fails, and only CASE keeps an order.
        return (
            f"CASE WHEN {column} IS NULL THEN NULL WHEN {column} BETWEEN {first} AND {last} "
            f"THEN get_bit(%s::bytea, {column}::bigint - {first}) = 1 ELSE FALSE END",
            [f"\\x{self._bits.hex()}"],
        )

    @property
    def _bits(self) -> bytes:
        size, first = WORD // 8, min(self.words)
        bits = bytearray((max(self.words) - first + 1) * size)
        for number, word in self.words.items():
            start = (number - first) * size
            bits[start : start + size] = (word % 2**WORD).to_bytes(size, "little")
        return bytes(bits)

    @cached_property
    def _keys(self) -> list[int]:
        found = []
        for number, word in sorted(self.words.items()):
            left = word % 2**WORD
            while left:
                lowest = left & -left
                found.append(number * WORD + lowest.bit_length() - 1)
                left ^= lowest
        return found

    @cached_property
    def _length(self) -> int:
        return sum((word % 2**WORD).bit_count() for word in self.words.values())

    def __len__(self) -> int:
        return self._length


def _spelled(text: str) -> Sequence[str]:
    """Return the elements of an array that PostgreSQL spelled, none of which is quoted."""
    return text[1:-1].split(",") if len(text) > 2 else ()
