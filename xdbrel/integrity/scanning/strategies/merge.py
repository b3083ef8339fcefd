"""Distinct and merge: the source's distinct keys against the target's, page by page.

For keys that both databases put in one order.
"""

from __future__ import annotations

from collections.abc import Generator

from xdbrel.integrity.reading import sources, targets, tuples
from xdbrel.integrity.reading.ends import End, decode
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning.strategies.absent import counted
from xdbrel.integrity.scanning.strategies.batch import Batch

#: After a page of sources that was too sparse among the targets, so many more are pushed.
SPARSE_PAGES = 16


def merge(
    source: End, target: End, within: KeyRange, readers: int = 1
) -> Generator[Batch, None, None]:
    """Compare each page of the source's keys with the target's in its range.

    Where the target has many more keys in that range than the page, the page's keys are
    looked up at the target instead.
    """
    if source.is_composite:
        yield from _merged_tuples(source, target, within)
        return
    packed = source.vendor == target.vendor == "postgresql"
    sparse = 0
    for page in sources.fetched_pages(source, within, packed=packed):
        there = None
        if sparse:
            sparse -= 1
        else:
            limit = 2 * sources.PAGE
            there = targets.present(target, page.first, page.last, limit, packed=packed)
            if there is None:
                sparse = SPARSE_PAGES
        if there is None:
            absent = targets.missing(target, decode(source, page.keys))
        else:
            absent = decode(source, set(page.keys).difference(there))
        (upto,) = decode(source, [page.last])
        yield Batch(len(page.keys), counted(source, absent), upto)


def _merged_tuples(source: End, target: End, within: KeyRange) -> Generator[Batch, None, None]:
    """Compare pages of tuples. What differs is looked up where texts are compared otherwise."""
    has_texts = any(part.is_text for part in target.parts)
    for page, upto in tuples.pages(source, within, by_bytes=True):
        there = tuples.present(target, page[0], upto, 2 * sources.PAGE)
        absent = page if there is None else [key for key in page if key not in there]
        if there is None or has_texts:
            absent = targets.missing(target, absent) if absent else []
        yield Batch(len(page), counted(source, absent), upto)
