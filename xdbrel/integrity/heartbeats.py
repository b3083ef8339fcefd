"""When a kind of work was last done by a worker: silence shows that none runs.

A worker that is busy and one that is not there look alike from outside, and a queue that
nobody reads raises no error. So every task notes that it ran, once in a while, and what
has not been heard of for several of its intervals is ``silent``.
"""

from __future__ import annotations

import datetime
import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone

from xdbrel.caching import uncached
from xdbrel.conf import settings
from xdbrel.models import Heartbeat

logger = logging.getLogger(__name__)

#: The kinds of work that the beat schedule asks for, and the setting with its interval.
WORKS: Mapping[str, str] = {
    "relay": "RELAY_INTERVAL_SECONDS",
    "scan": "SCAN_INTERVAL_SECONDS",
    "resume": "RESUME_INTERVAL_SECONDS",
    "confirm": "CONFIRM_INTERVAL_SECONDS",
    "prune": "PRUNE_INTERVAL_SECONDS",
}

#: Work is missed after so many of its intervals, and never before so many seconds.
INTERVALS = 3
PATIENCE = 600.0

_noted: dict[tuple[int, str, str], float] = {}


@dataclass(frozen=True)
class Silence:
    """Work that has not been done for too long: when it was, None for never."""

    work: str
    ran_at: datetime.datetime | None
    worker: str
    allowed: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, as JSON shows them."""
        return {
            "work": self.work,
            "ran_at": None if self.ran_at is None else self.ran_at.isoformat(),
            "worker": self.worker,
            "allowed": self.allowed,
        }


def beat(work: str) -> None:
    """Note that this process does such ``work`` now; at most every so many seconds.

    ``XDBREL["HEARTBEAT_SECONDS"]`` says how many. A database that does not take the note
    is told in the log, and keeps nobody from the work itself.
    """
    using = settings.INTEGRITY_DATABASE
    # By process: what was forked off has noted nothing yet.
    known = (os.getpid(), using, work)
    if time.monotonic() - _noted.get(known, float("-inf")) < settings.HEARTBEAT_SECONDS:
        return
    values = {"ran_at": timezone.now(), "worker": f"{socket.gethostname()}:{os.getpid()}"}
    try:
        with uncached(), transaction.atomic(using=using):
            if not Heartbeat.objects.using(using).filter(pk=work).update(**values):
                Heartbeat.objects.using(using).bulk_create(
                    [Heartbeat(work=work, **values)], ignore_conflicts=True
                )
    except (DatabaseError, InterfaceError) as error:
        logger.warning(
            "That %s ran could not be noted in %s: %s",
            work,
            using,
            error,
            extra={"action": "heartbeat", "relation": None, "alias": using},
        )
        return
    _noted[known] = time.monotonic()


def last() -> dict[str, Heartbeat]:
    """Return when each kind of work was last done, as far as it ever was."""
    with uncached():
        return {row.work: row for row in Heartbeat.objects.using(settings.INTEGRITY_DATABASE)}


def silent() -> list[Silence]:
    """Return the kinds of work that have not been done for several of their intervals."""
    known = last()
    now = timezone.now()
    found = []
    for work, name in WORKS.items():
        allowed = max(PATIENCE, INTERVALS * getattr(settings, name))
        row = known.get(work)
        if row is None:
            found.append(Silence(work, None, "", allowed))
        elif (now - row.ran_at).total_seconds() > allowed:
            found.append(Silence(work, row.ran_at, row.worker, allowed))
    return found
