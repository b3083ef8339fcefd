"""One application: the sources of deleted targets follow, in their own database.

What is one transaction and what are several is for ``steps``.
Applying is idempotent: it looks for sources anew by the targets' keys and finds none the
second time. In-process deletes, the relay and its retries all come through ``apply``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models
from django.db.models import F
from django.db.models.deletion import Collector

from xdbrel import keys, routers, signals
from xdbrel.caching import uncached
from xdbrel.cascade import bulk, graph
from xdbrel.cascade.capture import Capture, Planned
from xdbrel.cascade.intents import belonging_to
from xdbrel.cascade.steps import Pace, Steps
from xdbrel.conf import settings
from xdbrel.relations import handle_of

#: Rows by model label that the delete in progress has taken elsewhere, if it counts them.
_tally: ContextVar[Counter[str] | None] = ContextVar("xdbrel_tally", default=None)

#: Aliases whose transaction was opened here: to everybody else they are in autocommit.
_own: ContextVar[frozenset[str]] = ContextVar("xdbrel_own_transactions", default=frozenset())

#: What is being deleted around this application: pks by (alias, model), keys by field.
_doomed: ContextVar[tuple[Doomed, ...]] = ContextVar("xdbrel_doomed", default=())


#: Takes over what hangs on the sources in yet other databases: keys of sources that the
#: transaction of the capture has deleted; then the origin.
HandOn = Callable[[Planned, Capture, Any], None]


@dataclass(frozen=True)
class Doomed:
    """What goes on further out: instances about to be deleted, keys being followed by field.

    Databases that point at each other would otherwise delete in circles.
    """

    using: str
    pks: Mapping[type[models.Model], set[Any]]
    keys: Mapping[Any, set[Any]]


@dataclass
class Work:
    """What one application is to do in one database: keys of deleted targets by field.

    ``targets`` holds the deleted targets where somebody will ask a source for its own.
    ``origin`` is what Django's signals give as theirs. ``deletion`` is what began it all,
    and ``again`` tells that this is the second look.
    """

    using: str
    keys: dict[Any, list[Any]]
    origin: Any = None
    targets: dict[Any, dict[Any, models.Model]] = field(default_factory=dict)
    deletion: str = ""
    again: bool = False


def apply(work: Work, hand_on: HandOn, pace: Pace | None = None) -> Counter[str]:
    """Do the work, at the ``pace`` given, or in one transaction (a savepoint inside one).

    ``hand_on`` is called inside the transaction that deletes sources, for relations from
    yet another database to them. Returns rows by model label. Raises whatever a database
    or a receiver raises, and ``Unfinished`` when the pace ends it; then the step that
    failed is rolled back, and what went before stays done.
    """
    connection = connections[work.using]
    # atomic() on a connection that cannot be made leaves a cache layer's state behind.
    connection.ensure_connection()
    doing = {
        relation: _not_in_progress(relation, target_keys)
        for relation, target_keys in work.keys.items()
    }
    busy = Doomed(work.using, {}, {relation: set(wanted) for relation, wanted in doing.items()})
    steps = Steps(
        work.using,
        None if in_transaction(work.using) else pace,
        lambda further, capture: hand_on(further, capture, work.origin),
        further=any(graph.goes_further(relation.model) for relation in doing),
    )
    try:
        with (
            nullcontext() if connection.in_atomic_block else as_autocommit(work.using),
            uncached(),
            dooming(busy),
            belonging_to(work.deletion),
            steps,
        ):
            _follow(work, doing, steps)
    finally:
        # No router hears of what using() writes, and whoever deleted wants to see it gone.
        routers.note_write(work.using)
        tally = _tally.get()
        if tally is not None:
            tally.update(steps.counts)
    if steps.rows or not work.again:
        for relation, target_keys in work.keys.items():
            signals.cascade_applied.send_robust(
                sender=relation.model,
                relation=handle_of(relation),
                keys=target_keys,
                using=work.using,
                counts=dict(steps.counts),
            )
    return steps.counts


def _follow(work: Work, doing: dict[Any, list[Any]], steps: Steps) -> None:
    instances = {}
    for relation, wanted in doing.items():
        if not bulk.applicable(relation):
            instances[relation] = wanted
            continue
        spared = _spared(work.using, relation.model)
        for chunk in keys.chunks(wanted, keys.chunk_size(work.using, relation)):
            bulk.follow(relation, chunk, steps, spared)
    if instances:
        _collect(work, instances, steps)


def _collect(work: Work, wanted: dict[Any, list[Any]], steps: Steps) -> None:
    """Let Django's collectors delete: with signals, nested cascades and their order.

    One collector has all the sources, unless they are too many for one step. Where some
    may be restricted by others it has them all the same: only together are they judged.
    """
    using = work.using
    matching = [
        (relation, chunk, bulk.sources(relation, chunk, using, _spared(using, relation.model)))
        for relation, target_keys in wanted.items()
        for chunk in keys.chunks(target_keys, keys.chunk_size(using, relation))
    ]
    most = min(steps.most, settings.CHUNK_SIZE) if steps.most else None
    if most is not None and not any(graph.reaches_veto(field.model) for field in wanted):
        left = most
        for _, _, sources in matching:
            left -= bulk.count(sources, left)
            if left < 0:
                break
        if left < 0:
            for relation, chunk, _ in matching:
                spared = _spared(using, relation.model)
                for rows in bulk.pages(relation, chunk, ("pk",), using, most, spared):
                    page = bulk.sources(relation, chunk, using, spared)
                    page = page.filter(keys.KeyIn(F("pk"), [pk for (pk,) in rows]))
                    _delete_collected(work, [(relation, page)], steps, len(rows))
            return
    _delete_collected(work, [(relation, sources) for relation, _, sources in matching], steps)


def _delete_collected(
    work: Work, matching: list[tuple[Any, Any]], steps: Steps, rows: int = 0
) -> None:
    collector = Collector(using=work.using, origin=work.origin)
    for relation, sources in matching:
        graph.carry_out(graph.policy_of(relation), collector, relation, sources, work.using)
        known = work.targets.get(relation, {})
        if known:
            for source in collector.data.get(relation.model, ()):
                target = known.get(graph.key_held(relation, source))
                if target is not None:
                    relation.set_cached_value(source, target)
    deleted, counts = collector.delete()
    steps.counts.update(counts)
    steps.took(max(rows, deleted))
    steps.rest()


@contextmanager
def tallying() -> Iterator[Counter[str] | None]:
    """Count what is applied inside the block; None where a block further out counts it."""
    if _tally.get() is not None:
        yield None
        return
    counter: Counter[str] = Counter()
    previous = _tally.set(counter)
    try:
        yield counter
    finally:
        _tally.reset(previous)


@contextmanager
def dooming(doomed: Doomed) -> Iterator[None]:
    """Spare, inside the block, what a delete further out deletes itself (cycles end there)."""
    previous = _doomed.set((*_doomed.get(), doomed))
    try:
        yield
    finally:
        _doomed.reset(previous)


@contextmanager
def as_autocommit(alias: str) -> Iterator[None]:
    """Let a transaction that the block opens on ``alias`` count as autocommit to everybody."""
    previous = _own.set(_own.get() | {alias})
    try:
        yield
    finally:
        _own.reset(previous)


def in_transaction(alias: str) -> bool:
    """Tell whether ``alias`` is in a transaction that somebody else will commit."""
    connection = connections[alias]
    if alias in _own.get():
        return False
    if connection.connection is None and not connection.in_atomic_block:
        # To ask would be to connect, and no delete fails for sources that are away.
        return not connection.settings_dict["AUTOCOMMIT"]
    return connection.in_atomic_block or not connection.get_autocommit()


def without_living(wanted: dict[Any, list[Any]], using: str) -> dict[Any, list[Any]]:
    """Return keys by field without those that target rows on ``using`` have (again).

    Keys can be used again; the sources then belong to the new row. Relations to the same
    target with the same keys share a query.
    """
    living: dict[tuple[Any, ...], set[Any]] = {}
    left = {}
    for relation, target_keys in wanted.items():
        question = (relation.target_field, tuple(target_keys))
        if question not in living:
            living[question] = _living(relation, target_keys, using)
        alive = living[question]
        left[relation] = [key for key in target_keys if key not in alive]
    return left


def _living(relation: Any, target_keys: Sequence[Any], using: str) -> set[Any]:
    target = relation.remote_field.model
    column = relation.target_field
    found: set[Any] = set()
    with uncached():
        for chunk in keys.chunks(target_keys, keys.chunk_size(using, column)):
            found.update(
                target._base_manager.using(using)
                .filter(keys.KeyIn(F(column.attname), chunk))
                .values_list(column.attname, flat=True)
            )
    return found


def _not_in_progress(relation: Any, target_keys: list[Any]) -> list[Any]:
    busy: set[Any] = set()
    for doomed in _doomed.get():
        busy.update(doomed.keys.get(relation, ()))
    return [key for key in target_keys if key not in busy] if busy else target_keys


def _spared(using: str, model: type[models.Model]) -> Any:
    pks: set[Any] = set()
    for doomed in _doomed.get():
        if doomed.using == using:
            pks.update(doomed.pks.get(graph.concrete(model), ()))
    return keys.KeyIn(F("pk"), list(pks)) if pks else None
