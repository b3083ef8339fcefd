"""The relations that hold tables together, and those by which rows may go along.

Owns what counts as an edge: a relation of Django's own, whose rows must be in one database.
What crosses databases by declaration is none, and stays behind as it is, but for the rows
between the sides of a many-to-many relation. What edges mean for a move is for ``plan``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db import models

from xdbrel import content_types, keys, placement
from xdbrel.cascade.graph import concrete
from xdbrel.relations import is_composite


def tables() -> Iterator[type[models.Model]]:
    """Yield every model that has a table of its own."""
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.proxy and not model._meta.swapped:
            yield model


def outgoing(model: type[models.Model]) -> Iterator[Any]:
    """Yield the fields of ``model``'s own table that point into the same database."""
    for field in model._meta.local_concrete_fields:
        if is_plain(field):
            yield field


def incoming(model: type[models.Model]) -> Iterator[Any]:
    """Yield the fields of any table that point at rows of ``model``'s own table."""
    for source in tables():
        for field in outgoing(source):
            if target(field) is concrete(model):
                yield field


def pointing(source: type[models.Model], targets: Iterable[type[models.Model]]) -> Iterator[Any]:
    """Yield the fields of ``source``'s table that point at one of ``targets``, crossing or not."""
    wanted = set(targets)
    for field in relating(source):
        if target(field) in wanted:
            yield field


def relating(source: type[models.Model]) -> Iterator[Any]:
    """Yield the fields by which rows of ``source``'s table point at others: of any columns."""
    for field in source._meta.local_fields:
        if isinstance(field, models.ForeignKey) or is_composite(field):
            yield field


def inseparable(model: type[models.Model]) -> Iterator[Any]:
    """Yield the fields by which rows cannot be parted from what they point at."""
    made_by = placement.made_by(model)
    if made_by is not None:
        # Beside the model that declares the field, or where that says; not beside the other.
        if placement.through_home(model) is None:
            yield model._meta.get_field(made_by.m2m_field_name())
        return
    for one in outgoing(model):
        if model._meta.auto_created or is_parent_link(one):
            yield one


def following(source: type[models.Model], aim: type[models.Model]) -> Iterator[Any]:
    """Yield the fields by which rows go with those of ``aim`` and which no database watches."""
    for field in {*inseparable(source), *outgoing(source)}:
        if target(field) is aim and not is_constraint(field) and field.target_field.primary_key:
            yield field


def target(field: Any) -> type[models.Model]:
    """Return the model whose table holds what a relation's field points at."""
    # A multi-table child's own key may be inherited: then its rows are its parent's.
    return concrete(field.remote_field.model)


def is_plain(field: Any) -> bool:
    """Tell whether a field is a relation of Django's own to a single model."""
    return isinstance(field, models.ForeignKey) and not getattr(field, "crosses_databases", False)


def is_parent_link(field: Any) -> bool:
    """Tell whether a field joins a multi-table child to its parent's table."""
    return bool(field.remote_field.parent_link) and field in field.model._meta.parents.values()


def is_constraint(field: Any) -> bool:
    """Tell whether the database itself watches the relation."""
    return bool(field.db_constraint)


def generic(model: type[models.Model]) -> Iterator[Any]:
    """Yield the generic foreign keys that ``model`` declares, crossing or not."""
    if not content_types.installed():
        return
    # It declares a model, and cannot be imported where it is not installed.
    from django.contrib.contenttypes.fields import GenericForeignKey

    for field in model._meta.private_fields:
        if isinstance(field, GenericForeignKey):
            yield field


def all_generic() -> Iterator[Any]:
    """Yield every generic foreign key of the installed models, crossing or not."""
    for model in tables():
        yield from generic(model)


def stays_beside(generic: Any) -> bool:
    """Tell whether a generic foreign key is Django's own, whose rows are in one database."""
    return not getattr(generic, "crosses_generically", False)


def may_hold(held: models.Field[Any, Any], key: models.Field[Any, Any]) -> bool:
    """Tell whether values of ``key`` may stand in ``held``, the key of a generic relation."""
    if isinstance(held, (models.CharField, models.TextField)):
        return True
    if keys.is_plain_integer(held):
        return keys.is_plain_integer(key)
    return held.get_internal_type() == key.get_internal_type()
