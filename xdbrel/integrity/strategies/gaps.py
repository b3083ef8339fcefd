"""Gaps: the target's missing ranges, probed in the source's index.

For integer keys. The cost goes with the target's rows and its gaps, not with the
source's rows. After the gaps-and-islands queries of the SQL literature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from xdbrel.integrity import sources, targets
from xdbrel.integrity.ends import End
from xdbrel.integrity.ranges import KeyRange
from xdbrel.integrity.strategies.batch import Batch
from xdbrel.integrity.strategies.merge import merge

#: A gap of at most so many keys is probed key by key, a wider one as a range.
NARROW = 32

#: Most wide gaps of one window that are worth probing.
WIDE_GAPS = 500

#: Gaps are gathered over at most so many windows before they are probed.
GATHERED = 16


def gaps(source: End, target: End, within: KeyRange) -> Iterator[Batch]:
    """Find the target's missing ranges and probe the source's index in just these.

    Where the target has too many gaps the keys are compared instead, for as long as that
    lasts.
    """
    gathered = _Gathered(source)
    for window in targets.windows(target, within):
        parted = None if window.gaps is None else _parted(window.gaps)
        if parted is None or not _worth_probing(*parted):
            yield from gathered.probe()
            yield from merge(source, target, window.within)
            continue
        yield Batch(window.rows)
        gathered.add(*parted, upto=window.within.upto)
        if gathered.enough():
            yield from gathered.probe()
    yield from gathered.probe()


class _Gathered:
    """The gaps of several windows, that one statement looks into many."""

    def __init__(self, source: End) -> None:
        self.source = source
        self.size = source.chunk_size()
        self.single: list[int] = []
        self.wide: list[KeyRange] = []
        self.windows = 0
        self.upto: Any = None

    def add(self, narrow: Iterable[range], wide: Iterable[KeyRange], *, upto: Any) -> None:
        for keys in narrow:
            self.single.extend(keys)
        self.wide.extend(wide)
        self.windows += 1
        self.upto = upto

    def enough(self) -> bool:
        return (
            len(self.single) >= self.size
            or len(self.wide) >= sources.RANGES
            or self.windows >= GATHERED
        )

    def probe(self) -> Iterator[Batch]:
        for found in sources.count_between(self.source, self.wide):
            yield Batch(0, found)
        for start in range(0, len(self.single), self.size):
            yield Batch(0, sources.count(self.source, self.single[start : start + self.size]))
        if self.windows:
            yield Batch(0, upto=self.upto)
        self.single.clear()
        self.wide.clear()
        self.windows = 0


def _worth_probing(narrow: list[range], wide: list[KeyRange]) -> bool:
    return len(wide) <= WIDE_GAPS and sum(map(len, narrow)) <= targets.WINDOW


def _parted(gaps: Iterable[KeyRange]) -> tuple[list[range], list[KeyRange]]:
    """Return the keys of the narrow gaps, and the wide gaps as ranges."""
    narrow: list[range] = []
    wide: list[KeyRange] = []
    for gap in gaps:
        if gap.after is None or gap.upto is None or gap.upto - gap.after > NARROW:
            wide.append(gap)
        else:
            narrow.append(range(gap.after + 1, gap.upto + 1))
    return narrow, wide
