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

from xdbrel import caching, keys, placement
from xdbrel.cascade import key_changes
from xdbrel.cascade.graph import holding
from xdbrel.exceptions import HomeError
from xdbrel.moving import holders, sequences
from xdbrel.moving.carrying.blocks import unwatched
from xdbrel.moving.generic import type_field, type_ids
from xdbrel.moving.parts import Part, is_captured, own_writes
from xdbrel.moving.plan import Plan

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
    held = holders.columns(pk, plan.source)
    crossing = list(_crossing(plan, part, held, taken))
    captured = is_captured(plan.source)
    for chunk in keys.chunks(taken, KEYS):
        keep()
        with (
            transaction.atomic(using=plan.source),
            unwatched(plan.source),
            own_writes(plan.source, captured=captured),
        ):
            pairs = _pairs(part, pk, chunk)
            touched = _follow_here(held, pairs, plan.source)
            if crossing:
                changes: key_changes.Changes = dict.fromkeys(crossing, pairs)
                key_changes.set_off(changes, plan.source, False)
        if model._meta.auto_field is not None:
            last = sequences.given(model, plan.source)
            sequences.forward(model, plan.source, last)
        caching.invalidate(touched, plan.source)
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


def _follow_here(
    held: Sequence[Any], pairs: Mapping[Any, Any], using: str
) -> list[type[models.Model]]:
    """Change these keys in the columns that hold them on ``using``; return the models."""
    touched = [column.model for column in held]
    # What holds them before what they are the keys of.
    for column in reversed(held):
        set_keys(column, pairs, using)
    for generic, model in holders.generic(held, using):
        types = type_ids(generic, model, using)
        if types:
            key: Any = generic.model._meta.get_field(generic.fk_field)
            type_column = connections[using].ops.quote_name(type_field(generic).column)
            listed = ", ".join(str(int(one)) for one in types)
            as_held = {key.to_python(old): key.to_python(new) for old, new in pairs.items()}
            set_keys(key, as_held, using, f" AND {type_column} IN ({listed})")
            touched.append(generic.model)
    return touched


def _crossing(
    plan: Plan, part: Part, held: Sequence[Any], taken: Sequence[Any]
) -> Iterator[tuple[Any, str]]:
    """Yield the relations from other databases that have to follow, with their sources' alias."""
    for relation in holders.torn(held):
        raise plan.refusal(
            f"{relation.handle} holds their keys beside other columns, and cannot follow",
            "Give these rows other keys by hand.",
            part.label,
        )
    try:
        ours = placement.same_home(placement.home(part.model), plan.source)
    except HomeError:
        ours = False
    for relation in holders.crossing(held):
        field: Any = relation.field
        alias = relation.source_home
        # In the source's database, it reads these rows where they are.
        if not ours and not placement.same_home(alias, plan.source):
            for chunk in keys.chunks(taken, KEYS):
                rows: Any = models.QuerySet(field.model, using=alias)
                if rows.filter(holding(field, chunk)).exists():
                    raise plan.refusal(
                        f"sources of {relation.handle} in {alias!r} hold keys that rows have at "
                        f"both ends, and nothing tells which of the two they mean",
                        "Give these rows other keys by hand.",
                        part.label,
                    )
            continue
        yield field, alias
