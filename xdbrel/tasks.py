"""Celery tasks: each calls one service function, which works without Celery as well.

``shared_task`` hands them to whatever app the project has. Each is safe to run twice, so
it is acknowledged when it is done and runs again when its worker is lost; a database that
does not answer is tried again, later each time.
"""

from __future__ import annotations

import mmap
from functools import partial
from typing import Any

from celery import Task, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import task_prerun, worker_init, worker_shutting_down
from django.db import InterfaceError, OperationalError

from xdbrel import relations
from xdbrel.cascade.backlog import backlog, warn_if_late
from xdbrel.cascade.prune import prune as run_prune
from xdbrel.cascade.relay import relay as run_relay
from xdbrel.conf import settings
from xdbrel.integrity import heartbeats, sharing
from xdbrel.integrity.confirm import confirm_due
from xdbrel.integrity.exceptions import BeingScanned, NotConfirmed, RepairUnderWay
from xdbrel.integrity.history import prune as prune_history
from xdbrel.integrity.repair import repair as run_repair
from xdbrel.integrity.scan import AUTO
from xdbrel.integrity.undeclared import undeclared
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

#: How long one call scans before it hands on what is left, so that other tasks have a turn.
SCAN_SECONDS = 300.0

# Any task begins without the writes of the one that this worker ran before.
task_prerun.connect(reset_writes, dispatch_uid="xdbrel.reset_writes")

#: One byte that a worker shares with the processes that it forks: whether it is to end. Only
#: the worker itself hears of SIGTERM.
_ending = mmap.mmap(-1, 1)


@worker_init.connect(dispatch_uid="xdbrel.worker_init")
def _begin(**kwargs: Any) -> None:
    _ending[0] = 0


@worker_shutting_down.connect(dispatch_uid="xdbrel.worker_shutting_down")
def _end(**kwargs: Any) -> None:
    _ending[0] = 1


def is_ending() -> bool:
    """Tell whether the worker that this process belongs to is to end."""
    return bool(_ending[0])


@shared_task(name="xdbrel.relay", **DURABLE)
def relay(
    using: str | None = None, limit: int | None = None, seconds: float = RELAY_SECONDS
) -> dict[str, Any]:
    """Apply the cascades that are due, of one database or of all; return the figures.

    After so many ``seconds`` the rest is left to the next call. Figures of what is left are
    under ``backlog``: that every call succeeds does not say that nothing grows old.
    """
    heartbeats.beat("relay")
    result = run_relay(using=using, limit=limit, seconds=seconds)
    left = backlog(using)
    warn_if_late(left)
    return {**result.as_dict(), "backlog": left.as_dict()}


@shared_task(name="xdbrel.prune", **DURABLE)
def prune(using: str | None = None) -> dict[str, Any]:
    """Delete the intents that were finished long ago, of one database or of all; and history.

    Scans and repairs of long ago are in one database only: ``history`` is None for another.
    """
    heartbeats.beat("prune")
    past = prune_history() if using in (None, settings.INTEGRITY_DATABASE) else None
    return {**run_prune(using).as_dict(), "history": past and past.as_dict()}


@shared_task(name="xdbrel.scan", **DURABLE)
def scan(
    relation: str,
    mode: str = "full",
    strategy: str | None = None,
    seconds: float = SCAN_SECONDS,
) -> dict[str, Any]:
    """Scan the relation of that handle for orphans; return the figures.

    A large one is split into ranges that ``xdbrel.scan_range`` takes: the status is
    ``running`` then, and ``being scanned`` where somebody is at it already.
    """
    heartbeats.beat("scan")
    known = relations.get(relation)
    try:
        result = sharing.start(
            known,
            mode=mode,
            strategy=strategy,
            send=scan_range.delay,
            seconds=seconds,
            stop=is_ending,
        )
    except BeingScanned as error:
        return {"relation": relation, "run": error.run, "status": "being scanned"}
    return result.as_dict()


@shared_task(name="xdbrel.scan_range", **DURABLE)
def scan_range(run: int, seconds: float = SCAN_SECONDS) -> dict[str, Any] | None:
    """Scan ranges of that run that are nobody's; return how far the run is.

    None where it is over. What is left after so many ``seconds`` is handed on.
    """
    heartbeats.beat("scan")
    try:
        share = sharing.take_part(
            run, seconds=seconds, stop=is_ending, interrupts=(SoftTimeLimitExceeded,)
        )
    except SoftTimeLimitExceeded:
        scan_range.delay(run)
        raise
    if share is not None and share.left:
        scan_range.delay(run)
    return None if share is None else share.as_dict()


@shared_task(name="xdbrel.scan_all", **DURABLE)
def scan_all(mode: str = AUTO) -> list[str]:
    """Start a scan of every relation, each a task of its own; return their handles.

    ``mode`` is ``"full"``, ``"incremental"`` or ``"auto"``: which of the two is due.
    """
    heartbeats.beat("scan")
    handles = [relation.handle for relation in (*relations.all_relations(), *undeclared())]
    for handle in handles:
        scan.delay(handle, mode)
    return handles


@shared_task(name="xdbrel.resume_scans", **DURABLE)
def resume_scans() -> dict[int, int]:
    """Take up the runs that nobody goes on with; return how many of their ranges are idle."""
    heartbeats.beat("resume")
    found = sharing.idle()
    # One that was not taken in time has successors.
    send = partial(scan_range.apply_async, expires=settings.RESUME_INTERVAL_SECONDS)
    for run, number in found.items():
        for _ in range(number):
            send((run,))
    return found


@shared_task(name="xdbrel.confirm", **DURABLE)
def confirm() -> list[dict[str, Any]]:
    """Look a second time at what scans have found, where that is due; return the figures."""
    heartbeats.beat("confirm")
    return [result.as_dict() for result in confirm_due()]


@shared_task(
    name="xdbrel.repair",
    bind=True,
    **{**DURABLE, "autoretry_for": (*DURABLE["autoretry_for"], RepairUnderWay, NotConfirmed)},
)
def repair(
    self: Task[Any, Any],
    relation: str,
    policy: str,
    raw: bool = False,
    mapping: list[list[Any]] | None = None,
    yes_really: bool = False,
    actor: str | None = None,
) -> dict[str, Any]:
    """Repair what the relation's scan has found; return the figures.

    In no schedule: somebody has to ask for it, and is on record, with the task's id or as
    ``actor``. Run again where its worker is lost, it goes on where it was; it waits for
    findings to be confirmed, and for whoever repairs the relation just now.
    """
    result = run_repair(
        relations.get(relation),
        policy,
        raw=raw,
        mapping=None if mapping is None else [(old, new) for old, new in mapping],
        yes_really=yes_really,
        actor=actor or f"task {self.request.id} on {self.request.hostname}",
    )
    return result.as_dict()
