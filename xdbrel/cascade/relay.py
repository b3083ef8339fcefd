"""The relay: finishes what deletes have left behind.

It claims intents that are due, batch by batch, and applies them just as the delete itself
would have; any number of relays may run at once. An intent that fails is tried again
later and never holds up the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import Error, connections, models, transaction

from xdbrel import caching, keys, relations
from xdbrel.cascade import claims, clock, horizon, intents, key_changes
from xdbrel.cascade.apply import Work, apply, without_living
from xdbrel.cascade.dispatch import hand_on, report_failure
from xdbrel.cascade.intents import HeldIntent
from xdbrel.cascade.steps import Pace, Unfinished
from xdbrel.conf import settings
from xdbrel.exceptions import UnknownRelation
from xdbrel.models import CascadeIntent
from xdbrel.tracing import watched

logger = logging.getLogger(__name__)

Status = CascadeIntent.Status

intent_aliases = intents.aliases


@dataclass
class RelayResult:
    """What one call of the relay did: numbers of intents, and of rows that followed.

    ``confirmed`` are those that were looked at a second time. ``unreachable`` names the
    databases whose own intents could not be read or settled.
    """

    applied: int = 0
    confirmed: int = 0
    failed: int = 0
    rows: int = 0
    unreachable: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything that was due has been applied."""
        return not (self.failed or self.unreachable)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, as JSON shows them."""
        return asdict(self)


@watched("relay")
def relay(
    *, using: str | None = None, limit: int | None = None, seconds: float = float("inf")
) -> RelayResult:
    """Apply the intents that are due and return when none is left.

    ``using`` names the one database whose intents are taken (default: every database that
    holds intents); ``limit`` is the most intents to take from each, and after so many
    ``seconds`` no more are taken. Nothing that fails is raised: it is recorded with its
    intent, or in ``unreachable`` where the intents' own database fails, and the others go
    on.
    """
    result = RelayResult()
    until = time.monotonic() + seconds
    for alias in [using] if using else intent_aliases():
        try:
            for status in (Status.PENDING, Status.APPLIED):
                _relay_from(alias, status, limit, until, result)
        except Error as error:
            result.unreachable.append(alias)
            logger.error(
                "The intents in %s could not be read or settled; the relay goes on with the "
                "other databases: %s",
                alias,
                error,
                exc_info=error,
                extra={"action": "relay_unreachable", "relation": None, "alias": alias},
            )
    return result


def _relay_from(
    alias: str, status: str, limit: int | None, until: float, result: RelayResult
) -> None:
    taken = 0
    while (limit is None or taken < limit) and time.monotonic() < until:
        size = settings.RELAY_BATCH_SIZE
        if limit is not None:
            size = min(size, limit - taken)
        held = claims.claim(alias, size, status)
        if not held.intents:
            break
        taken += len(held.intents)
        _Batch(held, again=status == Status.APPLIED, result=result).apply()


class _Batch:
    """What was claimed at once, and the time that it may take.

    When the time is over, what has been begun goes behind what waits already: a target
    with millions of sources holds up nobody, and goes on when its turn comes again.
    """

    def __init__(self, held: intents.Claim, *, again: bool, result: RelayResult) -> None:
        self.held = held
        self.again = again
        self.result = result
        self.until = time.monotonic() + settings.RELAY_BATCH_SECONDS
        self.renewed = time.monotonic()
        self.tried = False
        #: Groups that have been applied, to be settled together.
        self.done: list[list[HeldIntent]] = []

    def apply(self) -> None:
        for group in self._groups():
            if not self._try(group) and len(group) > 1:
                # One of them is at fault: each for itself, so that the others go through.
                for intent in group:
                    self._try([intent])
        using = self.held.using
        with transaction.atomic(using=using):
            for group in self.done:
                self._settle(group)
            claims.finish(self.held)
        self.result.confirmed += sum(map(len, self.done)) if self.again else 0
        self.result.applied += 0 if self.again else sum(map(len, self.done))

    def _settle(self, group: list[HeldIntent]) -> None:
        if self.again:
            intents.confirm(self.held, group)
        elif len(group) > 1 and not _follows_changes(group[0]):
            intents.settle_together(self.held, group)
        else:
            intents.settle(self.held, group)

    def _groups(self) -> Iterator[list[HeldIntent]]:
        """Yield intents of one relation together: their keys share statements."""
        groups: dict[tuple[Any, ...], list[HeldIntent]] = {}
        for intent in cast("list[HeldIntent]", self.held.intents):
            kind = (intent.relation, intent.source_alias, intent.new_keys is None)
            groups.setdefault(kind, []).append(intent)
        yield from groups.values()

    def _try(self, group: list[HeldIntent]) -> bool:
        """Apply a group of intents of one relation; False if it fails.

        A single intent's failure is recorded; that of a group is tried one by one first.
        """
        if self.tried and (time.monotonic() >= self.until or not self._keep()):
            return True
        self.tried = True
        # Whatever fails, a receiver's own error included, is this intent's and not the loop's.
        try:
            if self.again:
                group = self._beyond_the_horizon(group)
            if not group:
                return True
            self.result.rows += self._apply(group)
        except Unfinished as unfinished:
            self.result.rows += unfinished.rows
            intents.release(self.held, group)
            return True
        except Exception as error:
            if len(group) == 1:
                self._report(group[0], error)
                intents.postpone(self.held, group, error)
                self.result.failed += 1
            return False
        self.done.append(group)
        return True

    def _apply(self, group: list[HeldIntent]) -> int:
        """Do what the intents say, and return how many rows have followed."""
        target = relations.get(group[0].relation).target
        # Who died at the commit told no cache what became of the targets.
        caching.invalidate([target, *target._meta.get_parent_list()], self.held.using)
        if group[0].new_keys is not None:
            return key_changes.apply_group(group, self.held.using)
        work = _work_of(group, self.held.using, again=self.again)
        pace = Pace.after(
            max(intent.attempts for intent in group), until=self.until, keep=self._keep
        )
        return sum(apply(work, hand_on, pace).values())

    def _report(self, intent: HeldIntent, error: Exception) -> None:
        try:
            alias = _source_alias(intent)
            relation = relations.get(intent.relation)
            target_keys = keys.decode(intent.keys, relation.target_field)
        except (UnknownRelation, ValidationError):
            # That it was postponed, and why, is told all the same.
            return
        if intent.new_keys is not None:
            key_changes.report_failure([intent], alias, error)
        else:
            report_failure(Work(alias, {relation.field: target_keys}), error)

    def _beyond_the_horizon(self, group: list[HeldIntent]) -> list[HeldIntent]:
        """Return those that no open transaction reaches back to; release the others."""
        age = horizon.oldest_transaction(_source_alias(group[0]))
        if not age:
            return group
        began = clock.read(self.held.using) - timedelta(seconds=age)
        reached = [i for i in group if i.applied_at is None or i.applied_at >= began]
        wait = max(settings.SECOND_LOOK_SECONDS, settings.RELAY_INTERVAL_SECONDS)
        intents.release(self.held, reached, after=wait)
        return [intent for intent in group if intent not in reached]

    def _keep(self) -> bool:
        """Renew the lease in good time; False if somebody else has taken over."""
        if time.monotonic() - self.renewed < settings.CLAIM_SECONDS / 3:
            return True
        self.renewed = time.monotonic()
        return claims.renew(self.held)


def _work_of(group: list[HeldIntent], using: str, *, again: bool) -> Work:
    relation = relations.get(group[0].relation)
    encoded = [key for intent in group for key in intent.keys]
    wanted = dict.fromkeys(keys.decode(encoded, relation.target_field))
    alias = _source_alias(group[0])
    key_changes.catch_up(relation.field, wanted, using, alias)
    left = without_living({relation.field: list(wanted)}, using)
    begun_by = {intent.deletion for intent in group}
    deletion = begun_by.pop() if len(begun_by) == 1 else intents.SEVERAL
    return Work(alias, left, deletion=deletion, again=again)


def _follows_changes(intent: HeldIntent) -> bool:
    """Tell whether the order of the relation's intents, which their ids give, still counts."""
    field: Any = relations.get(intent.relation).field
    return field.on_update is models.CASCADE


def _source_alias(intent: HeldIntent) -> str:
    if intent.source_alias in connections.settings:
        return intent.source_alias
    return relations.get(intent.relation).source_home
