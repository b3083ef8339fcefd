"""Celery tasks: each calls one service function, which works without Celery as well.

``shared_task`` hands them to whatever app the project has. Each is safe to run twice, so
it is acknowledged when it is done and runs again when its worker is lost; a database that
does not answer is tried again, later each time.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import task_prerun
from django.db import InterfaceError, OperationalError

from xdbrel import relations
from xdbrel.cascade.backlog import backlog, warn_if_late
from xdbrel.cascade.prune import prune as run_prune
from xdbrel.cascade.relay import relay as run_relay
from xdbrel.integrity.scan import scan as run_scan
from xdbrel.routers import reset_writes

DURABLE: dict[str, Any] = {
    "acks_late": True,
    "reject_on_worker_lost": True,
    "autoretry_for": (OperationalError, InterfaceError),
    "retry_backoff": True,
    "retry_backoff_max": 600,
    "retry_jitter": True,
    "max_retries": 8,
}

#: How long one call of the relay goes on: well below a worker's time limits, whose error
#: would count as an intent's.
RELAY_SECONDS = 600.0

# Any task begins without the writes of the one that this worker ran before.
task_prerun.connect(reset_writes, dispatch_uid="xdbrel.reset_writes")


@shared_task(name="xdbrel.relay", **DURABLE)
def relay(
    using: str | None = None, limit: int | None = None, seconds: float = RELAY_SECONDS
) -> dict[str, Any]:
    """Apply the cascades that are due, of one database or of all; return the figures.

    After so many ``seconds`` the rest is left to the next call. Figures of what is left are
    under ``backlog``: that every call succeeds does not say that nothing grows old.
    """
    result = run_relay(using=using, limit=limit, seconds=seconds)
    left = backlog(using)
    warn_if_late(left)
    return {**result.as_dict(), "backlog": left.as_dict()}


@shared_task(name="xdbrel.prune", **DURABLE)
def prune(using: str | None = None) -> dict[str, Any]:
    """Delete the intents that were finished long ago, of one database or of all."""
    return run_prune(using).as_dict()


@shared_task(name="xdbrel.scan", **DURABLE)
def scan(relation: str) -> dict[str, Any]:
    """Scan the relation of that handle for orphans; return the figures."""
    return run_scan(relations.get(relation)).as_dict()


@shared_task(name="xdbrel.scan_all", **DURABLE)
def scan_all() -> list[str]:
    """Start a scan of every relation, each a task of its own; return their handles."""
    handles = [relation.handle for relation in relations.all_relations()]
    for handle in handles:
        scan.delay(handle)
    return handles
