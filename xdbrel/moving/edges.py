"""The plain relations that hold tables together inside one database.

Owns what counts as an edge: a relation of Django's own, whose rows must be in one database.
What crosses databases by declaration is none, and stays behind as it is. What edges mean for
a move is for ``plan``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db import models

from xdbrel import keys
from xdbrel.cascade.graph import concrete


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
    for field in source._meta.local_concrete_fields:
        if isinstance(field, models.ForeignKey) and target(field) in wanted:
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
    """Yield the generic foreign keys that ``model`` declares and that stay in its database."""
    if not apps.is_installed("django.contrib.contenttypes"):
        return
    # It declares a model, and cannot be imported where it is not installed.
    from django.contrib.contenttypes.fields import GenericForeignKey

    for field in model._meta.private_fields:
        if isinstance(field, GenericForeignKey) and not getattr(field, "crosses_databases", False):
            yield field


def all_generic() -> Iterator[Any]:
    """Yield every plain generic foreign key of the installed models."""
    for model in tables():
        yield from generic(model)


def may_hold(held: models.Field[Any, Any], key: models.Field[Any, Any]) -> bool:
    """Tell whether values of ``key`` may stand in ``held``, the key of a generic relation."""
    if isinstance(held, (models.CharField, models.TextField)):
        return True
    if keys.is_plain_integer(held):
        return keys.is_plain_integer(key)
    return held.get_internal_type() == key.get_internal_type()
