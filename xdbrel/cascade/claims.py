"""What relays hold: intents claimed in batches, one row for each batch.

The intents themselves are not touched before they are settled, so a claim costs the same
however many they are. A claim is a lease: its row goes when the batch is done, and whoever
finds one that has expired counts the attempt of the process that died.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connections, transaction
from django.db.models import BooleanField, Case, ExpressionWrapper, F, Q, TextField, Value, When
from django.db.models.functions import Cast

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.cascade import clock, pauses
from xdbrel.cascade.intents import Claim, HeldIntent
from xdbrel.conf import settings
from xdbrel.models import CascadeIntent, IntentClaim

logger = logging.getLogger(__name__)

Status = CascadeIntent.Status

#: What is noted with the intents of a process that died. Such an intent is claimed alone:
#: if it was the cause, it takes no others with it.
DIED = "The process that held it died"

#: How long intents of a paused relation are out of the way at a time.
PUT_OFF_SECONDS = 3_600.0

#: In the order of ``HeldIntent``, JSON as text: it is read once for all the rows.
_COLUMNS = (
    "pk",
    "relation",
    "source_alias",
    "keys_text",
    "new_keys_text",
    "deletion",
    "cause",
    "attempts",
    "last_error",
)


def claim(using: str, limit: int, status: str = Status.PENDING) -> Claim:
    """Claim at most ``limit`` intents of that status that are due, the oldest first.

    There may be none. Rows that another process is claiming are passed over where the
    database can do that (``SKIP LOCKED``). Those of paused relations stay where they are.
    What dead processes held is freed first.
    """
    while True:
        found, all_taken = _claim(using, limit, status)
        if found.intents or not all_taken:
            return found


def _claim(using: str, limit: int, status: str) -> tuple[Claim, bool]:
    """Return a claim, and whether it is empty because others have just taken all of it."""
    claims = _live_claims(using)
    busy = [pk for held in claims.values() for pk in held]
    paused = pauses.paused(using)
    due = CascadeIntent.objects.using(using).filter(
        status=status, available_at__lte=clock.now(using)
    )
    if busy:
        due = due.exclude(keys.KeyIn(F("pk"), busy))
    if paused:
        _put_off(due.filter(relation__in=paused), using, limit)
        due = due.exclude(relation__in=paused)
    token = uuid.uuid4().hex
    with uncached(), transaction.atomic(using=using):
        chosen = due.order_by("available_at", "pk")
        if connections[using].features.has_select_for_update_skip_locked:
            chosen = chosen.select_for_update(skip_locked=True)
        columns = _COLUMNS if status == Status.PENDING else (*_COLUMNS, "applied_at")
        texts = chosen.annotate(
            keys_text=Cast("keys", TextField()), new_keys_text=Cast("new_keys", TextField())
        )
        seen = _decoded(texts.values_list(*columns)[:limit])
        # A claim that was committed between the two statements has let go of its rows.
        taken = set(_held_since(using, claims)) if seen else set()
        found = [intent for intent in seen if intent.pk not in taken]
        if found and found[0].last_error == DIED:
            found = found[:1]
        else:
            found = [intent for intent in found if intent.last_error != DIED]
        if found:
            IntentClaim.objects.using(using).create(
                token=token,
                status=status,
                intents=[intent.pk for intent in found],
                until=clock.now(using, plus=settings.CLAIM_SECONDS),
            )
    return Claim(using, found, token), bool(seen)


def _put_off(waiting: Any, using: str, limit: int) -> None:
    """Let intents of paused relations be due in an hour, some at each claim.

    They would stand in front of all others, to be passed over by every claim. Whoever
    resumes the relation makes them due.
    """
    with uncached():
        pks = list(waiting.order_by("available_at").values_list("pk", flat=True)[:limit])
    if pks:
        rows = CascadeIntent.objects.using(using).filter(keys.KeyIn(F("pk"), pks))
        rows.update(available_at=clock.now(using, plus=PUT_OFF_SECONDS))


def renew(held: Claim) -> bool:
    """Extend a claim; False if it had expired and somebody else has taken it over."""
    until = clock.now(held.using, plus=settings.CLAIM_SECONDS)
    return bool(IntentClaim.objects.using(held.using).filter(pk=held.token).update(until=until))


def finish(held: Claim) -> None:
    """Give up a claim: what has not been settled is anybody's again."""
    IntentClaim.objects.using(held.using).filter(pk=held.token)._raw_delete(held.using)


def _live_claims(using: str) -> dict[str, list[Any]]:
    """Return what live processes hold, by token; free what dead ones held."""
    expired = ExpressionWrapper(Q(until__lte=clock.now(using)), BooleanField())
    with uncached():
        claims = list(
            IntentClaim.objects.using(using)
            .annotate(expired=expired)
            .values_list("expired", "token", "intents", "status")
        )
    for died, token, held, status in claims:
        if died:
            _take_over(using, token, held, status)
    return {token: held for died, token, held, _ in claims if not died}


def _held_since(using: str, known: Iterable[str]) -> Iterator[Any]:
    """Yield what is held by claims that were made after the ``known`` ones."""
    claims = IntentClaim.objects.using(using).exclude(token__in=list(known))
    for held in claims.values_list("intents", flat=True):
        yield from held


def _take_over(using: str, token: str, held: list[Any], status: str) -> None:
    """Count an attempt for each intent that a dead process held, and free it."""
    with uncached(), transaction.atomic(using=using):
        # Whoever deletes the row has taken it over; its owner may have finished after all.
        if not IntentClaim.objects.using(using).filter(pk=token)._raw_delete(using):
            return
        unsettled = CascadeIntent.objects.using(using).filter(
            keys.KeyIn(F("pk"), held), status=status
        )
        aside = When(attempts__gte=settings.MAX_ATTEMPTS - 1, then=Value(Status.SET_ASIDE))
        number = unsettled.update(
            status=Case(aside, default=Value(Status.PENDING)),
            attempts=F("attempts") + 1,
            available_at=clock.now(using, plus=settings.RETRY_SECONDS),
            claimed_by="",
            last_error=DIED,
        )
    logger.warning(
        "A process that held %s intents in %s died; they are tried again, each by itself",
        number,
        using,
        extra={"action": "claim_expired", "relation": None, "alias": using},
    )


def _decoded(rows: Iterable[tuple[Any, ...]]) -> list[HeldIntent]:
    found = list(rows)
    target_keys = json.loads(f"[{','.join(row[3] for row in found)}]")
    return [
        HeldIntent(
            pk,
            relation,
            source_alias,
            its_keys,
            new_keys and json.loads(new_keys),
            *others,
        )
        for (pk, relation, source_alias, _, new_keys, *others), its_keys in zip(
            found, target_keys, strict=True
        )
    ]
