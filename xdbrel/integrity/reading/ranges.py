"""Ranges of keys: what a part of a scan covers, and where it stands.

Owns what a range is and how a scan's whole is split into several. The order is that of
the source's database: its collation, its order of UUIDs.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

from django.db.models import Max, Min

from xdbrel import keys
from xdbrel.integrity.exceptions import CannotSample
from xdbrel.integrity.reading import draws
from xdbrel.integrity.reading.ends import KEY, End, sorts_as_python

#: Random rows for each range that a whole is split into: the ranges' shares of the rows are
#: then right to some tenths.
DRAWN = 100

#: Most random rows altogether.
MOST_DRAWN = 5_000

#: Where there are fewer rows than one for so many numbers, rows cannot be drawn by number.
THIN = 10

#: Strategies that walk through the target's keys; others walk through the source's.
_BY_TARGETS = frozenset({"gaps"})


@dataclass(frozen=True)
class KeyRange:
    """The keys in ``(after, upto]``; None is no bound."""

    after: Any = None
    upto: Any = None


def split(source: End, target: End, parts: int, *, strategy: str) -> list[KeyRange]:
    """Return ranges that cover every key once, at most ``parts`` of them, alike in work.

    They go by how many rows there are where, in random rows of the end that the strategy
    walks through, and not by the arithmetic of keys: these may be anything but even. Where no
    rows can be drawn, or each range would read the whole table, there is one range.
    """
    if parts < 2 or not _leads_to_ranges(source, strategy):
        return [KeyRange()]
    walked = target if strategy in _BY_TARGETS else source
    if _leads_astray(walked):
        bounds = _by_steps(walked, parts)
    else:
        try:
            size = min(DRAWN * parts, MOST_DRAWN)
            drawn, _ = draws.draw(walked, size, random.Random())  # noqa: S311
        except CannotSample:
            return [KeyRange()]
        bounds = _by_rows(walked, Counter(filter(keys.is_whole, drawn)), parts)
    return [KeyRange(after, upto) for after, upto in pairwise([None, *bounds, None])]


def _leads_to_ranges(source: End, strategy: str) -> bool:
    """Tell whether an index leads to a range of the source's keys.

    Of several columns, by the first. A merge sorts texts by their bytes, as no index does.
    """
    if not source.is_composite:
        return source.column.indexed
    first = source.parts[0]
    return first.column.indexed and not (first.is_text and strategy == "merge")


def _by_rows(walked: End, held: Counter[Any], parts: int) -> list[Any]:
    """Return the keys between the parts of the rows drawn; a key is never parted."""
    if walked.is_composite:
        held = _one_of_each(walked, held)
    total = held.total()
    bounds: list[Any] = []
    # Whole numbers: a mark that is reached exactly must not be found to lie ahead.
    gone, part = 0, 1
    for key in _in_order(walked, list(held))[:-1]:
        gone += held[key]
        if gone * parts >= part * total:
            bounds.append(key)
            part = gone * parts // total + 1
    return bounds


def _leads_astray(walked: End) -> bool:
    """Tell whether random rows would be those behind the widest gaps of these very keys.

    Rows are drawn by their primary keys but on PostgreSQL. Where most numbers are no row's,
    those drawn say nothing of where the others are.
    """
    if walked.vendor == "postgresql" or not walked.is_integer or not walked.field.primary_key:
        return False
    extremes = walked.only_keys(walked.rows()).aggregate(low=Min(KEY), high=Max(KEY))
    if extremes["low"] is None:
        return False
    rows = walked.column.rows if walked.vendor == "mysql" else walked.rows().count()
    span = extremes["high"] - extremes["low"] + 1
    return rows is not None and rows * THIN < span


def _by_steps(walked: End, parts: int) -> list[Any]:
    """Return the keys between the parts, found by walking through the index."""
    step = max(1, walked.rows().count() // parts)
    bounds: list[Any] = []
    for _ in range(parts - 1):
        rest = walked.rows(walked.between(bounds[-1] if bounds else None))
        found = walked.only_keys(rows=rest).order_by(KEY)[step - 1 : step].first()
        if found is None:
            break
        bounds.append(found)
    return bounds


def _one_of_each(end: End, held: Counter[Any]) -> Counter[Any]:
    """Return one for all keys of several columns that are apart in none whose order is known.

    That is the first, and those behind it as far as Python sorts them as the database does.
    """
    known = 1 + len(list(takewhile(sorts_as_python, end.parts[1:])))
    together: dict[Any, Any] = {}
    counted: Counter[Any] = Counter()
    for key, rows in held.items():
        counted[together.setdefault(key[:known], key)] += rows
    return counted


def _in_order(end: End, drawn: Sequence[Any]) -> list[Any]:
    """Return different keys as the end's database orders them; those gone since are left out."""
    if end.is_composite:
        firsts = _in_order(end.parts[0], list({key[0] for key in drawn}))
        places = {first: place for place, first in enumerate(firsts)}
        known = [key for key in drawn if key[0] in places]
        return sorted(known, key=lambda key: (places[key[0]], *key[1:]))
    if sorts_as_python(end):
        return sorted(drawn)
    found: list[Any] = []
    wanted = set(drawn)
    chunk = list(drawn)[: end.chunk_size()]
    rows = end.only_keys(end.rows().filter(end.holds(chunk)))
    for key in rows.distinct().order_by(KEY):
        if key in wanted:
            found.append(key)
    return found
