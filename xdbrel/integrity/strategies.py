"""The ways to find keys without a target, each a plain function, and their registry.

A strategy yields ``Batch`` after ``Batch``, in bounded memory. Every orphaned key is in
exactly one batch; what a batch holds are candidates, since source and target were not
read at one moment. ``scan`` looks again, and records. Which strategy is right for a
relation is for ``planner``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from xdbrel.integrity import sources, targets
from xdbrel.integrity.ends import End, decode, ordered_alike

#: A gap of at most so many keys is probed key by key, a wider one as a range.
NARROW = 32

#: Most wide gaps of one window that are worth probing.
WIDE_GAPS = 500

#: After a page of sources that was too sparse among the targets, so many more are not tried.
SPARSE_PAGES = 16


@dataclass(frozen=True)
class Batch:
    """A step of a scan: how many keys were looked at, and the sources of those not found."""

    seen: int
    found: Mapping[Any, int] = field(default_factory=dict)


Strategy = Callable[[End, End], Iterator[Batch]]


def gaps(source: End, target: End) -> Iterator[Batch]:
    """Find the target's missing ranges and probe the source's index in just these.

    For integer keys. The cost goes with the target's rows and its gaps, not with the
    source's rows. Where the target has too many gaps the keys are compared instead,
    for as long as that lasts. After the gaps-and-islands queries of the SQL literature.
    """
    single: list[int] = []
    wide: list[sources.Range] = []
    size = source.chunk_size()
    for window in targets.windows(target):
        if window.gaps is None:
            yield from _compare(source, target, window.after, window.upto)
            continue
        narrow, broad = _parted(window.gaps)
        if len(broad) > WIDE_GAPS or sum(map(len, narrow)) > targets.WINDOW:
            yield from _compare(source, target, window.after, window.upto)
            continue
        yield Batch(window.rows)
        wide += broad
        for missing in narrow:
            single.extend(missing)
        while len(single) >= size:
            yield Batch(0, sources.count(source, single[:size]))
            del single[:size]
        if len(wide) >= sources.RANGES:
            yield from (Batch(0, found) for found in sources.count_between(source, wide))
            wide.clear()
    if single:
        yield Batch(0, sources.count(source, single))
    yield from (Batch(0, found) for found in sources.count_between(source, wide))


def merge(source: End, target: End) -> Iterator[Batch]:
    """Compare the source's distinct keys with the target's, page by page in key order.

    For keys of any type. Where both databases order the keys alike, a page is compared
    with the range of target keys that it spans; where they do not, or the target has many
    more keys in that range than the page, the page's keys are looked up at the target.
    """
    yield from _compare(source, target)


def _compare(source: End, target: End, after: Any = None, upto: Any = None) -> Iterator[Batch]:
    size = source.chunk_size()
    pending: list[Any] = []
    for seen, absent in _absent(source, target, after, upto):
        yield Batch(seen)
        pending += absent
        while len(pending) >= size:
            yield Batch(0, sources.count(source, pending[:size]))
            del pending[:size]
    if pending:
        yield Batch(0, sources.count(source, pending))


def _absent(
    source: End, target: End, after: Any, upto: Any
) -> Iterator[tuple[int, Iterable[Any]]]:
    """Yield the number of keys in each page of the source's, and those the target lacks."""
    if not ordered_alike(source, target):
        for keys in sources.pages(source, after, upto):
            yield len(keys), targets.missing(target, keys)
        return
    packed = source.vendor == target.vendor == "postgresql"
    sparse = 0
    for page in sources.fetched_pages(source, after, upto, packed=packed):
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
        yield len(page.keys), absent


def _parted(
    gaps: Iterable[tuple[int | None, int | None]],
) -> tuple[list[range], list[sources.Range]]:
    """Return the keys of the narrow gaps, and the wide gaps as ranges."""
    narrow: list[range] = []
    wide: list[sources.Range] = []
    for low, high in gaps:
        if low is None or high is None or high - low > NARROW + 1:
            wide.append((low, high))
        else:
            narrow.append(range(low + 1, high))
    return narrow, wide


#: The strategies by the names that commands and runs give them.
STRATEGIES: Mapping[str, Strategy] = MappingProxyType({"gaps": gaps, "merge": merge})
