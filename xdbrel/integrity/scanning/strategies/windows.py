"""What gaps and bitmap share: a walk through the target's windows of integer keys.

In each window the missing keys are either probed in the source's index, or the source's
keys are compared with the target's; the strategies differ in when they do which.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from xdbrel import keys
from xdbrel.integrity.reading import sources, targets, words
from xdbrel.integrity.reading.ahead import Ahead
from xdbrel.integrity.reading.beside import Beside
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.reading.readers import Counting, Readers
from xdbrel.integrity.scanning.strategies.absent import counted
from xdbrel.integrity.scanning.strategies.batch import Batch
from xdbrel.integrity.scanning.strategies.merge import merge

#: A gap of at most so many keys is probed key by key, a wider one as a range.
NARROW = 32

#: Most wide gaps of one window that are worth probing.
WIDE_GAPS = 500

#: Gaps are gathered over at most so many windows before they are probed.
GATHERED = 16

#: The same, where the target's next windows are being read meanwhile.
SOON = 2

#: Several connections read at most so many times what was gathered ahead of what is found.
AHEAD = 4

#: Tells of a window with that many rows and missing keys whether probing is worth it.
Judge = Callable[[int, int], bool]


def walk(
    source: End, target: End, within: KeyRange, worth_probing: Judge, readers: int
) -> Generator[Batch, None, None]:
    """Yield the batches of a range of keys, window by window of the target's."""
    with Beside(source, readers) as at_source, Beside(target, int(readers > 1)) as at_target:
        there = targets.windows(target, within, Ahead(target, at_target))
        gathered = _Gathered(source, Readers(source, at_source), SOON if readers > 1 else GATHERED)
        yield from _walk(source, target, there, worth_probing, gathered)


def _walk(
    source: End,
    target: End,
    windows: Iterator[targets.Window],
    worth_probing: Judge,
    gathered: _Gathered,
) -> Iterator[Batch]:
    for window in windows:
        missing = None
        if window.words is not None:
            absent = window.words.last - window.words.base + 1 - window.rows
            if worth_probing(window.rows, absent):
                missing = window.words.gaps()
        elif window.gaps is not None:
            missing = iter(window.gaps)
        if missing is not None and gathered.take(missing, window.within.upto):
            yield Batch(window.rows)
            yield from gathered.probe()
            continue
        yield from gathered.finish()
        if window.words is None:
            yield from merge(source, target, window.within)
        else:
            yield from _compared(source, window.words)
        if window.within.upto is not None:
            yield Batch(0, upto=window.within.upto)
    yield from gathered.finish()


def _compared(source: End, there: words.Words) -> Iterator[Batch]:
    held = words.read(source, there.base, there.last, distinct=True)
    seen = len(held)
    for chunk in keys.chunks(held.without(there).keys(), sources.PAGE):
        yield Batch(seen, counted(source, chunk), chunk[-1])
        seen = 0
    yield Batch(seen)


@dataclass
class _Probe:
    """The gaps of some windows, up to a key, and who counts the sources in the narrow ones."""

    single: list[int] = field(default_factory=list)
    wide: list[KeyRange] = field(default_factory=list)
    windows: int = 0
    upto: Any = None
    counting: Counting | None = None

    def is_due(self) -> bool:
        """Tell whether nothing is waited for any more."""
        return self.counting is None or self.counting.is_done()

    def batches(self, source: End) -> Iterator[Batch]:
        """Yield what the sources hold in the gaps, in the order of keys."""
        found = {} if self.counting is None else self.counting.result()
        # Counted as the sources come, in no order.
        single = iter([key for key in self.single if key in found])
        held = next(single, None)
        for part, upto in sources.count_between(source, self.wide):
            together = dict(part)
            while held is not None and held <= upto:
                together[held] = found[held]
                held = next(single, None)
            yield from _bounded(together, upto)
        rest = [] if held is None else [held, *single]
        yield from _bounded({key: found[key] for key in rest}, None)
        if self.upto is not None:
            yield Batch(0, upto=self.upto)


class _Gathered:
    """The gaps of several windows, since one statement looks into many.

    Where several connections read, they are at the gaps of one window while the target's
    database looks for those of the next.
    """

    def __init__(self, source: End, reading: Readers, windows: int) -> None:
        self.source = source
        self.reading = reading
        self.windows = windows
        self.next = _Probe()
        self.begun: deque[_Probe] = deque()

    def take(self, gaps: Iterable[KeyRange], upto: Any) -> bool:
        """Take the gaps of a window; False, and none is taken, where these are too many."""
        single, wide = parted(gaps)
        if len(wide) > WIDE_GAPS or len(single) > targets.SPAN:
            return False
        self.next.single += single
        self.next.wide += wide
        self.next.windows += 1
        self.next.upto = upto
        return True

    def probe(self) -> Iterator[Batch]:
        """Begin to look into what was gathered, if it is enough; yield what is due by now."""
        if (
            len(self.next.single) >= self.reading.enough()
            or len(self.next.wide) >= sources.RANGES
            or self.next.windows >= self.windows
        ):
            self._begin()
        while self.begun and (self.begun[0].is_due() or len(self.begun) > AHEAD):
            yield from self.begun.popleft().batches(self.source)

    def finish(self) -> Iterator[Batch]:
        """Yield all that the sources hold in the gaps that were gathered."""
        self._begin()
        while self.begun:
            yield from self.begun.popleft().batches(self.source)

    def _begin(self) -> None:
        if self.next.windows:
            self.next.counting = self.reading.count(self.next.single)
            self.begun.append(self.next)
            self.next = _Probe()


def _bounded(found: dict[int, int], upto: int | None) -> Iterator[Batch]:
    """Yield the keys found in batches that are not too large, in order."""
    for chunk in keys.chunks(sorted(found), sources.PAGE):
        yield Batch(len(chunk), {key: found[key] for key in chunk}, chunk[-1])
    if upto is not None:
        yield Batch(0, upto=upto)


def parted(gaps: Iterable[KeyRange]) -> tuple[list[int], list[KeyRange]]:
    """Return the keys of the narrow gaps, and the wide gaps as ranges."""
    narrow: list[int] = []
    wide: list[KeyRange] = []
    for gap in gaps:
        if gap.after is None or gap.upto is None or gap.upto - gap.after > NARROW:
            wide.append(gap)
        else:
            narrow.extend(range(gap.after + 1, gap.upto + 1))
    return narrow, wide
