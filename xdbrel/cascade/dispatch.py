"""The moment of deletion: intents are written, and cascades applied at once or on commit.

Two things must hold whatever fails. If the targets' delete commits, its cascade happens:
the intents commit with it, and whoever comes next can finish. If it rolls back, nothing
has changed elsewhere: nothing is applied before the commit, but for one case.

================== =================== ===============================================
targets' database  sources' database   the cascade is applied
================== =================== ===============================================
autocommit         any                 in the same call, right after the commit
in a transaction   autocommit          on the targets' commit
in a transaction   in a transaction    at once, in the sources' open transaction, so
                                       that the block sees its own effect; the intent
                                       replays it if only the sources' side rolls back
================== =================== ===============================================

In the last case ``guard`` keeps the sources' side from being committed once the targets'
has been rolled back. What it cannot see is a targets' side that rolls back later:
``xdbrel.atomic`` lets that one commit first, after which nothing can be lost.
"""

from __future__ import annotations

import copy
import logging
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

from django.db import connections, models, transaction
from django.db.models.deletion import Collector

from xdbrel import signals
from xdbrel.cascade import graph, guard, intents, pauses
from xdbrel.cascade.apply import (
    Doomed,
    Work,
    apply,
    dooming,
    in_transaction,
    tallying,
    without_living,
)
from xdbrel.cascade.capture import Capture, Planned, capturing
from xdbrel.cascade.outcome import Deletion, DeletionCounts
from xdbrel.cascade.savepoint import savepoint
from xdbrel.cascade.steps import Pace, Unfinished
from xdbrel.compat import on_commit_robustly
from xdbrel.conf import settings
from xdbrel.relations import handle_of

logger = logging.getLogger(__name__)

#: Applies key changes of a relation that wait, before sources at these keys are deleted:
#: ``(field, keys, targets' alias, sources' alias)``; set by the app's ``ready()``.
catch_up: Callable[[Any, Iterable[Any], str, str], int] | None = None


def delete(root: Collector, planned: Planned) -> tuple[int, dict[str, int]]:
    """Delete what ``root`` collected, and let the sources in other databases follow.

    Stands in for the ``delete()`` of the one collector that has a plan. Returns what
    Django's returns, with the rows that this call has deleted elsewhere counted in.
    """
    using = root.using
    django_delete = type(root).delete
    if not planned:
        return django_delete(root)
    connections[using].ensure_connection()
    targets_in_transaction = in_transaction(using)
    deletion = intents.deletion_in_progress() or uuid.uuid4().hex
    with (
        tallying() as tally,
        intents.belonging_to(deletion),
        transaction.atomic(using=using, savepoint=False),
        ExitStack() as savepoints,
    ):
        at_once = {
            alias for _, alias in planned if targets_in_transaction and in_transaction(alias)
        }
        if at_once:
            # If the targets cannot be deleted after all, what was applied goes back.
            savepoints.enter_context(guard.beginning(using))
            for connection in connections.all(initialized_only=True):
                if connection.alias != using and in_transaction(connection.alias):
                    savepoints.enter_context(savepoint(connection.alias))
        pks = {
            graph.concrete(model): {obj.pk for obj in objs} for model, objs in root.data.items()
        }
        targets = _heard_targets(root, planned)
        with dooming(Doomed(using, pks, {})):
            _follow_at_once(planned, using, root.origin, at_once, targets)
        with capturing(using) as capture:
            deleted, counts = django_delete(root)
            _leave_intents(planned, capture, root.origin, at_once, targets)
    counts = DeletionCounts(counts.items(), using, deletion)
    for label, number in (tally or {}).items():
        if number:
            counts[label] = counts.get(label, 0) + number
            deleted += number
    return Deletion((deleted, counts))


def hand_on(planned: Planned, capture: Capture, origin: Any) -> None:
    """Let follow what hangs on rows that the open transaction of ``capture`` has deleted."""
    using = capture.using
    at_once = {alias for _, alias in planned if in_transaction(using) and in_transaction(alias)}
    _follow_at_once(planned, using, origin, at_once, {})
    _leave_intents(planned, capture, origin, at_once, {})


def _follow_at_once(
    planned: Planned,
    using: str,
    origin: Any,
    at_once: set[str],
    targets: dict[Any, dict[Any, models.Model]],
) -> None:
    """Tell what is planned, and apply what belongs into the sources' own open transactions."""
    for (field, _), target_keys in planned.items():
        signals.cascade_planned.send_robust(
            sender=field.model, relation=handle_of(field), keys=target_keys, using=using
        )
    for work in _works(planned, origin, targets):
        if work.using in at_once:
            apply(work, hand_on)
            guard.followed(work.using, [handle_of(field) for field in work.keys])


def _leave_intents(
    planned: Planned,
    capture: Capture,
    origin: Any,
    at_once: set[str],
    targets: dict[Any, dict[Any, models.Model]],
) -> None:
    """Write the intents; what is not applied yet is applied on commit."""
    using = capture.using
    claim, unplanned = capture.write(planned)
    if unplanned:
        # The database itself has deleted more, by a foreign key of its own.
        _follow_at_once(unplanned, using, origin, at_once, {})
        planned = {
            place: [*planned.get(place, ()), *unplanned.get(place, ())]
            for place in {**planned, **unplanned}
        }
    written = time.monotonic()
    for work in _works(planned, origin, targets):
        mine = [intent for intent in claim.intents if intent.source_alias == work.using]
        if work.using in at_once:
            guard.when_both_commit(using, work.using, partial(intents.settle, claim, mine))
        else:
            on_commit_robustly(
                partial(_apply_after_commit, claim, mine, work, written), using=using
            )


def _works(
    planned: Planned, origin: Any, targets: dict[Any, dict[Any, models.Model]]
) -> list[Work]:
    """Return what is to be done, for each database of sources."""
    works: dict[str, Work] = {}
    for (field, alias), target_keys in planned.items():
        deletion = intents.deletion_in_progress()
        work = works.setdefault(alias, Work(alias, {}, origin, targets, deletion))
        work.keys[field] = target_keys
    return list(works.values())


def _apply_after_commit(
    claim: intents.Claim, mine: list[intents.AnyIntent], work: Work, written: float
) -> None:
    held = intents.Claim(claim.using, mine, claim.token)
    if time.monotonic() - written > settings.CLAIM_SECONDS / 2 and not intents.renew(held):
        # The transaction outlived the lease: a relay has them, or will.
        return
    pace = Pace.after(0, keep=partial(_keep, held, [time.monotonic()]))
    # The user's delete has committed and must not fail for what another database says:
    # any error here is recorded with the intent, and the relay tries again.
    try:
        mine = _without_paused(held, mine, work)
        if catch_up is not None:
            for field, target_keys in work.keys.items():
                catch_up(field, target_keys, claim.using, work.using)
        work.keys = without_living(work.keys, claim.using)
        apply(work, hand_on, pace)
    except Unfinished:
        # A relay thought this process dead and has taken over.
        return
    except Exception as error:
        report_failure(work, error)
        intents.postpone(held, mine, error)
    else:
        # Inside somebody's open transaction it may still be rolled back, without a word.
        _when_committed(work.using, partial(intents.settle, held, mine))


def _without_paused(
    held: intents.Claim, mine: list[intents.AnyIntent], work: Work
) -> list[intents.AnyIntent]:
    """Give back the intents of paused relations, and leave them out of ``work``."""
    paused = pauses.paused(held.using)
    if not paused:
        return mine
    work.keys = {
        field: wanted for field, wanted in work.keys.items() if handle_of(field) not in paused
    }
    intents.release(held, [intent for intent in mine if intent.relation in paused])
    return [intent for intent in mine if intent.relation not in paused]


def _keep(held: intents.Claim, renewed: list[float]) -> bool:
    """Renew the lease in good time; False if somebody else has taken over."""
    if time.monotonic() - renewed[0] < settings.CLAIM_SECONDS / 3:
        return True
    renewed[0] = time.monotonic()
    return intents.renew(held)


def _when_committed(alias: str, call: partial[None]) -> None:
    """Call when the transaction on ``alias`` commits; now where there is none.

    Without autocommit and outside atomic() Django tells nobody of a commit: then it is
    never called, and the relay finds out.
    """
    if connections[alias].in_atomic_block:
        on_commit_robustly(call, using=alias)
    elif not in_transaction(alias):
        call()


def report_failure(work: Work, error: Exception) -> None:
    """Log and signal that a cascade could not be applied; its intents are kept."""
    for field, target_keys in work.keys.items():
        handle = handle_of(field)
        logger.error(
            "%s: the cascade of %s deleted targets could not be applied in %s and will be "
            "tried again by the relay: %s",
            handle,
            len(target_keys),
            work.using,
            error,
            exc_info=error,
            extra={"action": "cascade_failed", "relation": handle, "alias": work.using},
        )
        signals.cascade_failed.send_robust(
            sender=field.model, relation=handle, keys=target_keys, using=work.using, error=error
        )


def _heard_targets(root: Collector, planned: Planned) -> dict[Any, dict[Any, models.Model]]:
    """Return copies of the targets, by key, for relations whose sources somebody listens to.

    A receiver asks an instance for its target, whose row is gone by then; the instance that
    Django collected loses its key when the delete is done.
    """
    heard: dict[Any, dict[Any, models.Model]] = {}
    for field, _ in planned:
        if graph.has_listeners(field.model):
            attname = field.target_field.attname
            heard[field] = {
                getattr(obj, attname): copy.copy(obj)
                for model, objs in root.data.items()
                if issubclass(model, graph.concrete(field.remote_field.model))
                for obj in objs
            }
    return heard
