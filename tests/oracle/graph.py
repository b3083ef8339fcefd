"""The ways from model to model, and what can be said of the columns at their end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.fields import GenericRel
from django.contrib.contenttypes.models import ContentType
from django.db import models

from tests.apps.parted.models import (
    Author,
    Booth,
    Club,
    Comment,
    Country,
    Label,
    Membership,
    Note,
    Order,
    Post,
    Profile,
    Reading,
    Spot,
    Visit,
    Zone,
)
from xdbrel import CrossDBCompositeForeignKey, CrossDBGenericRelation

#: Targets before their sources, as rows are written.
MODELS: tuple[type[models.Model], ...] = (
    Country,
    Author,
    Post,
    Comment,
    Club,
    Membership,
    Order,
    Profile,
    Reading,
    Author.liked.through,
    Post.linked.through,
    Club.patrons.through,
    Note,
    Label,
    Zone,
    Spot,
    Visit,
    Booth,
)
BY_NAME = {model.__name__: model for model in MODELS}

_KINDS = {
    "CharField": "text",
    "TextField": "text",
    "IntegerField": "int",
    "BigAutoField": "int",
    "DecimalField": "decimal",
    "BigIntegerField": "int",
    "BooleanField": "bool",
    "DateField": "date",
    "DateTimeField": "moment",
}
KINDS = ("int", "text", "decimal", "date", "moment", "bool")


@dataclass(frozen=True)
class Step:
    """A relation, seen from one of its ends."""

    name: str
    model: type[models.Model]
    #: Whether it may lead to several rows.
    many: bool
    #: Whether instances know the other end by this name.
    held: bool
    #: The kinds of the columns that are the key at the other end.
    key: tuple[str, ...]
    #: The name by which queries compare that key with a literal one.
    by: str
    #: The columns that stand at both ends, where it is itself of several.
    shared: tuple[str, ...] = ()

    @property
    def of_several(self) -> bool:
        """Whether it is itself of several columns."""
        return bool(self.shared)


@dataclass(frozen=True)
class Column:
    """A field by its name in queries."""

    name: str
    kind: str
    null: bool


def kind_of(field: Any) -> str:
    """Return the kind of values that a field holds; for a relation, that of its key."""
    behind = field.target_field if field.is_relation else field
    return _KINDS[behind.get_internal_type()]


def is_composite(field: Any) -> bool:
    """Tell whether a relation compares several columns."""
    return isinstance(field, CrossDBCompositeForeignKey)


def names_a_type(field: Any) -> bool:
    """Tell whether a column holds a content type, whose id is another in each database."""
    return field.related_model is ContentType


def key_columns(model: type[models.Model]) -> tuple[Any, ...]:
    """Return the fields that are the primary key of ``model``."""
    return tuple(getattr(model._meta, "pk_fields", None) or [model._meta.pk])


def key_kinds(model: type[models.Model]) -> tuple[str, ...]:
    """Return the kinds of the columns that are the primary key of ``model``."""
    return tuple(kind_of(field) for field in key_columns(model))


def _column(name: str, field: Any) -> Column:
    return Column(name, kind_of(field), field.null)


def _step(field: Any, name: str, model: type[models.Model], held: bool = True) -> Step:
    many = bool(field.one_to_many or field.many_to_many) and held
    key, by, shared = key_kinds(model), name, ()
    if is_composite(field):
        shared = tuple(one.name for one in field.foreign_related_fields)
        key, by = tuple(kind_of(one) for one in field.foreign_related_fields), field.attname
    elif len(key) > 1 or not held:
        by = f"{name}__pk"
    return Step(name, model, many, held, key, by, shared)


def _steps(model: type[models.Model]) -> tuple[Step, ...]:
    found = [
        _step(field, field.name, field.related_model)
        for field in model._meta.get_fields()
        if field.is_relation
        and field.related_model not in (None, ContentType)
        # The ways back along generic relations are below; what shows them to Django is hidden.
        and not (isinstance(field, GenericRel) or getattr(field, "hidden", False))
    ]
    for target in MODELS:
        for field in target._meta.private_fields:
            if isinstance(field, CrossDBGenericRelation) and field.related_model is model:
                name = field.remote_field.related_query_name
                if name:
                    # The way back, which no attribute has.
                    found.append(_step(field, name, target, held=False))
    return tuple(found)


def _columns(model: type[models.Model]) -> tuple[Column, ...]:
    kinds = key_kinds(model)
    found = [Column("pk", kinds[0], False)] if len(kinds) == 1 else []
    return (
        *found,
        *(
            _column(field.attname, field)
            for field in model._meta.concrete_fields
            if not names_a_type(field)
        ),
    )


STEPS = {model: _steps(model) for model in MODELS}
COLUMNS = {model: _columns(model) for model in MODELS}


def columns(model: type[models.Model], kind: str | None = None) -> list[Column]:
    """Return the columns of ``model`` that are of a kind, or all of them."""
    return [column for column in COLUMNS[model] if kind in (None, column.kind)]
