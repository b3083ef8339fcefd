"""The order of a move: plan, look for collisions, copy, verify, remove.

Owns nothing but that order; each step is a module of its own. What has to hold: until the
last step the source has every row, and no step removes what was not read back from the
destination. A call that was cut short is gone on with by the same call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, models

from xdbrel import placement, relations
from xdbrel.caching import uncached
from xdbrel.cascade.graph import concrete
from xdbrel.exceptions import HomeError
from xdbrel.moving import collisions, plan, record, renumber, sequences
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.carrying.copy import copy
from xdbrel.moving.carrying.gone import delete_gone
from xdbrel.moving.carrying.verify import verify
from xdbrel.moving.exceptions import CannotMove, RowsCollide, StillWritten
from xdbrel.moving.parts import is_captured
from xdbrel.moving.plan import Plan
from xdbrel.moving.record import Record, Status
from xdbrel.moving.removal import Remover
from xdbrel.moving.result import Collision, MoveProgress, MoveResult
from xdbrel.tracing import watched

logger = logging.getLogger(__name__)

#: Rows in one batch.
BATCH = 1_000
#: How often rows that were changed while they were to be removed are copied again.
ROUNDS = 5


@watched("move")
def move(
    what: Any,
    to: str,
    *,
    using: str | None = None,
    along: Iterable[Any] = (),
    renumber: bool = False,
    keep_source: bool = False,
    headroom: int = 0,
    dry_run: bool = False,
    batch_size: int = BATCH,
    actor: str | None = None,
    options: Mapping[str, Any] | None = None,
    on_progress: Callable[[MoveProgress], None] | None = None,
) -> MoveResult:
    """Do what ``xdbrel.move`` says; ``options`` are kept for whoever goes on with it."""
    began = time.perf_counter()
    roots = querysets(what)
    source = using or source_of(roots, to)
    with uncached():
        planned = plan.make(roots, source, to, along)
        if dry_run:
            return _looked(planned, batch_size, renumber, began)
        held = record.begin(planned, actor=actor, options=options or {})
        with ending(held):
            _take_up(planned, held)
            renumbered: dict[str, int] = {}
            if not held.batches().exists():
                renumbered = _make_room(planned, held, batch_size, renumber)
            carrier = carrier_of(planned, held, batch_size, on_progress)
            status = held.row.status
            if status == Status.REMOVING and keep_source:
                raise planned.refusal(
                    "the source's rows are being removed already",
                    "Finish the move: the same call without keep_source (--keep-source).",
                )
            if status != Status.REMOVING:
                going_on = status == Status.COPYING
                _copy(carrier, headroom, both_ways=keep_source, going_on=going_on)
            if not keep_source:
                _remove(carrier, headroom)
            held.end(Status.KEPT if keep_source else Status.COMPLETE)
    return _done(planned, held, carrier, renumbered, began)


def querysets(what: Any) -> list[models.QuerySet[Any]]:
    """Return what is to be moved as querysets."""
    if isinstance(what, (list, tuple)):
        return [one for part in what for one in querysets(part)]
    if isinstance(what, models.Manager):
        return [what.all()]
    if isinstance(what, models.QuerySet):
        return [what]
    if isinstance(what, type) and issubclass(what, models.Model):
        # Whatever its managers hide.
        return [models.QuerySet(what)]
    raise TypeError(f"move() takes querysets or models, not {what!r}.")


def source_of(roots: Sequence[models.QuerySet[Any]], to: str) -> str:
    """Return where the rows are: as a queryset names it, or by the routers."""
    for root in roots:
        named: str | None = vars(root)["_db"]
        if named is not None:
            return named
    home = placement.home(concrete(roots[0].model))
    if to and placement.same_home(home, to):
        raise CannotMove(
            roots[0].model._meta.label,
            home,
            to,
            "both are the same database",
            "The routers send it there already: name where the rows are, by using= (--from).",
        )
    return home


def _looked(planned: Plan, size: int, renumbering: bool, began: float) -> MoveResult:
    found = [collision for _, collision, _ in collisions.find(planned.parts, size)]
    if renumbering:
        found = [one for one in found if one.fields != collisions.PRIMARY_KEY]
    row = record.unfinished(planned.label, planned.source)
    return MoveResult(
        model=planned.label,
        using=planned.source,
        to=planned.destination,
        status="planned",
        dry_run=True,
        counts={part.label: part.chosen.count() for part in planned.parts},
        # What an unfinished move has copied is there, and is no collision.
        collisions=[] if row is not None else found,
        left_crossing=_left_crossing(planned),
        run_id=row.pk if row is not None else 0,
        seconds=time.perf_counter() - began,
    )


def _take_up(planned: Plan, held: Record) -> None:
    for part in planned.parts:
        # As it was before the first row was copied.
        part.shared = held.row.tables.get(part.label, part.shared)


def _make_room(planned: Plan, held: Record, size: int, renumbering: bool) -> dict[str, int]:
    """Raise ``RowsCollide``, or give what collides new keys; return how many, by model."""
    found: list[Collision] = []
    renumbered: dict[str, int] = {}
    for part, collision, colliding in collisions.find(planned.parts, size, held.keep):
        if renumbering and collision.fields == collisions.PRIMARY_KEY:
            renumbered[part.label] = renumber.renumber(planned, part, colliding, held.keep)
        else:
            found.append(collision)
    if found:
        held.end(Status.ABANDONED)
        raise RowsCollide(planned.destination, found)
    return renumbered


def carrier_of(
    planned: Plan,
    held: Record,
    size: int,
    on_progress: Callable[[MoveProgress], None] | None,
) -> Carrier:
    """Return what a process needs to write rows to either end."""

    def tell(model: str, step: str, rows: int) -> None:
        logger.debug(
            "%s rows of %s: %s",
            rows,
            model,
            step,
            extra={
                "action": f"move_{step}",
                "relation": None,
                "model": model,
                "alias": planned.destination,
                "rows": rows,
            },
        )
        if on_progress is not None:
            on_progress(MoveProgress(model, step, rows))

    return Carrier(
        plan=planned,
        record=held,
        size=size,
        switched=is_switched(planned),
        captured={alias: is_captured(alias) for alias in (planned.source, planned.destination)},
        tell=tell,
    )


def is_switched(planned: Plan) -> bool:
    """Tell whether the routers send writes of the rows to the destination."""
    try:
        home = placement.home(planned.roots[0])
    except HomeError:
        return False
    return placement.same_home(home, planned.destination)


def _copy(
    carrier: Carrier, headroom: int, *, both_ways: bool = False, going_on: bool = False
) -> None:
    for group in carrier.plan.groups:
        copy(carrier, group, both_ways=both_ways, going_on=going_on)
    for group in reversed(carrier.plan.groups):
        delete_gone(carrier, group)
    counts, checksums = {}, {}
    for part in carrier.plan.parts:
        counts[part.label], checksums[part.label] = verify(carrier, part)
        sequences.carry_over(part, headroom=headroom)
    if carrier.record.row.status != Status.REMOVING:
        carrier.record.keep(counts=counts, checksums=checksums)


def _remove(carrier: Carrier, headroom: int) -> None:
    """Remove what was copied; copy and remove again what was written meanwhile."""
    remover = Remover(carrier)
    carrier.record.keep(status=Status.REMOVING)
    for _ in range(ROUNDS):
        remover.refused = carrier.refused = None
        gone = [remover.remove(group) for group in reversed(carrier.plan.groups)]
        if all(gone) and all(map(remover.is_empty, carrier.plan.parts)):
            return
        _copy(carrier, headroom)
    raise (
        remover.refused or carrier.refused or StillWritten(carrier.plan.label, carrier.plan.source)
    )


def _done(
    planned: Plan, held: Record, carrier: Carrier, renumbered: Mapping[str, int], began: float
) -> MoveResult:
    result = MoveResult(
        model=planned.label,
        using=planned.source,
        to=planned.destination,
        status=str(held.row.status),
        dry_run=False,
        counts=held.row.counts,
        copied=carrier.figures.copied,
        carried=carrier.figures.carried,
        removed=carrier.figures.removed,
        checksums=held.row.checksums,
        renumbered=renumbered,
        left_crossing=_left_crossing(planned),
        notes=list(_notes(planned, held)),
        run_id=held.row.pk,
        resumed=held.row.resumed,
        seconds=time.perf_counter() - began,
    )
    logger.info(
        "Moved %s from %s to %s: %s rows copied, %s carried over, %s removed",
        result.model,
        result.using,
        result.to,
        result.copied,
        result.carried,
        result.removed,
        extra={
            "action": "move",
            "relation": None,
            "model": result.model,
            "alias": result.to,
            "rows": result.rows,
            "status": result.status,
        },
    )
    return result


def _left_crossing(planned: Plan) -> list[str]:
    """Return the relations that point at what goes and stay where they are."""
    going = {part.model for part in planned.parts}
    return [
        relation.handle
        for relation in relations.all_relations()
        if concrete(relation.target) in going and concrete(relation.source) not in going
    ]


def _notes(planned: Plan, held: Record) -> Iterator[str]:
    if is_switched(planned):
        return
    if held.row.status == Status.KEPT:
        yield (
            f"Let the routers send {planned.label} to {planned.destination!r}, then run this "
            f"again without --keep-source: it carries over what was written meanwhile."
        )
    elif held.row.status == Status.COMPLETE and not _is_shared(planned):
        yield (
            f"The routers still send {planned.label} to {planned.source!r}, where these rows "
            f"are no more: let them send it to {planned.destination!r}."
        )


def _is_shared(planned: Plan) -> bool:
    """Tell whether the routers know of no single home, or rows stay at the source."""
    return any(part.all(part.source).exists() for part in planned.parts)


@contextmanager
def ending(held: Record) -> Iterator[None]:
    """Let go of a move that fails: it is gone on with by the next call."""
    try:
        yield
    except BaseException as error:
        if held.row.status not in (Status.COMPLETE, Status.ABANDONED):
            try:
                held.end(None, error)
            except DatabaseError:
                # The database that keeps the record may be what failed: the first error counts.
                logger.exception(
                    "The failed move of %s could not be recorded",
                    held.row.model,
                    extra={
                        "action": "move",
                        "relation": None,
                        "model": held.row.model,
                        "alias": held.using,
                    },
                )
        raise
