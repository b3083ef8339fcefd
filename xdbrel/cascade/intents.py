"""The intent rows: written with a delete, and settled once they are applied.

Every function names the database (``using``) that the intents stand in, which is the home
of the targets they speak of, and whose clock counts. An intent whose ``available_at`` lies
ahead belongs to the process that wrote it, or waits for its next turn; what relays hold is
for ``claims``.

An intent is pending until it is applied, and confirmed after a second look for sources
that were written while their target was being deleted. One that fails too often is set
aside.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from django.db import connections, router
from django.db.models import F

from xdbrel import keys, placement
from xdbrel.cascade import clock
from xdbrel.conf import settings
from xdbrel.models import CascadeIntent
from xdbrel.relations import handle_of

logger = logging.getLogger(__name__)

Status = CascadeIntent.Status

#: In place of ``deletion`` where a relay applied intents of several deletions together.
SEVERAL = "*"

#: What is being deleted, or applied, around whatever writes an intent.
_deletion: ContextVar[str] = ContextVar("xdbrel_deletion", default="")


def may_stand(using: str) -> bool:
    """Tell whether intents, and so triggers, may stand in the database ``using``: a home."""
    return bool(
        placement.is_configured(using)
        and placement.primary(using) == using
        and router.allow_migrate_model(using, CascadeIntent)
    )


def aliases() -> list[str]:
    """Return the aliases that hold intents: homes where xdbrel's tables stand."""
    return [alias for alias in connections if may_stand(alias)]


class HeldIntent(NamedTuple):
    """What is known of an intent to whoever applies it: columns of ``CascadeIntent``."""

    pk: Any
    relation: str
    source_alias: str
    keys: list[Any]
    new_keys: list[Any] | None
    deletion: str
    cause: str
    attempts: int
    last_error: str
    applied_at: datetime | None = None


AnyIntent: TypeAlias = CascadeIntent | HeldIntent


@dataclass
class Claim:
    """Intents in the database ``using`` that one process may apply while its lease lasts."""

    using: str
    intents: Sequence[AnyIntent]
    token: str

    @property
    def ids(self) -> list[Any]:
        return [intent.pk for intent in self.intents]


@contextmanager
def belonging_to(deletion: str) -> Iterator[None]:
    """Let what is written in the block belong to ``deletion``, where one is given."""
    previous = _deletion.set(deletion or _deletion.get())
    try:
        yield
    finally:
        _deletion.reset(previous)


def deletion_in_progress() -> str:
    """Return the token of what is being deleted or applied around the caller, if anything is."""
    return _deletion.get()


def write(
    planned: dict[tuple[Any, str], list[Any]], using: str, *, token: str | None = None
) -> Claim:
    """Write intents for what was planned, claimed by this process, and return the claim.

    ``planned`` maps (field, source's alias) to keys of targets. Runs in the transaction
    that deletes the targets.
    """
    token = token or uuid.uuid4().hex
    now, until = clock.now(using), clock.now(using, plus=settings.CLAIM_SECONDS)
    rows = [
        CascadeIntent(
            relation=handle_of(field),
            source_alias=source_alias,
            keys=keys.encode(chunk, field.target_field),
            deletion=_deletion.get() or token,
            claimed_by=token,
            created_at=now,
            available_at=until,
        )
        for (field, source_alias), target_keys in planned.items()
        for chunk in keys.chunks(dict.fromkeys(target_keys), settings.INTENT_KEYS)
    ]
    CascadeIntent.objects.using(using).bulk_create(rows)
    if rows and not connections[using].features.can_return_rows_from_bulk_insert:
        written = CascadeIntent.objects.using(using).filter(
            claimed_by=token, cause=CascadeIntent.Cause.ORM
        )
        rows = list(written.order_by("pk"))
    return Claim(using, rows, token)


def renew(held: Claim) -> bool:
    """Extend the lease of intents that this process wrote; False if any was taken over."""
    ours = _unsettled(held.using, held.intents, Status.PENDING).filter(claimed_by=held.token)
    until = clock.now(held.using, plus=settings.CLAIM_SECONDS)
    return bool(ours.update(available_at=until) == len(held.intents))


def settle(held: Claim, intents: Sequence[AnyIntent]) -> None:
    """Mark intents as applied, to be looked at once more."""
    if intents:
        _unsettled(held.using, intents, Status.PENDING).update(
            status=Status.APPLIED,
            applied_at=clock.now(held.using),
            available_at=clock.now(held.using, plus=settings.SECOND_LOOK_SECONDS),
            claimed_by="",
            last_error="",
        )


def settle_together(held: Claim, intents: Sequence[HeldIntent]) -> None:
    """Mark intents of one relation, applied together, by putting one in their place.

    Or several, of no more keys than an intent may have. It is one row to write, to look at
    once more and to prune instead of a thousand. Runs in the caller's transaction.
    """
    first = intents[0]
    begun_by = {intent.deletion for intent in intents}
    # Those of several columns are lists.
    target_keys = {
        tuple(key) if isinstance(key, list) else key: key
        for intent in intents
        for key in intent.keys
    }
    rows = CascadeIntent.objects.using(held.using)
    # The first to be claimed has waited longest.
    created_at = rows.filter(pk=first.pk).values_list("created_at", flat=True).first()
    _unsettled(held.using, intents, Status.PENDING)._raw_delete(held.using)
    rows.bulk_create(
        CascadeIntent(
            relation=first.relation,
            source_alias=first.source_alias,
            keys=chunk,
            deletion=first.deletion if len(begun_by) == 1 else SEVERAL,
            cause=first.cause,
            status=Status.APPLIED,
            created_at=created_at or clock.now(held.using),
            applied_at=clock.now(held.using),
            available_at=clock.now(held.using, plus=settings.SECOND_LOOK_SECONDS),
        )
        for chunk in keys.chunks(target_keys.values(), settings.INTENT_KEYS)
    )


def confirm(held: Claim, intents: Sequence[AnyIntent]) -> None:
    """Mark applied intents as finished: nothing more will be done about them."""
    if intents:
        _unsettled(held.using, intents, Status.APPLIED).update(status=Status.CONFIRMED)


def release(held: Claim, intents: Sequence[AnyIntent], *, after: float = 0.0) -> None:
    """Give intents back, due in ``after`` seconds, behind those that wait already."""
    if intents:
        _unsettled(held.using, intents, Status.PENDING, Status.APPLIED).update(
            available_at=clock.now(held.using, plus=after), claimed_by=""
        )


def postpone(held: Claim, intents: Iterable[AnyIntent], error: BaseException) -> None:
    """Record a failure: each intent is tried again later, or set aside after enough attempts.

    The delay doubles with each attempt, with jitter so that many do not come back at once.
    """
    for intent in intents:
        attempts = intent.attempts + 1
        aside = attempts >= settings.MAX_ATTEMPTS
        delay = settings.RETRY_SECONDS * 2 ** min(attempts - 1, 16)
        delay *= random.uniform(0.5, 1.5)  # noqa: S311 (no secret)
        _unsettled(held.using, [intent], Status.PENDING, Status.APPLIED).update(
            status=Status.SET_ASIDE if aside else Status.PENDING,
            available_at=clock.now(held.using, plus=delay),
            attempts=attempts,
            claimed_by="",
            last_error=f"{type(error).__name__}: {error}",
        )
        logger.log(
            logging.ERROR if aside else logging.WARNING,
            "Intent %s of %s in %s %s after attempt %s: %s",
            intent.pk,
            intent.relation,
            held.using,
            "set aside" if aside else "postponed",
            attempts,
            error,
            extra={
                "action": "intent_set_aside" if aside else "intent_postponed",
                "relation": intent.relation,
                "alias": held.using,
            },
        )


def _unsettled(using: str, intents: Sequence[AnyIntent], *statuses: str) -> Any:
    """Return those of the intents that nobody has settled meanwhile.

    Who applied them does not matter: applying is idempotent, and what is done is done.
    """
    rows = CascadeIntent.objects.using(using).filter(status__in=statuses)
    return rows.filter(keys.KeyIn(F("pk"), [intent.pk for intent in intents]))
