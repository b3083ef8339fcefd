"""What a strategy yields, and what a strategy is."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange


@dataclass(frozen=True)
class Batch:
    """A step of a scan.

    ``seen`` is how many keys were looked at, ``found`` the number of sources of each key
    that seems to be an orphan. Every orphan of the range with a key up to ``upto`` is in
    this batch or in an earlier one: from there the range can be gone on with. None says
    nothing new.
    """

    seen: int
    found: Mapping[Any, int] = field(default_factory=dict)
    upto: Any = None


class Strategy(Protocol):
    """Finds the keys in a range that sources hold and no target has, each in one batch.

    ``readers`` is by how many connections the sources may be looked at at once. Whoever
    does not read on to the end closes the iterator.
    """

    def __call__(
        self, source: End, target: End, within: KeyRange, readers: int = 1
    ) -> Generator[Batch, None, None]: ...
