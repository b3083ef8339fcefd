"""The time by which leases, delays and horizons run: the database's own.

Workers' clocks differ; what they share is the database that the intents stand in. Where
its clock cannot be told in what Django stores (no time zones, SQLite, which has none but
this machine's), the process's is used.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.conf import settings as django_settings
from django.db import connections, models
from django.db.models import Func
from django.utils import timezone

from xdbrel.caching import uncached


class _DatabaseTime(Func):
    """The time at which the statement began, moved by some seconds."""

    output_field = models.DateTimeField()

    def __init__(self, seconds: float) -> None:
        super().__init__()
        # Whole microseconds, spelled out: a parameter has no type of its own everywhere.
        self.microseconds = round(seconds * 1_000_000)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Not clock_timestamp(): it changes during the statement, and no index serves it.
        if not self.microseconds:
            return "statement_timestamp()", []
        return f"(statement_timestamp() + interval '{self.microseconds} microseconds')", []

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        if not self.microseconds:
            return "UTC_TIMESTAMP(6)", []
        return f"(UTC_TIMESTAMP(6) + INTERVAL {self.microseconds} MICROSECOND)", []


def now(using: str, *, plus: float = 0.0) -> Any:
    """Return the time of ``using``, ``plus`` so many seconds, for a filter or as a value."""
    if _is_told_by(connections[using]):
        return _DatabaseTime(plus)
    return timezone.now() + datetime.timedelta(seconds=plus)


def read(using: str) -> datetime.datetime:
    """Ask ``using`` for its time."""
    connection = connections[using]
    if not _is_told_by(connection):
        return timezone.now()
    query = (
        "SELECT statement_timestamp()"
        if connection.vendor == "postgresql"
        else "SELECT UTC_TIMESTAMP(6)"
    )
    with uncached(), connection.cursor() as cursor:
        cursor.execute(query)
        (time,) = cursor.fetchone()
    told: datetime.datetime = time
    return told if told.tzinfo else told.replace(tzinfo=datetime.UTC)


def _is_told_by(connection: Any) -> bool:
    return bool(django_settings.USE_TZ) and (
        connection.vendor == "postgresql"
        or (connection.vendor == "mysql" and connection.timezone is datetime.UTC)
    )
