"""Finished intents, deleted once nobody asks for them any more.

An intent is finished when its second look has confirmed it. What waits, or was set aside, is
never touched here, however old it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import Error
from django.db.models import F, Q

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.cascade import clock
from xdbrel.cascade.relay import intent_aliases
from xdbrel.conf import settings
from xdbrel.models import CascadeIntent
from xdbrel.tracing import watched

logger = logging.getLogger(__name__)

Status = CascadeIntent.Status


@dataclass
class PruneResult:
    """How many finished intents were deleted, by alias, or would be in a dry run.

    ``unreachable`` has the databases that failed, each with its error; what was deleted
    there before is counted.
    """

    dry_run: bool = False
    intents: dict[str, int] = field(default_factory=dict)
    unreachable: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return {
            "dry_run": self.dry_run,
            "intents": dict(self.intents),
            "unreachable": dict(self.unreachable),
        }


@watched("prune")
def prune(
    using: str | None = None, *, older_than: float | None = None, dry_run: bool = False
) -> PruneResult:
    """Delete intents that were finished more than ``older_than`` days ago.

    ``older_than`` is ``XDBREL["KEEP_APPLIED_DAYS"]`` if not given, ``using`` the one database
    to prune (default: every one that holds intents). A dry run takes the same way and
    deletes nothing. A database that fails is named in the result; the others are still
    pruned.
    """
    days = settings.KEEP_APPLIED_DAYS if older_than is None else older_than
    result = PruneResult(dry_run)
    for alias in [using] if using else intent_aliases():
        result.intents[alias] = 0
        try:
            horizon = clock.read(alias) - timedelta(days=days)
            with uncached():
                for chunk in _chunks(alias, horizon):
                    result.intents[alias] += len(chunk) if dry_run else _delete(alias, chunk)
        except Error as error:
            result.unreachable[alias] = f"{type(error).__name__}: {error}"
            logger.error(
                "The finished intents in %s could not be pruned; the other databases are: %s",
                alias,
                error,
                extra={"action": "prune_unreachable", "relation": None, "alias": alias},
            )
    return result


def _chunks(alias: str, horizon: datetime) -> Iterator[list[int]]:
    """Yield the primary keys of what was finished before ``horizon``, the oldest first.

    Each query goes on where the one before it ended: from the index's beginning it would
    meet every row that is already deleted again.
    """
    size = keys.chunk_size(alias, CascadeIntent._meta.pk)
    finished = CascadeIntent.objects.using(alias).filter(
        status=Status.CONFIRMED, applied_at__lt=horizon
    )
    rest = finished
    while True:
        found = list(rest.order_by("applied_at", "pk").values_list("applied_at", "pk")[:size])
        if found:
            yield [pk for _, pk in found]
        if len(found) < size:
            return
        last, pk = found[-1]
        rest = finished.filter(Q(applied_at__gt=last) | Q(pk__gt=pk), applied_at__gte=last)


def _delete(alias: str, pks: list[int]) -> int:
    """Delete one chunk, in autocommit a transaction of its own; return how many were left."""
    chosen = CascadeIntent.objects.using(alias).filter(
        keys.KeyIn(F("pk"), pks), status=Status.CONFIRMED
    )
    return chosen._raw_delete(alias)
