"""New keys for rows whose keys are taken at the destination, and for all that points there.

Owns the change of keys at the source, before anything is copied: a move then keeps keys as
ever. All that points at a row inside its database follows in the same transaction; relations
from other databases by the intents of a key that changed, which are applied at once or by
the relay.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connections, models, transaction

from xdbrel import caching, keys, placement, relations
from xdbrel.cascade import key_changes
from xdbrel.cascade.graph import concrete
from xdbrel.exceptions import HomeError
from xdbrel.moving import edges, sequences
from xdbrel.moving.carrying.blocks import unwatched
from xdbrel.moving.generic import content_types
from xdbrel.moving.parts import Part, is_captured, own_writes
from xdbrel.moving.plan import Plan
from xdbrel.query.places import stands
from xdbrel.relations import Relation

#: Keys that change in one transaction.
KEYS = 200


def renumber(plan: Plan, part: Part, taken: Sequence[Any], keep: Callable[[], None]) -> int:
    """Give the rows of these keys new ones that neither end has; return how many there were.

    Raises ``CannotMove`` where the keys are of a kind that cannot be made up, or where it
    cannot be told which rows a relation from another database means.
    """
    model = part.model
    pk: Any = model._meta.pk
    if pk.remote_field is not None:
        # Its rows have the keys of what they point at, and follow that.
        return 0
    if not keys.is_plain_integer(pk) and not isinstance(pk, models.UUIDField):
        raise plan.refusal(
            f"keys of {type(pk).__name__} cannot be made up",
            "Give these rows other keys by hand.",
            part.label,
        )
    crossing = list(_crossing(plan, part, taken))
    captured = is_captured(plan.source)
    for chunk in keys.chunks(taken, KEYS):
        keep()
        with (
            transaction.atomic(using=plan.source),
            unwatched(plan.source),
            own_writes(plan.source, captured=captured),
        ):
            pairs = _pairs(part, pk, chunk)
            touched = _follow_here(plan, part, pairs)
            set_keys(pk, pairs, plan.source)
            if crossing:
                changes: key_changes.Changes = dict.fromkeys(crossing, pairs)
                key_changes.set_off(changes, plan.source, False)
        if model._meta.auto_field is not None:
            last = sequences.given(model, plan.source)
            sequences.forward(model, plan.source, last)
        caching.invalidate([model, *touched], plan.source)
    return len(taken)


def set_keys(field: Any, pairs: Mapping[Any, Any], using: str, where: str = "") -> None:
    """Give every row that holds an old key in ``field`` the new one.

    By a statement of its own: an UPDATE of the ORM's would ask the relations whether they
    like it. No new key is an old one.
    """
    connection = connections[using]
    name = connection.ops.quote_name
    column = name(field.column).replace("%", "%%")
    table = name(field.model._meta.db_table).replace("%", "%%")
    values = [
        (field.get_db_prep_save(old, connection), field.get_db_prep_save(new, connection))
        for old, new in pairs.items()
    ]
    cases = " ".join(["WHEN %s THEN %s"] * len(values))
    olds = ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {column} = CASE {column} {cases} END "  # noqa: S608
            f"WHERE {column} IN ({olds}){where}",
            [*(part for pair in values for part in pair), *(old for old, _ in values)],
        )


def _pairs(part: Part, pk: Any, taken: Sequence[Any]) -> dict[Any, Any]:
    if isinstance(pk, models.UUIDField):
        return {old: uuid.uuid4() for old in taken}
    held = [
        part.all(alias).order_by().aggregate(last=models.Max(pk.attname))["last"] or 0
        for alias in (part.source, part.destination)
    ]
    if part.model._meta.auto_field is not None:
        held += [sequences.given(part.model, a) for a in (part.source, part.destination)]
    first = max(held) + 1
    return {old: first + number for number, old in enumerate(taken)}


def _follow_here(plan: Plan, part: Part, pairs: Mapping[Any, Any]) -> list[type[models.Model]]:
    """Change what points at these keys inside the source's database; return the models."""
    touched = []
    model = part.model
    for one in _holders(model):
        if stands(one.model, plan.source):
            set_keys(one, pairs, plan.source)
            touched.append(one.model)
    known = content_types(plan.source)
    types = [
        int(known[natural] or 0)
        for natural in (
            (one._meta.app_label, one._meta.model_name) for one in (model, *_children(model))
        )
        if natural in known
    ]
    for generic in edges.all_generic() if types else ():
        holder = generic.model
        held: Any = holder._meta.get_field(generic.fk_field)
        if stands(holder, plan.source) and edges.may_hold(held, model._meta.pk):
            ct_column: Any = holder._meta.get_field(generic.ct_field)
            quoted = connections[plan.source].ops.quote_name(ct_column.column)
            as_held = {held.to_python(old): held.to_python(new) for old, new in pairs.items()}
            listed = ", ".join(map(str, types))
            set_keys(held, as_held, plan.source, f" AND {quoted} IN ({listed})")
            touched.append(holder)
    return touched


def _holders(model: type[models.Model]) -> Iterator[Any]:
    """Yield the fields, inside one database, whose values are primary keys of ``model``.

    Those of its multi-table children too, whose own keys are the same, and relations that
    may cross databases and do not.
    """
    waiting = [model]
    while waiting:
        target = waiting.pop()
        for source in edges.tables():
            for one in edges.pointing(source, [target]):
                if not one.target_field.primary_key:
                    continue
                if not edges.is_plain(one) and Relation(one).crosses:
                    continue
                yield one
                if one.primary_key and source is not target:
                    waiting.append(source)


def _children(model: type[models.Model]) -> Iterator[type[models.Model]]:
    """Yield the multi-table children of ``model``, whose keys are its own."""
    for one in edges.tables():
        if model in one._meta.all_parents:
            yield one


def _crossing(plan: Plan, part: Part, taken: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    """Yield the relations from other databases that have to follow, with their sources' alias."""
    family = {part.model, *_children(part.model)}
    try:
        ours = placement.same_home(placement.home(part.model), plan.source)
    except HomeError:
        ours = False
    for relation in relations.all_relations():
        field = relation.field
        if concrete(relation.target) not in family:
            continue
        if relation.is_composite and any(one.primary_key for one in relation.target_fields):
            raise plan.refusal(
                f"{relation.handle} holds their keys beside other columns, and cannot follow",
                "Give these rows other keys by hand.",
                part.label,
            )
        if not relation.target_field.primary_key:
            continue
        if not relation.crosses:
            continue
        alias = relation.source_home
        if placement.same_home(alias, plan.source):
            # It reads these rows where they are.
            yield field, alias
            continue
        if not ours:
            for chunk in keys.chunks(taken, KEYS):
                rows: Any = models.QuerySet(field.model, using=alias)
                if rows.filter(**{f"{field.attname}__in": chunk}).exists():
                    raise plan.refusal(
                        f"sources of {relation.handle} in {alias!r} hold keys that rows have at "
                        f"both ends, and nothing tells which of the two they mean",
                        "Give these rows other keys by hand.",
                        part.label,
                    )
            continue
        yield field, alias
