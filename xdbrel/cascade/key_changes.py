"""What follows when the key of a target changes: the counterpart of SQL's ON UPDATE.

A relation says by ``on_update`` what its sources do: PROTECT refuses the change while there
are any, CASCADE lets them follow to the new key, DO_NOTHING leaves them. That a key changes
is seen by ``key_watch``. Sources follow at the same moments as after a delete (see
``dispatch``): an intent with the old and the new keys commits with the targets' UPDATE, and
is applied after that commit, at once where both sides are in transactions, or by the relay.

A delete applied twice finds nothing the second time. A key change may: two targets that
swapped keys would swap back. So each application leaves a receipt, a confirmed row of its
own, in the sources' database and transaction. Where there is one already, keys that a
living target has again are left alone, which is all that the second look is to do.

Key changes of one relation are applied in the order in which they were made: whoever
applies one first applies those before it that still wait. A target that went from *a* to *b*
makes room for one that goes from *c* to *a*.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from django.db import connections, models
from django.db.models import Case, ExpressionWrapper, F, Q, Value, When
from django.db.models.base import ModelState
from django.db.models.functions import Cast

from xdbrel import keys, placement, relations, routers, signals
from xdbrel.caching import uncached
from xdbrel.cascade import clock, graph, guard, intents, key_holders, pauses
from xdbrel.cascade.apply import Work, apply, in_transaction, without_living
from xdbrel.cascade.dispatch import hand_on
from xdbrel.cascade.savepoint import savepoint
from xdbrel.compat import on_commit_robustly
from xdbrel.conf import settings
from xdbrel.exceptions import KeyInUse
from xdbrel.models import CascadeIntent
from xdbrel.relations import handle_of

logger = logging.getLogger(__name__)

Status = CascadeIntent.Status

#: What the keys of targets became, by (field, alias of the sources).
Changes = dict[tuple[Any, str], dict[Any, Any]]

#: Most pairs in one statement: each row of the sources may be compared with all of them.
MOST_PAIRS = 500


def crossing(fields: Iterable[Any], using: str) -> list[tuple[Any, str]]:
    """Return those relations, with the sources' alias, that a change of keys on ``using`` meets.

    Those that let sources dangle are not among them.
    """
    found = []
    for field in fields:
        if field.on_update is models.DO_NOTHING:
            continue
        target = field.remote_field.model
        hint = _hint(target, using)
        alias = placement.home(field.model, instance=hint)
        if not placement.same_home(alias, using) and placement.same_home(
            placement.home(target, instance=hint), using
        ):
            found.append((field, alias))
    return found


def _hint(target: type[models.Model], using: str) -> models.Model:
    """Return what routers are given to tell tenants apart: some instance of that database."""
    # Not by __init__() or from_db(): a project's own may want to see values.
    hint = target.__new__(target)
    vars(hint).update(dict.fromkeys(field.attname for field in target._meta.concrete_fields))
    hint._state = ModelState()
    hint._state.db = using
    return hint


def changed(changes: Changes, using: str, targets_in_transaction: bool) -> None:
    """Let sources follow keys that were changed in the open transaction on ``using``.

    ``targets_in_transaction`` tells whether somebody else opened it. Raises ``KeyInUse``
    where a relation refuses.
    """
    with uncached():
        for (field, alias), pairs in changes.items():
            _judge(field, alias, pairs, using)
    following = {
        (field, alias): pairs
        for (field, alias), pairs in changes.items()
        if field.on_update is models.CASCADE
    }
    if following:
        set_off(following, using, targets_in_transaction)


def set_off(following: Changes, using: str, targets_in_transaction: bool) -> None:
    """Write down that these sources follow, and let them, whatever the relations say."""
    claim = write(following, using)
    written = time.monotonic()
    aliases = {alias for _, alias in following}
    at_once = {a for a in aliases if targets_in_transaction and in_transaction(a)}
    with ExitStack() as savepoints:
        if at_once:
            savepoints.enter_context(guard.beginning(using))
            for connection in connections.all(initialized_only=True):
                if connection.alias != using and in_transaction(connection.alias):
                    savepoints.enter_context(savepoint(connection.alias))
        for alias in aliases:
            mine = [intent for intent in claim.intents if intent.source_alias == alias]
            if alias in at_once:
                _apply(mine, using, at_once=True)
                held = intents.Claim(using, mine, claim.token)
                guard.followed(alias, [handle_of(f) for f, a in following if a == alias])
                guard.when_both_commit(using, alias, partial(intents.settle, held, mine))
            else:
                on_commit_robustly(
                    partial(_apply_after_commit, claim, mine, alias, written), using=using
                )


def write(changes: Changes, using: str) -> intents.Claim:
    """Write intents for changed keys, claimed by this process, and return the claim.

    Runs in the transaction that changes the keys.
    """
    token = uuid.uuid4().hex
    now, until = clock.now(using), clock.now(using, plus=settings.CLAIM_SECONDS)
    rows = [
        CascadeIntent(
            relation=handle_of(field),
            source_alias=alias,
            keys=_encode(part, field),
            new_keys=_encode(part.values(), field),
            deletion=intents.deletion_in_progress() or token,
            claimed_by=token,
            created_at=now,
            available_at=until,
        )
        for (field, alias), pairs in changes.items()
        for part in _parts(pairs)
    ]
    CascadeIntent.objects.using(using).bulk_create(rows)
    if not connections[using].features.can_return_rows_from_bulk_insert:
        rows = list(CascadeIntent.objects.using(using).filter(claimed_by=token).order_by("pk"))
    return intents.Claim(using, rows, token)


def apply_group(group: Iterable[intents.AnyIntent], using: str) -> int:
    """Apply key changes whose intents stand in ``using``; return how many sources moved.

    For the first time or again, in any order. Keys that a new target has taken meanwhile
    are left alone. Raises whatever a database raises; then the change that failed is
    rolled back, and those before it stay applied.
    """
    return _apply(group, using)


def catch_up(field: Any, target_keys: Iterable[Any], using: str, source_alias: str) -> int:
    """Apply the key changes of a relation that still wait and gave up one of ``target_keys``.

    For whoever is about to delete the sources of these keys: some may belong to a target
    that lives on under another one. Returns how many sources moved.
    """
    if field.on_update is not models.CASCADE:
        return 0
    wanted = set(_encode(target_keys, field))
    waiting = [
        intent
        for intent in _waiting(handle_of(field), using)
        if intent.source_alias == source_alias and not wanted.isdisjoint(intent.keys)
    ]
    return _apply(waiting, using)


def follow(field: Any, pairs: Mapping[Any, Any], using: str) -> int:
    """Give the sources of each old key in ``pairs`` the new one; return how many there were.

    All at a time, so that no source is moved twice where a new key is another one's old
    key: pairs that hang together share a statement, or are taken from their end. Runs in
    the caller's transaction on ``using``, the sources' database.
    """
    moved = 0
    column = field
    if getattr(field, "is_generic", False):
        # As the sources hold them, who may hold the keys of others as well.
        column = field.key_column
        pairs = dict(zip(field.held(pairs), field.held(pairs.values()), strict=True))
    size = min(MOST_PAIRS, keys.chunk_size(using, column, parameters=3, listed=True))
    for chunk in _chunks(pairs, size):
        sources = field.model._base_manager.using(using).filter(
            graph.holding(field, [old for old, _ in chunk])
        )
        new: Any
        if len(chunk) == 1:
            new = Value(chunk[0][1], output_field=column)
        else:
            new = Case(
                *(
                    When(Q(**{field.attname: old}), then=Value(new, output_field=column))
                    for old, new in chunk
                ),
                output_field=column,
            )
            if connections[using].features.requires_casted_case_in_updates:
                new = Cast(new, output_field=column)
        # Wrapped, so that verify=True does not ask for targets that may have moved on.
        moved += sources.update(**{field.attname: ExpressionWrapper(new, output_field=column)})
    return moved


def _judge(
    field: Any, alias: str, pairs: Mapping[Any, Any], using: str, above: tuple[Any, ...] = ()
) -> None:
    """Raise ``KeyInUse`` if sources of the old keys, or theirs in turn, refuse the change."""
    nulled = [old for old, new in pairs.items() if new is None]
    if field.on_update is models.PROTECT:
        _refuse_if_held(field, alias, pairs, list(pairs), using)
    elif field.on_update is models.CASCADE and not field.null and nulled:
        _refuse_if_held(field, alias, pairs, nulled, using)
    if field.on_update is models.CASCADE and field not in above:
        # The sources' column is about to change, and may be a key itself.
        for below, its_alias in crossing(key_holders.holders_of(field), alias):
            _judge(below, its_alias, pairs, alias, (*above, field))


def _refuse_if_held(
    field: Any, alias: str, pairs: Mapping[Any, Any], olds: list[Any], using: str
) -> None:
    rows = field.model._base_manager.using(alias).order_by()
    for chunk in keys.chunks(olds, keys.chunk_size(alias, field)):
        sources = rows.filter(keys.KeyIn(F(field.attname), chunk))
        found = sources.values_list("pk", field.attname).first()
        if found is not None:
            pk, old = found
            raise KeyInUse(
                handle_of(field),
                using=using,
                target=field.remote_field.model._meta.label,
                old=old,
                new=pairs.get(old),
                source=field.model._meta.label,
                source_alias=alias,
                sources=sources.filter(**{field.attname: old}).count(),
                first=pk,
            )


def _apply_after_commit(
    claim: intents.Claim, mine: list[intents.AnyIntent], alias: str, written: float
) -> None:
    held = intents.Claim(claim.using, mine, claim.token)
    if time.monotonic() - written > settings.CLAIM_SECONDS / 2 and not intents.renew(held):
        # The transaction outlived the lease: a relay has them, or will.
        return
    # The user's update has committed and must not fail for what another database says.
    try:
        paused = pauses.paused(claim.using)
        intents.release(held, [intent for intent in mine if intent.relation in paused])
        mine = [intent for intent in mine if intent.relation not in paused]
        _apply(mine, claim.using, just_made=True)
    except Exception as error:
        report_failure(mine, alias, error)
        intents.postpone(held, mine, error)
    else:
        settle = partial(intents.settle, held, mine)
        if connections[alias].in_atomic_block:
            # It may still be rolled back, without a word.
            on_commit_robustly(settle, using=alias)
        elif not in_transaction(alias):
            settle()


def report_failure(group: Iterable[intents.AnyIntent], alias: str, error: Exception) -> None:
    """Log and signal that sources could not follow; the intents are kept."""
    for intent in group:
        field: Any = relations.get(intent.relation).field
        logger.error(
            "%s: the sources of %s changed keys could not follow in %s, and the relay will try "
            "again: %s",
            intent.relation,
            len(intent.keys),
            alias,
            error,
            exc_info=error,
            extra={"action": "key_change_failed", "relation": intent.relation, "alias": alias},
        )
        signals.cascade_failed.send_robust(
            sender=field.model,
            relation=intent.relation,
            keys=_decode(intent.keys, field),
            using=alias,
            error=error,
        )


def _apply(
    group: Iterable[intents.AnyIntent],
    using: str,
    *,
    at_once: bool = False,
    just_made: bool = False,
) -> int:
    """Apply key changes, those before them that still wait first, each in one transaction.

    ``just_made``, or ``at_once`` in the very transaction: nobody can have taken the old keys
    but in what the same block did after it.
    """
    ordered: dict[Any, intents.AnyIntent] = {intent.pk: intent for intent in group}
    fresh = set(ordered) if at_once or just_made else set()
    by_relation: dict[str, int] = {}
    for pk, intent in ordered.items():
        by_relation[intent.relation] = max(pk, by_relation.get(intent.relation, pk))
    for handle, last in by_relation.items():
        for intent in _waiting(handle, using):
            if intent.pk < last:
                ordered.setdefault(intent.pk, intent)
    moved = 0
    for pk in sorted(ordered):
        moved += _apply_one(ordered[pk], using, fresh=pk in fresh)
    return moved


def _apply_one(intent: intents.AnyIntent, using: str, *, fresh: bool) -> int:
    relation = relations.get(intent.relation)
    field: Any = relation.field
    alias = intent.source_alias
    if alias not in connections.settings:
        alias = relation.source_home
    pairs = dict(zip(_decode(intent.keys, field), _decode(intent.new_keys, field), strict=True))
    # atomic() on a connection that cannot be made leaves a cache layer's state behind.
    connections[alias].ensure_connection()
    receipt = _receipt(intent, using)
    receipts = CascadeIntent.objects.using(alias)
    with uncached(), intents.belonging_to(intent.deletion), savepoint(alias):
        receipt.applied_at = clock.now(alias)
        # Of two processes at a time one waits here for the other.
        receipts.bulk_create([receipt], ignore_conflicts=True)
        again = not receipts.filter(pk=receipt.pk, claimed_by=receipt.claimed_by).exists()
        if again or not fresh:
            pairs = _without_reused(intent, field, pairs, using, again=again)
        moved = follow(field, pairs, alias)
    routers.note_write(alias)
    if not fresh:
        moved += _delete_with_the_deleted(intent, field, pairs, using, alias)
    return moved


def _receipt(intent: intents.AnyIntent, using: str) -> CascadeIntent:
    """Return the row that says in the sources' database that ``intent`` was applied there.

    Its primary key is negative, as no other's is, and the same whoever works it out.
    """
    name = f"{using} {intent.pk} {intent.relation} {intent.deletion}"
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return CascadeIntent(
        pk=-(int.from_bytes(digest) >> 2) - 1,
        relation=intent.relation,
        source_alias=intent.source_alias,
        keys=[],
        new_keys=[],
        deletion=intent.deletion,
        claimed_by=uuid.uuid4().hex,
        status=Status.CONFIRMED,
    )


def _without_reused(
    intent: intents.AnyIntent, field: Any, pairs: dict[Any, Any], using: str, *, again: bool
) -> dict[Any, Any]:
    """Leave out old keys that a target has again: the sources there are its own by now.

    For the first time that is not said of a target which came to the key by a change of
    its own: its sources follow after these.
    """
    gone = set(without_living({field: list(pairs)}, using)[field])
    taken = set(pairs) - gone
    if taken and not again:
        moved_in = set(pairs.values())
        if not taken <= moved_in:
            later = CascadeIntent.objects.using(using).filter(
                relation=intent.relation, pk__gt=intent.pk, new_keys__isnull=False
            )
            for new_keys in later.values_list("new_keys", flat=True):
                moved_in.update(_decode(new_keys, field))
        taken -= moved_in
    return {old: new for old, new in pairs.items() if old not in taken}


def _delete_with_the_deleted(
    intent: intents.AnyIntent, field: Any, pairs: dict[Any, Any], using: str, alias: str
) -> int:
    """Let sources that came too late go with targets that were deleted after their change."""
    new_keys = [new for new in pairs.values() if new is not None]
    dead = set(without_living({field: new_keys}, using)[field])
    if not dead:
        return 0
    deletions = CascadeIntent.objects.using(using).filter(
        relation=intent.relation, pk__gt=intent.pk, new_keys__isnull=True
    )
    with uncached():
        deleted = {
            key
            for their_keys in deletions.values_list("keys", flat=True)
            for key in _decode(their_keys, field)
            if key in dead
        }
    if not deleted:
        return 0
    work = Work(alias, {field: list(deleted)}, deletion=intent.deletion, again=True)
    return sum(apply(work, hand_on).values())


def _waiting(handle: str, using: str) -> list[CascadeIntent]:
    """Return the key changes of a relation that are not applied yet, whoever holds them."""
    with uncached():
        return list(
            CascadeIntent.objects.using(using)
            .filter(
                Q(status=Status.PENDING) | Q(status=Status.SET_ASIDE),
                relation=handle,
                new_keys__isnull=False,
            )
            .order_by("pk")
        )


def _parts(pairs: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
    """Yield pairs as intents hold them: many apart, and those that hang together in one."""
    if pairs.keys().isdisjoint(pairs.values()):
        for chunk in keys.chunks(pairs.items(), settings.INTENT_KEYS):
            yield dict(chunk)
    else:
        yield pairs


def _chunks(pairs: Mapping[Any, Any], size: int) -> Iterator[list[tuple[Any, Any]]]:
    """Yield pairs by statement: what moves on before what takes its place, circles whole."""
    chunk: list[tuple[Any, Any]] = []
    for unit in _units(pairs):
        if chunk and len(chunk) + len(unit) > size:
            yield chunk
            chunk = []
        chunk = chunk + unit
    if chunk:
        yield chunk


def _units(pairs: Mapping[Any, Any]) -> Iterator[list[tuple[Any, Any]]]:
    """Yield each pair after the one that its new key is the old key of; a circle as one."""
    left = dict(pairs)
    taken = set(pairs.values())
    for start in [*(old for old in pairs if old not in taken), *pairs]:
        path = []
        key = start
        while key in left:
            path.append((key, left.pop(key)))
            key = path[-1][1]
        if path and key == start:
            yield path
        else:
            for pair in reversed(path):
                yield [pair]


def _encode(values: Iterable[Any], field: Any) -> list[Any]:
    column = field.target_field
    return [None if value is None else keys.encode([value], column)[0] for value in values]


def _decode(values: Sequence[Any] | None, field: Any) -> list[Any]:
    return keys.decode(values or [], field.target_field)
