"""Relations whose intents wait until somebody resumes them.

A pause is a row beside the intents, in the home of the relation's targets: whoever claims
intents there reads it there, and one database that is away holds up no other. What a pause
means to a claim is for ``intents`` and ``dispatch``; here it is set, lifted and read.
"""

from __future__ import annotations

import logging

from django.db import Error, connections
from django.db.models import F

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.cascade import clock
from xdbrel.conf import settings
from xdbrel.exceptions import PauseFailed
from xdbrel.models import CascadeIntent, PausedRelation
from xdbrel.relations import Relation

logger = logging.getLogger(__name__)

Status = CascadeIntent.Status


def pause(relation: Relation, *, using: str | None = None) -> bool:
    """Let the intents of ``relation`` wait; False if they do already.

    What a process has claimed before is still applied. ``using`` is where the intents stand,
    if not in the home of the targets: a tenant's database. Raises ``PauseFailed`` where that
    database does not take the row.
    """
    alias = using or relation.target_home
    try:
        with uncached():
            # get_or_create() opens a transaction, which on a connection that cannot be made
            # leaves a cache layer's state behind.
            connections[alias].ensure_connection()
            _, changed = PausedRelation.objects.using(alias).get_or_create(
                relation=relation.handle
            )
    except Error as error:
        raise PauseFailed(relation.handle, alias, "paused", error) from error
    if changed:
        _log("%s is paused in %s", "relation_paused", relation.handle, alias)
    return changed


def resume(relation: Relation, *, using: str | None = None) -> bool:
    """Let the intents of ``relation`` be applied again; False if they were not paused.

    ``using`` is as for ``pause()``. Raises ``PauseFailed`` where that database does not
    answer.
    """
    return lift(relation.handle, using=using or relation.target_home)


def lift(handle: str, *, using: str) -> bool:
    """Resume by handle in database ``using``: the relation itself may be gone from the code."""
    try:
        with uncached():
            connections[using].ensure_connection()
            stood = PausedRelation.objects.using(using).filter(relation=handle)
            changed = bool(stood._raw_delete(using))
            if changed:
                _make_due(handle, using)
    except Error as error:
        raise PauseFailed(handle, using, "resumed", error) from error
    if changed:
        _log("%s is resumed in %s", "relation_resumed", handle, using)
    return changed


def _make_due(handle: str, using: str) -> None:
    """Let what claims have put off meanwhile be due, walked by primary key."""
    now = clock.now(using)
    # A second look is still not to be taken before its time.
    later = clock.now(using, plus=settings.SECOND_LOOK_SECONDS)
    rows = CascadeIntent.objects.using(using)
    size = keys.chunk_size(using, CascadeIntent._meta.pk)
    for status, due in ((Status.PENDING, now), (Status.APPLIED, later)):
        waiting = rows.filter(status=status, relation=handle, claimed_by="", available_at__gt=now)
        pks = list(waiting.order_by("pk").values_list("pk", flat=True)[:size])
        while pks:
            rows.filter(keys.KeyIn(F("pk"), pks), status=status).update(available_at=due)
            further = waiting.filter(pk__gt=pks[-1]).order_by("pk")
            pks = list(further.values_list("pk", flat=True)[:size])


def paused(using: str) -> set[str]:
    """Return the handles of the relations whose intents in database ``using`` wait."""
    with uncached():
        return set(PausedRelation.objects.using(using).values_list("relation", flat=True))


def _log(message: str, action: str, handle: str, alias: str) -> None:
    logger.info(
        message, handle, alias, extra={"action": action, "relation": handle, "alias": alias}
    )
