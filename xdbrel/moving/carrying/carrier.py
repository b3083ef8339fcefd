"""What one process needs to write rows to either end.

Owns the state that a move keeps between its steps, and nothing that is done with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xdbrel.moving.exceptions import WriteFailed
from xdbrel.moving.plan import Plan
from xdbrel.moving.record import BatchStatus, Record


@dataclass
class Figures:
    """What one call has done."""

    copied: int = 0
    carried: int = 0
    removed: int = 0


@dataclass
class Carrier:
    """A move in the hands of one process.

    ``switched`` tells that the routers send writes to the destination, ``captured``, by
    alias, that triggers of xdbrel's stand there.
    """

    plan: Plan
    record: Record
    size: int
    switched: bool
    captured: Mapping[str, bool]
    tell: Callable[[str, str, int], None] = lambda model, step, rows: None
    figures: Figures = field(default_factory=Figures)
    #: Rows of the table at hand that the destination gave to the source, by key.
    brought: dict[Any, str] = field(default_factory=dict)
    #: Batches with rows that were deleted at one end.
    gone: set[int] = field(default_factory=set)
    #: What a constraint said of a row that was to go at one end, if any did.
    refused: WriteFailed | None = None

    @property
    def copied(self) -> str:
        """What a batch is once it is written: read back already, where others write as well."""
        return BatchStatus.VERIFIED if self.switched else BatchStatus.COPIED
