"""What stands at the destination already, in the way of rows to be moved.

Owns the look beforehand, at primary keys and at what else is unique there. A table without
rows needs none. What is unique by an expression or for some rows only is not looked at: the
database refuses such rows when their batch is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any

from django.db import models
from django.db.models import Q

from xdbrel import keys
from xdbrel.exceptions import SHOWN_KEYS
from xdbrel.moving.parts import Part, Row
from xdbrel.moving.result import Collision

PRIMARY_KEY = "primary key"
#: How many sets of values one statement looks for.
SETS = 200


def find(
    parts: Sequence[Part], size: int, keep: Callable[[], None] = lambda: None
) -> Iterator[tuple[Part, Collision, list[Any]]]:
    """Yield each part with what collides of it, by kind, and all the keys of it."""
    for part in parts:
        if not part.shared:
            continue
        found: dict[str, list[Any]] = {}
        after = None
        while True:
            rows = part.page(after, size)
            if not rows:
                break
            after = part.key(rows[-1])
            for kind, colliding in _colliding(part, rows):
                found.setdefault(kind, []).extend(colliding)
            keep()
        for kind, colliding in found.items():
            shown = Collision(part.label, kind, part.destination, colliding[: SHOWN_KEYS + 1])
            yield part, shown, colliding


def among(part: Part, rows: Sequence[Row]) -> list[Collision]:
    """Return what of these rows collides."""
    return [
        Collision(part.label, kind, part.destination, colliding)
        for kind, colliding in _colliding(part, rows)
    ]


def _colliding(part: Part, rows: Sequence[Row]) -> Iterator[tuple[str, list[Any]]]:
    there = part.by_keys([part.key(row) for row in rows], part.destination)
    # A collation may take another key for the same.
    own = [part.key(row) for row in rows]
    same = [key for key in own if key in there]
    if there and not same:
        same = own[:1]
    if same:
        yield PRIMARY_KEY, same
    for names in unique_sets(part.model):
        places = [part.names.index(_attname(part, name)) for name in names]
        held = {
            tuple(row[place] for place in places): part.key(row)
            for row in rows
            if all(row[place] is not None for place in places)
        }
        taken = [key for key in _taken(part, names, held) if key not in there]
        if taken:
            yield ", ".join(names), taken


def _taken(part: Part, names: Sequence[str], held: dict[Any, Any]) -> Iterator[Any]:
    attnames = [_attname(part, name) for name in names]
    for chunk in keys.chunks(held, SETS):
        if len(attnames) == 1:
            condition = Q(**{f"{attnames[0]}__in": [values[0] for values in chunk]})
        else:
            each = (Q(**dict(zip(attnames, values, strict=True))) for values in chunk)
            condition = reduce(or_, each)
        rows = part.all(part.destination).filter(condition).order_by()
        for values in set(rows.values_list(*attnames)):
            if values in held:
                yield held[values]
            elif len(chunk) == 1:
                # The same to the collation of that database, if not to Python.
                yield held[chunk[0]]


def _attname(part: Part, name: str) -> str:
    field: Any = part.model._meta.get_field(name)
    return str(field.attname)


def unique_sets(model: type[models.Model]) -> list[tuple[str, ...]]:
    """Return the names of fields of ``model``'s own table that are unique, primary key aside."""
    meta = model._meta
    local = {one.name for one in meta.local_concrete_fields}
    found: list[tuple[str, ...]] = [
        (one.name,) for one in meta.local_concrete_fields if one.unique and not one.primary_key
    ]
    found += [tuple(names) for names in meta.unique_together]
    found += [
        tuple(one.fields)
        for one in meta.constraints
        if isinstance(one, models.UniqueConstraint) and one.fields and one.condition is None
    ]
    return [names for names in dict.fromkeys(found) if local.issuperset(names)]
