"""What a strategy yields, and what a strategy is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xdbrel.integrity.ends import End
from xdbrel.integrity.ranges import KeyRange


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


#: Finds the keys in a range that sources hold and no target has, each in one batch.
Strategy = Callable[[End, End, KeyRange], Iterator[Batch]]
