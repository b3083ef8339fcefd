"""A time zone where SQL knows none: the offset that is never ahead of the zone's own time."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta

from django.utils import timezone


def least_offset(zone: str) -> int:
    """Return the smallest offset from UTC, in minutes, that ``zone`` has within this year."""
    first = datetime(timezone.now().year, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))
    offsets = [
        (first + timedelta(days=day)).astimezone(zoneinfo.ZoneInfo(zone)).utcoffset()
        for day in range(0, 366, 7)
    ]
    return min(int(offset.total_seconds() // 60) for offset in offsets if offset is not None)
