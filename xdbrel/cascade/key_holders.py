"""Which relations hold the values of which fields: a registry, filled when the app is ready.

What an UPDATE of such a field sets off is for ``key_watch`` and ``key_changes``.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError
from django.db import models
from django.db.models.fields.composite import CompositePrimaryKey

from xdbrel import relations

#: By model: the fields whose values are keys, each with the fields of the relations.
_held: dict[type[models.Model], dict[Any, list[Any]]] = {}


def find() -> None:
    """Look for the cross-database relations of the installed models, anew."""
    _held.clear()
    for relation in relations.all_relations():
        target: Any = relation.field.remote_field.model
        if isinstance(target, str) or target._meta.swapped:
            continue
        try:
            column: Any = relation.target_field
        except FieldError:
            # No such field there: Django's checks say so.
            continue
        for model in apps.get_models(include_auto_created=True):
            # A proxy writes to the table of the model that it stands for.
            if model._meta.concrete_model is column.model._meta.concrete_model:
                _held.setdefault(model, {}).setdefault(column, []).append(relation.field)


def columns_of(key: Any) -> tuple[Any, ...]:
    """Return the fields whose values a key is of: several, or the one that it is itself."""
    return tuple(key.fields) if isinstance(key, CompositePrimaryKey) else (key,)


def keys_of(model: type[models.Model]) -> dict[Any, list[Any]] | None:
    """Return the fields of ``model``'s own table that are keys, with the relations to each.

    A key of several columns is a field without a column: see ``columns_of``.
    """
    return _held.get(model)


def holders_of(column: Any) -> list[Any]:
    """Return the fields of the relations whose keys are values of ``column``."""
    return _held.get(column.model, {}).get(column, [])
