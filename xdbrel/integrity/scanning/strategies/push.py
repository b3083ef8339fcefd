"""Push: the source's distinct keys, anti-joined at the target batch by batch.

For keys of any type, in any order, compared as the target's database does. The cost goes
with the source's different keys, not with the target's rows.
"""

from __future__ import annotations

from collections.abc import Generator

from xdbrel.integrity.reading import sources, targets
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning.strategies.absent import counted
from xdbrel.integrity.scanning.strategies.batch import Batch


def push(
    source: End, target: End, within: KeyRange, readers: int = 1
) -> Generator[Batch, None, None]:
    """Send pages of the source's keys to the target, which says what it lacks."""
    for page in sources.pages(source, within):
        absent = targets.missing(target, page.keys)
        if page.rows is None:
            found = counted(source, absent)
        else:
            found = {key: page.rows[key] for key in absent}
        yield Batch(len(page.keys), found, page.upto)
