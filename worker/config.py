"""What xdbrel's tasks need of Celery, as defaults that a project may override.

Owns the settings that keep work from being lost or done twice at once. Where the broker
is belongs to the project (``CELERY_BROKER_URL``).
"""

from __future__ import annotations

from typing import Any

#: The one queue. Relay and scans are few and short; more workers, not more queues.
QUEUE = "xdbrel"

#: Seconds after which Redis hands an unacknowledged task to another worker. Every time
#: limit stays below it: a task that is still running must not be run a second time.
VISIBILITY_TIMEOUT = 3600
TIME_LIMIT = VISIBILITY_TIMEOUT - 300
SOFT_TIME_LIMIT = TIME_LIMIT - 300


def defaults() -> dict[str, Any]:
    """Return Celery's settings, in its own lower-case names."""
    return {
        "task_default_queue": QUEUE,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # A task is acknowledged when it is done, and goes back when its process dies.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # With late acknowledgement, what one process reserves, no other can start.
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "task_time_limit": TIME_LIMIT,
        "task_soft_time_limit": SOFT_TIME_LIMIT,
        "broker_connection_retry_on_startup": True,
        "result_expires": VISIBILITY_TIMEOUT,
        "timezone": "UTC",
    }
