"""A cascade by keys alone.

Where nobody listens to the deletion of the sources and nothing hangs on them that needs
an instance, the sources of deleted targets, and theirs, go by keys: one statement for
each model and chunk, no instance built. Everything else is Django's ``Collector``'s: see
``apply``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models
from django.db.models import F

from xdbrel import keys, placement
from xdbrel.cascade import graph
from xdbrel.cascade.steps import Steps
from xdbrel.compat import raw_delete
from xdbrel.relations import Relation, assignments


def applicable(field: Any, _above: tuple[Any, ...] = ()) -> bool:
    """Tell whether the sources of ``field`` can follow their targets by keys alone."""
    policy = graph.policy_of(field)
    if graph.is_set(policy):
        return True
    if policy is not models.CASCADE:
        return False
    model = field.model
    if (
        model in _above
        or model._meta.concrete_model._meta.parents
        or graph.has_listeners(model)
        or graph.has_generic_sources(model)
    ):
        return False
    return all(
        graph.has_key(below) and applicable(below, (*_above, model))
        for below in graph.relations_to(model)
        if not graph.is_idle(graph.policy_of(below)) and not _crosses(below)
    ) and not any(graph.can_veto(graph.policy_of(below)) for below in graph.relations_to(model))


def follow(field: Any, target_keys: list[Any], steps: Steps, spared: Any = None) -> None:
    """Let the sources of deleted targets follow, and whatever hangs on them.

    ``target_keys`` is one chunk. Runs inside the open step on ``steps.using``. Relations
    that cross to yet another database are noted with the step. ``spared``, a condition,
    excludes sources that somebody else is deleting.
    """
    using, most = steps.using, steps.most
    policy = graph.policy_of(field)
    model = field.model
    below = [
        relation
        for relation in graph.relations_to(model)
        if not graph.is_idle(graph.policy_of(relation))
    ]
    if graph.is_set(policy) or not below:
        pieces = _Pieces(target_keys, most)
        for piece in pieces:
            found = sources(field, piece, using, spared)
            number = None if most is None else count(found, most)
            if number is None or number <= (most or 0):
                if number != 0:
                    _finish(field, found, steps)
                pieces.rows = number or 0
                continue
            for rows in pages(field, piece, ("pk",), using, most, spared):
                for chunk in keys.chunks(rows, keys.chunk_size(using, model._meta.pk)):
                    page = keys.KeyIn(F("pk"), [pk for (pk,) in chunk])
                    _finish(field, found.filter(page), steps)
                pieces.rows += len(rows)
        return
    columns = tuple({"pk": None, **{relation.target_field.attname: None for relation in below}})
    for rows in pages(field, target_keys, columns, using, most, spared):
        for chunk in keys.chunks(rows, keys.chunk_size(using, model._meta.pk)):
            by_column = {name: [row[i] for row in chunk] for i, name in enumerate(columns)}
            crossing = []
            for relation in below:
                if _crosses(relation):
                    crossing.append(relation)
                    continue
                going = by_column[relation.target_field.attname]
                for part in keys.chunks(going, keys.chunk_size(using, relation)):
                    follow(relation, part, steps)
            # Only now: a step may have ended, and an intent must not precede the delete.
            for relation in crossing:
                going = by_column[relation.target_field.attname]
                steps.note(relation, placement.home(relation.model), going)
            # By primary key: a source written since the rows were read is not half deleted.
            doomed = keys.KeyIn(F("pk"), by_column["pk"])
            deleted = raw_delete(model._base_manager.using(using).filter(doomed), using)
            steps.took(deleted, model._meta.label)
            steps.rest()


def sources(field: Any, target_keys: list[Any], using: str, spared: Any = None) -> Any:
    """Return the queryset of the sources of these targets, without those that are spared."""
    found = field.model._base_manager.using(using).order_by()
    found = found.filter(graph.holding(field, target_keys))
    return found if spared is None else found.exclude(spared)


def count(found: Any, most: int) -> int:
    """Return how many rows a queryset has, ``most + 1`` at most: what is more is not looked at."""
    number: int = found.values("pk")[: max(most, 0) + 1].count()
    return number


def pages(
    field: Any,
    target_keys: list[Any],
    columns: tuple[str, ...],
    using: str,
    most: int | None,
    spared: Any = None,
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the sources of these targets, as tuples of ``columns``, at most ``most`` at once.

    "pk" is the first column. Whoever iterates deletes each page, or gives it another key,
    before the next. Too many for one page are halved by their targets; those of a single
    target are walked by primary key, so that what has been deleted is not read again.
    """
    pieces = _Pieces(target_keys, most)
    for piece in pieces:
        for rows in _pages_of_piece(field, piece, columns, using, most, spared):
            pieces.rows += len(rows)
            yield rows


def _pages_of_piece(
    field: Any,
    piece: list[Any],
    columns: tuple[str, ...],
    using: str,
    most: int | None,
    spared: Any,
) -> Iterator[list[tuple[Any, ...]]]:
    found = sources(field, piece, using, spared).values_list(*columns)
    rows = list(found if most is None else found[: most + 1])
    if most is None or len(rows) <= most:
        if rows:
            yield rows
    elif len(piece) > 1:
        middle = len(piece) // 2
        yield from _pages_of_piece(field, piece[:middle], columns, using, most, spared)
        yield from _pages_of_piece(field, piece[middle:], columns, using, most, spared)
    else:
        ordered = found.order_by("pk")
        rows = list(ordered[:most])
        while rows:
            yield rows
            rows = list(ordered.filter(pk__gt=rows[-1][0])[:most]) if len(rows) == most else []


class _Pieces:
    """Keys of targets in pieces whose sources are likely to fit into one page.

    The first is small; each further one follows from how many ``rows`` the last one had.
    """

    FIRST = 1_000
    GROWTH = 8

    def __init__(self, target_keys: list[Any], most: int | None) -> None:
        self.target_keys = target_keys
        self.most = most
        self.rows = 0

    def __iter__(self) -> Iterator[list[Any]]:
        start, size = 0, len(self.target_keys)
        if self.most is not None:
            size = min(size, self.FIRST)
        while start < len(self.target_keys):
            self.rows = 0
            yield self.target_keys[start : start + size]
            start += size
            if self.most is not None:
                # A fifth is left for targets with more sources than the others.
                fitting = self.most * 4 // 5 * size // max(self.rows, 1)
                size = max(1, min(fitting, size * self.GROWTH))


def _finish(field: Any, found: Any, steps: Steps) -> None:
    """Delete sources that nothing hangs on, or give them the key that the policy says."""
    policy, using = graph.policy_of(field), steps.using
    if not graph.is_set(policy):
        steps.took(found._raw_delete(using), field.model._meta.label)
    # Django does not call a SET's callable, or a default's, for nobody.
    elif getattr(policy, "lazy_sub_objs", False) or steps.most is not None or found.exists():
        value = _value_set_by(policy, field, found, using)
        steps.took(found.update(**assignments(field, value)))
    steps.rest()


def _crosses(field: Any) -> bool:
    return getattr(field, "crosses_databases", False) and Relation(field).crosses


class _Recorder:
    """Takes the place of a collector, to learn which key a SET policy gives."""

    value: Any = None

    def add_field_update(self, field: Any, value: Any, objs: Any) -> None:
        self.value = value


def _value_set_by(policy: Any, field: Any, sources: Any, using: str) -> Any:
    recorder = _Recorder()
    policy(recorder, field, sources, using)
    return recorder.value
