"""Gaps: the target's missing keys, probed in the source's index.

For integer keys. The cost goes with the target's rows and its gaps, not with the
source's rows. After the gaps-and-islands queries of the SQL literature.
"""

from __future__ import annotations

from collections.abc import Generator

from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning.strategies import windows
from xdbrel.integrity.scanning.strategies.batch import Batch

#: A window with more missing keys than this share of its own is compared as a bitmap.
DENSE = 0.1


def gaps(
    source: End, target: End, within: KeyRange, readers: int = 1
) -> Generator[Batch, None, None]:
    """Find the target's missing keys and look for the sources that hold them.

    Where too many are missing, the source's keys are compared with the target's instead,
    for as long as that lasts.
    """
    yield from windows.walk(source, target, within, _few, readers)


def _few(rows: int, missing: int) -> bool:
    return missing <= DENSE * (rows + missing)
