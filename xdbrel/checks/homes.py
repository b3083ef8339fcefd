"""Checks of models that are parted by their homes without a cross-database field."""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.expressions import BaseExpression

from xdbrel import placement
from xdbrel.checks.contrib import is_ruled
from xdbrel.checks.scope import (
    Found,
    adoptable,
    check,
    crossing,
    home,
    is_resolved,
    listed,
    models_of,
    parted,
)
from xdbrel.relations import Relation

_ONE_HOME = 'give both models one home in XDBREL["HOMES"]'


@check()
def check_plain_relations(app_configs: Any = None, **kwargs: Any) -> Found:
    """E020, E021: relations of Django's own that lead to another database."""
    for model in models_of(app_configs):
        if model._meta.proxy or model._meta.auto_created or is_ruled(model):
            continue
        for field in model._meta.local_fields:
            if isinstance(field, models.ForeignKey) and _is_parted(field):
                yield from _check_foreign_key(field)
        for many in model._meta.local_many_to_many:
            if is_resolved(many) and not getattr(many, "leads_by_through", False):
                yield from _check_many_to_many(many)


@check()
def check_parents(app_configs: Any = None, **kwargs: Any) -> Found:
    """E022: multi-table children away from their parents."""
    for model in models_of(app_configs):
        if model._meta.proxy:
            continue
        for parent, link in model._meta.parents.items():
            homes = parted(model, parent) if link is not None else None
            if homes:
                yield checks.Error(
                    f"{model._meta.label} lives in {homes[0]!r} and its parent "
                    f"{parent._meta.label} in {homes[1]!r}: every query of it joins the two.",
                    hint=f"To keep the inheritance, {_ONE_HOME}; or point at the parent by a "
                    f"CrossDBOneToOneField in place of inheriting from it.",
                    obj=model,
                    id="xdbrel.E022",
                )


@check()
def check_homeless(app_configs: Any = None, **kwargs: Any) -> Found:
    """E023: apps whose models no database may hold."""
    homeless: dict[str, list[str]] = {}
    for model in models_of(app_configs):
        meta = model._meta
        if meta.proxy or meta.swapped or meta.auto_created or not meta.managed:
            continue
        if placement.spoken("db_for_home", model) is None and not placement.candidates(model):
            homeless.setdefault(meta.app_label, []).append(meta.label)
    for app_label, labels in sorted(homeless.items()):
        yield checks.Error(
            f"No database may hold {listed(labels)}: no router names one, and none may be "
            f"migrated to.",
            hint=f'Give the app {app_label!r} a home in XDBREL["HOMES"].',
            id="xdbrel.E023",
        )


@check()
def check_ordering(app_configs: Any = None, **kwargs: Any) -> Found:
    """W024: orderings that join a table of another database."""
    for model in models_of(app_configs):
        if model._meta.proxy:
            continue
        for item in model._meta.ordering or ():
            name = _ordered_by(item)
            found = _joined(model, name) if name else None
            if found is not None:
                relation, joined = found
                yield checks.Warning(
                    f"{model._meta.label} is ordered by {name!r}, which joins "
                    f"{joined._meta.label} of another database along {relation}, in every "
                    f"query that names no order.",
                    hint=f"Order by columns of {model._meta.label} itself in Meta.ordering.",
                    obj=model,
                    id="xdbrel.W024",
                )


def _is_parted(field: models.ForeignKey[Any, Any]) -> bool:
    """Tell whether a plain relation leads to another database."""
    return (
        not field.remote_field.parent_link
        and not getattr(field, "crosses_databases", False)
        and is_resolved(field)
        and parted(field.model, field.remote_field.model) is not None
    )


def _check_foreign_key(field: models.ForeignKey[Any, Any]) -> Found:
    target: Any = field.remote_field.model
    kind = "OneToOneField" if isinstance(field, models.OneToOneField) else "ForeignKey"
    yield checks.Error(
        f"{field.model._meta.label}.{field.name} is a plain {type(field).__name__} from "
        f"{home(field.model)!r} to {target._meta.label} in {home(target)!r}.",
        hint=f"Declare it as xdbrel.CrossDB{kind}, {adoptable(field)}or {_ONE_HOME}.",
        obj=field,
        id="xdbrel.E020",
    )


def _check_many_to_many(field: models.ManyToManyField[Any, Any]) -> Found:
    through: Any = field.remote_field.through
    target: Any = field.remote_field.model
    if isinstance(through, str):
        return
    plain = (one for one in through._meta.local_fields if isinstance(one, models.ForeignKey))
    if not through._meta.auto_created and any(map(_is_parted, plain)):
        return  # E020 says it of the model in between.
    ends = {model: home(model) for model in (field.model, through, target)}
    parts = [model for model in (through, target) if parted(field.model, model) is not None]
    if parts:
        places = ", ".join(f"{model._meta.label} in {ends[model]!r}" for model in ends)
        yield checks.Error(
            f"{field.model._meta.label}.{field.name} is a many-to-many relation whose tables "
            f"are in several databases: {places}.",
            hint=f"Declare it as xdbrel.CrossDBManyToManyField, {adoptable(field)}or give its "
            'models one home in XDBREL["HOMES"].',
            obj=field,
            id="xdbrel.E021",
        )


def _ordered_by(item: Any) -> str | None:
    while isinstance(item, BaseExpression):
        sources = item.get_source_expressions()
        if len(sources) != 1:
            return None
        item = sources[0]
    name = getattr(item, "name", item)
    return name.lstrip("-") if isinstance(name, str) and name != "?" else None


def _joined(
    model: type[models.Model], name: str, behind: tuple[type[models.Model], ...] = ()
) -> tuple[Relation, type[models.Model]] | None:
    """Return the crossing relation that ordering by ``name`` joins, and what it joins."""
    if model in behind:
        return None  # Django itself says that such an ordering never ends.
    behind = (*behind, model)
    path = name.split("__")
    for position, part in enumerate(path, start=1):
        try:
            field: Any = model._meta.pk if part == "pk" else model._meta.get_field(part)
        except FieldDoesNotExist:
            return None  # An annotation, a lookup or a transform: no further join.
        target = field.related_model
        if target is None or isinstance(target, str):
            return None
        ordered_by_key = part in ("pk", getattr(field, "attname", None))
        if position == len(path) and (ordered_by_key or not target._meta.ordering):
            return None
        holder = field if field.concrete or not field.auto_created else field.remote_field
        if getattr(holder, "crosses_databases", False) and any(crossing([Relation(holder)])):
            key = holder.target_field
            named = {key.name, key.attname, *(("pk",) if key.primary_key else ())}
            if field is holder and len(path) == position + 1 and path[position] in named:
                return None  # The key is in the source's own column.
            return Relation(holder), target
        model = target
    # Ordering by a relation is ordering by its target's own ordering.
    inner = (_ordered_by(item) for item in model._meta.ordering or ())
    found = (_joined(model, item, behind) for item in inner if item)
    return next(filter(None, found), None)
