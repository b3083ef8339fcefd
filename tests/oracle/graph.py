"""The ways from model to model, and what can be said of the columns at their end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import models

from tests.apps.parted.models import (
    Author,
    Club,
    Comment,
    Country,
    Membership,
    Order,
    Post,
    Profile,
    Reading,
)

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
)
BY_NAME = {model.__name__: model for model in MODELS}

_KINDS = {
    "CharField": "text",
    "TextField": "text",
    "IntegerField": "int",
    "BigAutoField": "int",
    "DecimalField": "decimal",
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
    #: Whether it is a column of the model that it starts from.
    forward: bool


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


def _column(name: str, field: Any) -> Column:
    return Column(name, kind_of(field), field.null)


def _steps(model: type[models.Model]) -> tuple[Step, ...]:
    found = []
    for field in model._meta.get_fields():
        if field.is_relation:
            many = bool(field.one_to_many or field.many_to_many)
            found.append(Step(field.name, field.related_model, many, bool(field.concrete)))
    return tuple(found)


def _columns(model: type[models.Model]) -> tuple[Column, ...]:
    found = [_column(field.attname, field) for field in model._meta.concrete_fields]
    return (_column("pk", model._meta.pk), *found)


STEPS = {model: _steps(model) for model in MODELS}
COLUMNS = {model: _columns(model) for model in MODELS}


def columns(model: type[models.Model], kind: str | None = None) -> list[Column]:
    """Return the columns of ``model`` that are of a kind, or all of them."""
    return [column for column in COLUMNS[model] if kind in (None, column.kind)]


def key_kind(model: type[models.Model]) -> str:
    """Return the kind of the primary key of ``model``."""
    return COLUMNS[model][0].kind
