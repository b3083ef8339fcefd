"""The figures of what waits: how much, since when, what was set aside, what is paused.

A worker may be busy, and every call of it succeed, while intents grow old. What is looked at
here is the intents themselves, through the index that holds the unfinished ones alone: a
million finished rows cost nothing.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db import Error
from django.db.models import Count, Min, Q

from xdbrel.caching import uncached
from xdbrel.cascade import clock, pauses
from xdbrel.cascade.relay import intent_aliases
from xdbrel.conf import settings
from xdbrel.models import CascadeIntent

logger = logging.getLogger(__name__)

Status = CascadeIntent.Status


@dataclass
class RelationBacklog:
    """What waits of one relation in database ``alias``; ages are in seconds.

    ``depth`` counts the intents that wait to be applied, ``oldest`` is the age of the oldest.
    ``second_look`` counts the applied ones whose sources are to be looked for once more;
    ``overdue`` is how long ago the first of these was due, if it was.
    """

    alias: str
    relation: str
    depth: int = 0
    oldest: float | None = None
    set_aside: int = 0
    second_look: int = 0
    overdue: float | None = None
    paused: bool = False

    @property
    def late(self) -> bool:
        """Whether anything waits for longer than ``XDBREL["MAX_BACKLOG_AGE"]``."""
        return max(self.oldest or 0.0, self.overdue or 0.0) > settings.MAX_BACKLOG_AGE


@dataclass
class Backlog:
    """The relations of which anything is unfinished or paused, by alias and handle.

    ``unreachable`` has the databases that could not be asked, each with its error.
    """

    relations: list[RelationBacklog] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """How many intents wait to be applied."""
        return sum(one.depth for one in self.relations)

    @property
    def oldest(self) -> float | None:
        """The age in seconds of the oldest of them."""
        return max((one.oldest for one in self.relations if one.oldest is not None), default=None)

    @property
    def set_aside(self) -> int:
        """How many intents were set aside."""
        return sum(one.set_aside for one in self.relations)

    @property
    def second_look(self) -> int:
        """How many intents are applied and wait for their second look."""
        return sum(one.second_look for one in self.relations)

    @property
    def late(self) -> bool:
        """Whether anything waits for longer than ``XDBREL["MAX_BACKLOG_AGE"]``, paused or not."""
        return any(one.late for one in self.relations)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to look into: late, set aside or not to be reached."""
        return not (self.late or self.set_aside or self.unreachable)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return {
            "late": self.late,
            "depth": self.depth,
            "oldest": self.oldest,
            "set_aside": self.set_aside,
            "second_look": self.second_look,
            "relations": [{**asdict(one), "late": one.late} for one in self.relations],
            "unreachable": dict(self.unreachable),
        }


def backlog(using: str | None = None) -> Backlog:
    """Return the figures of database ``using``, or of every one that holds intents.

    A database that cannot be asked is named in the result; the others are still asked.
    """
    result = Backlog()
    for alias in [using] if using else intent_aliases():
        try:
            found = sorted(_of(alias), key=lambda one: one.relation)
        except Error as error:
            result.unreachable[alias] = f"{type(error).__name__}: {error}"
        else:
            result.relations += found
    return result


def warn_if_late(found: Backlog) -> None:
    """Log a warning for each relation of which anything waits for too long."""
    for one in found.relations:
        if one.late:
            logger.warning(
                "%s: what waits in %s is late: %s intents, the oldest %.0f seconds old; %s second "
                "looks, overdue by %.0f seconds. %s",
                one.relation,
                one.alias,
                one.depth,
                one.oldest or 0.0,
                one.second_look,
                one.overdue or 0.0,
                "The relation is paused." if one.paused else "Are there relays enough?",
                extra={
                    "action": "backlog_late",
                    "relation": one.relation,
                    "alias": one.alias,
                    "depth": one.depth,
                    "oldest": one.oldest,
                    "overdue": one.overdue,
                },
            )


def _of(alias: str) -> list[RelationBacklog]:
    now = clock.read(alias)
    found: dict[str, RelationBacklog] = {}
    for relation, status, number, created, due in _unfinished(alias):
        one = found.setdefault(relation, RelationBacklog(alias, relation))
        if status == Status.PENDING:
            one.depth, one.oldest = number, _age(created, now)
        elif status == Status.APPLIED:
            one.second_look, one.overdue = number, _age(due, now) or None
        else:
            one.set_aside = number
    for relation in pauses.paused(alias):
        found.setdefault(relation, RelationBacklog(alias, relation)).paused = True
    return list(found.values())


def _unfinished(alias: str) -> list[tuple[str, str, int, datetime, datetime]]:
    # The condition of the partial index, word for word: SQLite would not take it otherwise.
    unfinished = Q(status=Status.PENDING) | Q(status=Status.APPLIED) | Q(status=Status.SET_ASIDE)
    rows = (
        CascadeIntent.objects.using(alias)
        .filter(unfinished)
        .order_by()
        .values_list("relation", "status")
        .annotate(number=Count("pk"), created=Min("created_at"), due=Min("available_at"))
    )
    with uncached():
        return list(rows)


def _age(moment: datetime, now: datetime) -> float:
    """Return the seconds since ``moment``, or 0 where that is still to come."""
    return round(max((now - moment).total_seconds(), 0.0), 3)
