"""Bitmap: source's and target's keys as bits, window by window, one from the other.

For dense integer keys with many gaps. The cost goes with the rows of both, but a sixty-fourth
of their keys goes over the wire.
"""

from __future__ import annotations

from collections.abc import Generator

from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning.strategies import windows
from xdbrel.integrity.scanning.strategies.batch import Batch


def bitmap(
    source: End, target: End, within: KeyRange, readers: int = 1
) -> Generator[Batch, None, None]:
    """Compare the bits of the source's keys with the target's.

    Stretches without a target are looked up in the source's index, and stretches in which
    keys are thin compared key by key.
    """
    yield from windows.walk(source, target, within, _never, readers)


def _never(rows: int, missing: int) -> bool:
    return False
