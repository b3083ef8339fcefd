"""Whether rows are where they were written, as they were written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xdbrel.moving.exceptions import NotVerified
from xdbrel.moving.parts import Part


def check_arrived(part: Part, digests: Mapping[Any, str], alias: str) -> None:
    """Raise ``NotVerified`` where a row is missing on ``alias``, or is another."""
    there = part.by_keys(digests, alias)
    missing = [key for key in digests if key not in there]
    if missing:
        raise NotVerified(part.label, alias, missing, "are not there any more")
    other = [key for key, row in there.items() if part.digest(row) != digests[key]]
    if other:
        raise NotVerified(part.label, alias, other, "are not as they were at the other end")
