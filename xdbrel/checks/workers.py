"""Checks of what workers have noted: that any runs at all.

These read a table, and so bear Django's tag ``database`` alone; and they are deployment
checks, since where a project is developed no worker runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.db import connections
from django.utils.text import get_text_list

from xdbrel.checks.scope import Found, check, crossing
from xdbrel.conf import settings
from xdbrel.integrity import heartbeats
from xdbrel.models import Heartbeat
from xdbrel.relations import all_relations

_START = (
    'Start "celery -A worker worker" and "celery -A worker beat" with the schedule of '
    "docs/worker.md, or run the commands by a timer and silence this check."
)


@check(checks.Tags.database, deploy=True)
def check_heartbeats(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> Found:
    """W080, W081: work that no worker has done, ever or for several of its intervals."""
    alias = settings.INTEGRITY_DATABASE
    if alias not in (databases or ()) or not any(crossing(all_relations())):
        return
    if Heartbeat._meta.db_table not in connections[alias].introspection.table_names():
        return
    silent = heartbeats.silent()
    never = [one.work for one in silent if one.ran_at is None]
    if never:
        whole = len(never) == len(heartbeats.WORKS)
        yield checks.Warning(
            f"No worker has ever {'run' if whole else 'done some work'}: "
            f"{get_text_list(never, 'and')} {'are' if len(never) > 1 else 'is'} not known to "
            f"{alias!r}, where workers note what they do.",
            hint=_START,
            id="xdbrel.W080",
        )
    for one in silent:
        if one.ran_at is not None:
            yield checks.Warning(
                f"No worker has done {one.work} since {one.ran_at:%Y-%m-%d %H:%M:%S}, the last "
                f"was {one.worker}.",
                hint=_START,
                id="xdbrel.W081",
            )
