"""Ranges of keys: what a part of a scan covers, and where it stands.

Owns what a range is and how a scan's whole is split into several. The order is that of
the source's database: its collation, its order of UUIDs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xdbrel.integrity.ends import End


@dataclass(frozen=True)
class KeyRange:
    """The keys in ``(after, upto]``; None is no bound."""

    after: Any = None
    upto: Any = None


def split(source: End, target: End, parts: int, *, strategy: str) -> list[KeyRange]:
    """Return ranges that cover every key once, about as many as ``parts``, alike in work."""
    return [KeyRange()]
