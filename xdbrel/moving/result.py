"""What came of a move, as the command, tasks and callers get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xdbrel.exceptions import describe_keys


@dataclass(frozen=True)
class Collision:
    """Rows at the destination that are in the way of rows to be moved.

    ``fields`` is ``primary key``, or the names of fields that are unique together; ``keys``
    are primary keys of the rows to be moved.
    """

    model: str
    fields: str
    using: str
    keys: Sequence[Any]

    def __str__(self) -> str:
        what = (
            "have the same primary key"
            if self.fields == "primary key"
            else (f"have the same {self.fields}")
        )
        return f"{self.model}: rows of {describe_keys(self.keys)} {what} in {self.using!r}"

    def as_dict(self) -> dict[str, Any]:
        """Return the collision as JSON has it."""
        return {
            "model": self.model,
            "fields": self.fields,
            "using": self.using,
            "keys": [key if isinstance(key, (int, str)) else str(key) for key in self.keys],
        }


@dataclass(frozen=True)
class MoveProgress:
    """How far a move is: ``step`` is ``check``, ``copy``, ``verify`` or ``remove``."""

    model: str
    step: str
    rows: int


@dataclass(frozen=True)
class MoveResult:
    """What was moved, or in a dry run would be: ``counts`` of rows by model label.

    ``checksums`` are those that both ends had, by model label. ``copied`` and ``removed``
    count the rows that this call wrote and removed, ``carried`` those that had changed at
    one end since they were copied. ``status`` is ``planned`` (a dry run), ``kept`` (both
    ends stand), ``complete`` or ``abandoned``. ``notes`` say what is to be done next.
    """

    model: str
    using: str
    to: str
    status: str
    dry_run: bool
    counts: Mapping[str, int]
    copied: int = 0
    carried: int = 0
    removed: int = 0
    checksums: Mapping[str, str] = field(default_factory=dict)
    collisions: Sequence[Collision] = ()
    renumbered: Mapping[str, int] = field(default_factory=dict)
    left_crossing: Sequence[str] = ()
    notes: Sequence[str] = ()
    seconds: float = 0.0
    run_id: int = 0
    resumed: int = 0

    @property
    def rows(self) -> int:
        """How many rows there are to it, in all tables."""
        return sum(self.counts.values())

    @property
    def clean(self) -> bool:
        """Whether nothing is in the way."""
        return not self.collisions

    def as_dict(self) -> dict[str, Any]:
        """Return what the command hands out as JSON."""
        return {
            "model": self.model,
            "using": self.using,
            "to": self.to,
            "status": self.status,
            "dry_run": self.dry_run,
            "run": self.run_id,
            "rows": self.rows,
            "counts": dict(self.counts),
            "copied": self.copied,
            "carried": self.carried,
            "removed": self.removed,
            "checksums": dict(self.checksums),
            "collisions": [collision.as_dict() for collision in self.collisions],
            "renumbered": dict(self.renumbered),
            "left_crossing": list(self.left_crossing),
            "notes": list(self.notes),
            "resumed": self.resumed,
            "seconds": self.seconds,
        }
