"""Intents that wait for their next attempt, or were set aside, made due at once.

When an intent is set aside is for ``intents``; taking what is due is the relay's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import Error, models
from django.db.models import F, Q

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.cascade import clock
from xdbrel.cascade.relay import intent_aliases
from xdbrel.models import CascadeIntent
from xdbrel.relations import Relation

Status = CascadeIntent.Status


@dataclass
class RetryResult:
    """How many intents were made due, by alias and handle.

    ``unreachable`` has the databases that failed, each with its error.
    """

    intents: dict[tuple[str, str], int] = field(default_factory=dict)
    unreachable: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return {
            "retried": [
                {"alias": alias, "relation": relation, "intents": number}
                for (alias, relation), number in self.intents.items()
            ],
            "unreachable": dict(self.unreachable),
        }


def retry(chosen: models.QuerySet[CascadeIntent], *, using: str) -> int:
    """Make the ``chosen`` intents of database ``using`` due now; return how many are.

    One that was set aside has all its attempts again. Applied intents, and those that a
    process holds at this moment, stay as they are.
    """
    waiting = chosen.using(using).filter(
        Q(status=Status.SET_ASIDE) | Q(status=Status.PENDING, claimed_by="")
    )
    return waiting.order_by().update(
        status=Status.PENDING, attempts=0, available_at=clock.now(using)
    )


def retry_waiting(relations: Iterable[Relation] = (), *, using: str | None = None) -> RetryResult:
    """Make all that was set aside or postponed due now, of ``relations`` or of every one.

    ``using`` is the one database to look in (default: every one that holds intents). A
    database that fails is named in the result; the others are still looked in.
    """
    handles = [relation.handle for relation in relations]
    result = RetryResult()
    for alias in [using] if using else intent_aliases():
        try:
            with uncached():
                for relation, pks in sorted(_waiting(alias, handles).items()):
                    result.intents[alias, relation] = _retry(alias, pks)
        except Error as error:
            result.unreachable[alias] = f"{type(error).__name__}: {error}"
    return result


def _waiting(alias: str, handles: list[str]) -> dict[str, list[int]]:
    """Return the primary keys of what is not due by itself, by handle."""
    waiting = CascadeIntent.objects.using(alias).filter(
        Q(status=Status.SET_ASIDE)
        | Q(status=Status.PENDING, claimed_by="", available_at__gt=clock.now(alias))
    )
    if handles:
        waiting = waiting.filter(relation__in=handles)
    found: dict[str, list[int]] = {}
    for relation, pk in waiting.order_by("pk").values_list("relation", "pk"):
        found.setdefault(relation, []).append(pk)
    return found


def _retry(alias: str, pks: list[int]) -> int:
    size = keys.chunk_size(alias, CascadeIntent._meta.pk)
    return sum(
        retry(CascadeIntent.objects.filter(keys.KeyIn(F("pk"), chunk)), using=alias)
        for chunk in keys.chunks(pks, size)
    )
