"""What the strategies share once they know which keys are absent: count the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xdbrel import keys
from xdbrel.integrity.reading import sources
from xdbrel.integrity.reading.ends import End


def counted(source: End, absent: Sequence[Any]) -> Mapping[Any, int]:
    """Return how many sources hold each of a batch's keys, in bounded statements."""
    found: dict[Any, int] = {}
    for chunk in keys.chunks(absent, source.chunk_size()):
        found.update(sources.count(source, chunk))
    return found
