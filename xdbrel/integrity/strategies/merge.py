"""Distinct and merge: the source's distinct keys against the target's, page by page.

For keys of any type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xdbrel import keys
from xdbrel.integrity import sources, targets
from xdbrel.integrity.ends import End, decode, ordered_alike
from xdbrel.integrity.ranges import KeyRange
from xdbrel.integrity.strategies.batch import Batch

#: After a page of sources that was too sparse among the targets, so many more are not tried.
SPARSE_PAGES = 16


def merge(source: End, target: End, within: KeyRange) -> Iterator[Batch]:
    """Compare the source's distinct keys with the target's, in key order.

    Where both databases order the keys alike, a page is compared with the range of target
    keys that it spans; where they do not, or the target has many more keys in that range
    than the page, the page's keys are looked up at the target.
    """
    size = source.chunk_size()
    for page in _compared(source, target, within):
        yield Batch(page.seen)
        for chunk in keys.chunks(page.absent, size):
            yield Batch(0, sources.count(source, chunk))
        yield Batch(0, upto=page.upto)


@dataclass(frozen=True)
class _Compared:
    """How many keys a page of sources had, those that the target lacks, and its end."""

    seen: int
    absent: list[Any]
    upto: Any


def _compared(source: End, target: End, within: KeyRange) -> Iterator[_Compared]:
    if not ordered_alike(source, target):
        for page, upto in sources.pages(source, within):
            yield _Compared(len(page), targets.missing(target, page), upto)
        return
    packed = source.vendor == target.vendor == "postgresql"
    sparse = 0
    for fetched in sources.fetched_pages(source, within, packed=packed):
        there = None
        if sparse:
            sparse -= 1
        else:
            limit = 2 * sources.PAGE
            there = targets.present(target, fetched.first, fetched.last, limit, packed=packed)
            if there is None:
                sparse = SPARSE_PAGES
        if there is None:
            absent = targets.missing(target, decode(source, fetched.keys))
        else:
            absent = decode(source, set(fetched.keys).difference(there))
        (upto,) = decode(source, [fetched.last])
        yield _Compared(len(fetched.keys), absent, upto)
