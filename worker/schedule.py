"""The beat schedule: ``celery -A worker beat``. It is static; nothing of it is in a database."""

from __future__ import annotations

from typing import Any

from xdbrel.conf import settings


def defaults() -> dict[str, Any]:
    """Return the schedule, by ``XDBREL``'s intervals, as a default that a project may override."""
    return {
        "beat_schedule": {
            "xdbrel-relay": {
                "task": "xdbrel.relay",
                "schedule": settings.RELAY_INTERVAL_SECONDS,
                # A relay that nobody started in time has a successor already.
                "options": {"expires": settings.RELAY_INTERVAL_SECONDS},
            },
            "xdbrel-prune": {
                "task": "xdbrel.prune",
                "schedule": settings.PRUNE_INTERVAL_SECONDS,
                "options": {"expires": settings.PRUNE_INTERVAL_SECONDS},
            },
            # One task for each relation, which decides by the relation's last runs whether
            # a full scan is due: a beat that is started anew every day forgets what it was
            # to do once a week.
            "xdbrel-scan": {
                "task": "xdbrel.scan_all",
                "schedule": settings.SCAN_INTERVAL_SECONDS,
                "options": {"expires": settings.SCAN_INTERVAL_SECONDS},
            },
            "xdbrel-resume": {
                "task": "xdbrel.resume_scans",
                "schedule": settings.RESUME_INTERVAL_SECONDS,
                "options": {"expires": settings.RESUME_INTERVAL_SECONDS},
            },
            "xdbrel-confirm": {
                "task": "xdbrel.confirm",
                "schedule": settings.CONFIRM_INTERVAL_SECONDS,
                "options": {"expires": settings.CONFIRM_INTERVAL_SECONDS},
            },
        }
    }
