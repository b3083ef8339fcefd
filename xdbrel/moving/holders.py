"""What holds the keys of a table, and has to follow where they change.

Owns the search: the columns inside one database whose values are those of a key, through as many
tables as pass it on; generic keys; and relations from other databases. How all of these are
changed is for ``renumber``.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from itertools import chain
from typing import Any

from django.apps import apps
from django.db import models

from xdbrel import keys, relations
from xdbrel.cascade.graph import concrete
from xdbrel.moving import edges
from xdbrel.query.places import stands
from xdbrel.relations import Relation, is_composite


def columns(key: Any, using: str) -> list[Any]:
    """Return the fields on ``using`` whose values are those of ``key``, itself first.

    Multi-table children's among them, and relations that may cross databases and do not.
    """
    found = [key]
    relating = [
        one for source in edges.tables() for one in edges.relating(source) if not is_composite(one)
    ]
    # What points at one that was found is looked for in turn.
    for column in found:
        found += [
            one
            for one in relating
            if one.target_field == column
            and one not in found
            and (edges.is_plain(one) or not Relation(one).crosses)
            and stands(one.model, using)
        ]
    return found


def generic(held: Sequence[Any], using: str) -> Iterator[tuple[Any, type[models.Model]]]:
    """Yield the generic foreign keys on ``using`` that hold these keys, and the keys' models."""
    for one in edges.all_generic():
        for model in _keyed_by(held):
            if not edges.stays_beside(one) and Relation(one.key_to(model)).crosses:
                continue
            if _may_name(one, model) and stands(one.model, using):
                yield one, model


def crossing(held: Sequence[Any]) -> Iterator[Relation]:
    """Yield the relations of one column that hold one of these keys in another database."""
    declared = (one for one in relations.all_relations() if one.condition is None)
    named = (
        Relation(one.key_to(model))
        for one in edges.all_generic()
        if not edges.stays_beside(one)
        for model in chain(_keyed_by(held), () if one.for_concrete_model else _proxies(held))
        if _may_name(one, model)
    )
    for relation in chain(declared, named):
        if not relation.is_composite and relation.target_field in held and relation.crosses:
            yield relation


def torn(held: Sequence[Any]) -> Iterator[Relation]:
    """Yield the relations of several columns of which only one side would follow."""
    for relation in relations.all_relations():
        if relation.is_composite:
            pairs = zip(relation.source_fields, relation.target_fields, strict=True)
            if any(_follows(source, held) != _follows(target, held) for source, target in pairs):
                yield relation


def _follows(column: Any, held: Container[Any]) -> bool:
    """Tell whether a column is one of these, or holds one of their values in any database."""
    return column in held or (
        isinstance(column, models.ForeignKey) and column.target_field in held
    )


def _keyed_by(held: Container[Any]) -> Iterator[type[models.Model]]:
    return (model for model in edges.tables() if model._meta.pk in held)


def _proxies(held: Container[Any]) -> Iterator[type[models.Model]]:
    return (
        model
        for model in apps.get_models()
        if model._meta.proxy and concrete(model)._meta.pk in held
    )


def _may_name(one: Any, model: type[models.Model]) -> bool:
    key = keys.key_field(one.model._meta.get_field(one.fk_field))
    return edges.may_hold(key, keys.key_field(model._meta.pk))
