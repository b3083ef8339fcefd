"""The relay in line: what workers would do later, done before ``drain()`` returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from xdbrel import signals
from xdbrel.caching import uncached
from xdbrel.cascade.relay import RelayResult, intent_aliases, relay
from xdbrel.exceptions import XdbrelError, describe_keys
from xdbrel.models import CascadeIntent, IntentClaim, PausedRelation
from xdbrel.testing.reach import may_use

Status = CascadeIntent.Status

_UNFINISHED = (Status.PENDING, Status.SET_ASIDE, Status.APPLIED)

#: Further back than any lease, backoff or open transaction of a test.
_LONG_AGO = timedelta(days=1)

#: More rounds than a cascade has databases to go through, and more intents in each than it
#: may write on the way, or than it takes to cut a large one: what writes on and on is at fault.
ROUNDS = 20
SPARE = 100


@dataclass(frozen=True)
class Unapplied:
    """An intent that ``drain()`` could not finish.

    ``using`` is the alias that it stands in, ``keys`` are those of the deleted targets.
    """

    relation: str
    using: str
    keys: tuple[Any, ...]
    error: str

    def __str__(self) -> str:
        return f"{self.relation} in {self.using!r}, {describe_keys(self.keys)}: {self.error}"


class NotDrained(XdbrelError, AssertionError):
    """Intents could not be applied; a test that needs them applied has failed.

    Attributes: ``unapplied`` (what is left, with its errors), ``unreachable`` (aliases whose
    own intents could not be read or settled).
    """

    def __init__(self, unapplied: Sequence[Unapplied], unreachable: Sequence[str] = ()) -> None:
        self.unapplied = tuple(unapplied)
        self.unreachable = tuple(unreachable)
        lines = [
            *(str(one) for one in self.unapplied),
            *(f"the intents in {alias!r} cannot be read or settled" for alias in unreachable),
        ]
        super().__init__("\n  ".join(["Cascades could not be applied:", *lines]))


def drain(using: str | None = None) -> RelayResult:
    """Run the relay until no intent is left, and return what it did.

    ``using`` names the one database whose intents are taken (default: every one that holds
    intents and that the test may use). Nothing is waited for: neither backoff nor leases,
    those of processes that still run included, nor the time of the second look; what was set
    aside is tried again. Works inside the transactions of a ``TestCase`` as well as without.

    Raises ``NotDrained``, chained to the last error, once a round has finished nothing more,
    or where intents are written on and on.
    """
    aliases = [using] if using else [alias for alias in intent_aliases() if may_use(alias)]
    total = RelayResult()
    with _errors() as errors:
        before = _make_due(aliases)
        rounds = 0
        while before:
            rounds += 1
            unreachable = []
            for alias in aliases:
                limit = SPARE + sum(one == alias for one, _, _ in before)
                result = relay(using=alias, limit=limit)
                unreachable += result.unreachable
                _add(total, result)
            left = _make_due(aliases)
            if unreachable or left == before or (left and rounds >= ROUNDS):
                raise NotDrained(list(_unapplied(aliases)), unreachable) from _last(errors)
            before = left
    # What failed at first and went through later has not failed.
    return dataclasses.replace(total, failed=0)


def _make_due(aliases: Sequence[str]) -> set[tuple[str, Any, bool]]:
    """Let every unfinished intent be due; return alias, key and whether it was applied once."""
    long_ago = timezone.now() - _LONG_AGO
    found = set()
    with uncached():
        for alias in aliases:
            intents = CascadeIntent.objects.using(alias)
            unfinished = intents.filter(status__in=_UNFINISHED)
            unfinished.update(available_at=long_ago, claimed_by="")
            IntentClaim.objects.using(alias).all()._raw_delete(alias)
            intents.filter(status=Status.SET_ASIDE).update(status=Status.PENDING)
            # What was applied before any transaction began is beyond every horizon.
            intents.filter(status=Status.APPLIED).update(applied_at=long_ago)
            found |= {
                (alias, pk, status == Status.APPLIED)
                for pk, status in unfinished.values_list("pk", "status")
            }
    return found


def _unapplied(aliases: Sequence[str]) -> Iterator[Unapplied]:
    with uncached():
        for alias in aliases:
            paused = set(PausedRelation.objects.using(alias).values_list("relation", flat=True))
            unfinished = CascadeIntent.objects.using(alias).filter(status__in=_UNFINISHED)
            for intent in unfinished.order_by("pk"):
                if intent.relation in paused:
                    error = "the relation is paused"
                else:
                    error = intent.last_error or "not finished, without an error"
                yield Unapplied(intent.relation, alias, tuple(intent.keys), error)


def _add(total: RelayResult, result: RelayResult) -> None:
    for figure in dataclasses.fields(result):
        so_far = getattr(total, figure.name)
        setattr(total, figure.name, so_far + getattr(result, figure.name))


@contextmanager
def _errors() -> Iterator[list[Exception]]:
    """Collect what fails inside the block: the relay records errors and raises none."""
    errors: list[Exception] = []

    def collect(*, error: Exception, **kwargs: Any) -> None:
        errors.append(error)

    signals.cascade_failed.connect(collect, weak=False)
    try:
        yield errors
    finally:
        signals.cascade_failed.disconnect(collect)


def _last(errors: Sequence[Exception]) -> Exception | None:
    return errors[-1] if errors else None
