"""Checks of relations over several columns.

What Django's own checks say of every ``ForeignObject`` (a target's fields that do not exist:
``fields.E312``; that are not unique together: ``fields.E310``) they say of these as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from xdbrel.checks.scope import Found, check, listed, models_of
from xdbrel.relations import handle_of, is_composite


@check()
def check_composite_target(app_configs: Any = None, **kwargs: Any) -> Found:
    """E120, E122: a target without such a key, or whose columns are another table's."""
    for field in _composites(app_configs):
        target = field.remote_field.model
        if not field.to_fields:
            yield checks.Error(
                f"{handle_of(field)} names no to_fields, and {target._meta.label} has no "
                f"CompositePrimaryKey.",
                hint="Name the target's fields that are unique together in to_fields.",
                obj=field,
                id="xdbrel.E120",
            )
        elif len(field.to_fields) != len(field.from_fields):
            yield checks.Error(
                f"{handle_of(field)} has {len(field.from_fields)} from_fields, and the primary "
                f"key of {target._meta.label} has {len(field.to_fields)} columns.",
                hint="Let from_fields be as many, in the order of the primary key.",
                obj=field,
                id="xdbrel.E120",
            )
        foreign = list(_not_own(target, field.to_fields))
        if foreign:
            yield checks.Error(
                f"{handle_of(field)}: {listed(foreign)} of {target._meta.label} are no columns "
                f"of its own table.",
                hint="Point the relation at the model that declares these fields.",
                obj=field,
                id="xdbrel.E122",
            )


@check()
def check_composite_columns(app_configs: Any = None, **kwargs: Any) -> Found:
    """E121: from_fields that are not there, or are another table's."""
    for field in _composites(app_configs):
        names = list(_not_own(field.model, field.from_fields, lacking=True))
        if names:
            yield checks.Error(
                f"{handle_of(field)}: {listed(names)} in from_fields are no columns of the "
                f"table of {field.model._meta.label}.",
                hint="Name fields that the model itself declares, with a column each.",
                obj=field,
                id="xdbrel.E121",
            )


@check()
def check_composite_policy(app_configs: Any = None, **kwargs: Any) -> Found:
    """E123, E124: policies that give sources a key which they cannot have."""
    for field in _composites(app_configs):
        policy = field.policy
        name = getattr(policy, "__name__", "")
        if policy is models.SET_NULL and not field.null:
            yield checks.Error(
                f"{handle_of(field)} has on_delete=SET_NULL, and none of its from_fields may be "
                f"NULL.",
                hint="Set null=True on one of them, or choose another on_delete.",
                obj=field,
                id="xdbrel.E123",
            )
        elif policy is models.SET_DEFAULT or name == "set_on_delete":
            shown = "SET()" if name == "set_on_delete" else name
            yield checks.Error(
                f"{handle_of(field)} has on_delete={shown}, and a relation over several columns "
                f"has no one value to set.",
                hint="Use SET_NULL, or a policy that deletes or refuses.",
                obj=field,
                id="xdbrel.E124",
            )


def _composites(app_configs: Any) -> Iterator[Any]:
    """Yield the relations over several columns whose target is there: else Django says so."""
    for model in models_of(app_configs):
        for field in model._meta.local_fields:
            if is_composite(field) and getattr(field, "crosses_databases", False):
                target: Any = field.remote_field.model  # type: ignore[union-attr]
                if not isinstance(target, str) and not target._meta.swapped:
                    yield field


def _not_own(model: Any, names: Any, *, lacking: bool = False) -> Iterator[str]:
    """Yield the names of fields without a column in the model's table.

    With ``lacking``, of fields that there are not as well.
    """
    for name in names:
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            if lacking:
                yield repr(name)
            continue
        if (
            getattr(field, "column", None) is None
            or field.model._meta.concrete_model is not model._meta.concrete_model
        ):
            yield repr(name)
