"""The registry of relations: one frozen record for each cross-database field.

A relation's handle, ``app_label.Model.field``, is the same in commands, logs, the
admin and metrics. A generic relation is one for each model that it leads to,
``app_label.Model.field[app_label.Target]``. Records are made from the installed models
when they are asked for, so homes follow the routers of the moment. The fields themselves
are in ``xdbrel.fields``; they are known here by their marks alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models

from xdbrel import placement
from xdbrel.exceptions import UnknownRelation


@dataclass(frozen=True)
class Relation:
    """One relation: a field, the models at its ends and where they live."""

    #: A ``ForeignObject``: of one column (``ForeignKey``), or of several.
    field: models.ForeignKey[Any, Any]

    @property
    def handle(self) -> str:
        """``app_label.Model.field``."""
        return handle_of(self.field)

    @property
    def source(self) -> type[models.Model]:
        """The model that holds the key."""
        return self.field.model

    @property
    def target(self) -> type[models.Model]:
        """The model that the key points at."""
        model: type[models.Model] = self.field.remote_field.model
        return model

    @property
    def target_field(self) -> models.Field[Any, Any]:
        """The field of the target whose values the keys are.

        Where they are several columns', that is a field without a column, whose values are
        tuples: see ``target_fields``.
        """
        field: models.Field[Any, Any] = self.field.target_field
        return field

    @property
    def source_fields(self) -> tuple[models.Field[Any, Any], ...]:
        """The fields of the source that hold the key."""
        fields: tuple[models.Field[Any, Any], ...] = self.field.local_related_fields
        return fields

    @property
    def target_fields(self) -> tuple[models.Field[Any, Any], ...]:
        """The fields of the target that ``source_fields`` are compared with, in their order."""
        fields: tuple[models.Field[Any, Any], ...] = self.field.foreign_related_fields
        return fields

    @property
    def is_composite(self) -> bool:
        """Whether keys are tuples: those of several columns."""
        return is_composite(self.field)

    @property
    def condition(self) -> models.Q | None:
        """Which rows of the source's model are sources of this relation; ``None`` for all."""
        found: models.Q | None = getattr(self.field, "condition", None)
        return found

    @property
    def source_home(self) -> str:
        """The alias where sources are written."""
        return placement.home(self.source)

    @property
    def target_home(self) -> str:
        """The alias where targets are written."""
        return placement.home(self.target)

    @property
    def crosses(self) -> bool:
        """Whether source and target have different homes."""
        return not placement.same_home(self.source_home, self.target_home)

    @property
    def policy(self) -> str:
        """The name of the ``on_delete`` that was declared: ``CASCADE``, ``SET_NULL`` …"""
        on_delete = self.field.policy  # type: ignore[attr-defined]
        name: str = getattr(on_delete, "__name__", type(on_delete).__name__)
        # What SET() returns bears the name of the function inside it.
        return "SET" if name == "set_on_delete" else name

    def __str__(self) -> str:
        return self.handle


def handle_of(field: models.Field[Any, Any]) -> str:
    """Return ``app_label.Model.field`` of a field of a model."""
    return f"{field.model._meta.label}.{field.name}"


def is_composite(field: Any) -> bool:
    """Tell whether a relation's field is of several columns."""
    return isinstance(field, models.ForeignObject) and not isinstance(field, models.ForeignKey)


def assignments(field: Any, value: Any) -> dict[str, Any]:
    """Return what ``update()`` is given to let sources hold the key ``value``, or none.

    No key of several columns is ``NULL`` in those of them that may be.
    """
    if not is_composite(field):
        return {field.name: value}
    if value is None:
        return {column.attname: None for column in field.columns_to_clear}
    columns = field.local_related_fields
    return {column.attname: part for column, part in zip(columns, value, strict=True)}


def all_relations() -> list[Relation]:
    """Return every relation of the installed apps, sorted by handle."""
    return sorted((Relation(field) for field in _fields()), key=lambda found: found.handle)


def get(handle: str) -> Relation:
    """Return the relation of that handle, whatever its letters' case in the model's name.

    Raises ``UnknownRelation``, with the nearest handles in the message.
    """
    known = {relation.handle: relation for relation in all_relations()}
    if handle in known:
        return known[handle]
    folded = {name.lower(): relation for name, relation in known.items()}
    if handle.lower() in folded:
        return folded[handle.lower()]
    found = _of_generic(handle)
    if found is not None:
        return found
    raise UnknownRelation(handle, difflib.get_close_matches(handle, known, n=3))


def _of_generic(handle: str) -> Relation | None:
    """Return ``app.Model.field[app.Target]`` of a target that does not declare its side."""
    rest, bracket, target = handle.removesuffix("]").partition("[")
    label, _, name = rest.rpartition(".")
    if not bracket or label.count(".") != 1:
        return None
    try:
        source, model = apps.get_model(label), apps.get_model(target)
    except (LookupError, ValueError):
        return None
    for field in source._meta.private_fields:
        if field.name == name and getattr(field, "crosses_generically", False):
            return Relation(field.key_to(model))
    return None


def between(first: type[models.Model], second: type[models.Model]) -> bool:
    """Tell whether a cross-database relation leads from one of two models to the other.

    Proxies count as the model whose rows they show, and what a parent declares or is
    pointed at counts for its multi-table children, since their instances are the parent's too.
    """
    return _leads(first, second) or _leads(second, first)


def _leads(source: type[models.Model], target: type[models.Model]) -> bool:
    # Those of the parents as well, and of the model that a proxy stands for.
    targets = [
        field.remote_field.model  # type: ignore[union-attr]
        for field in (*source._meta.fields, *source._meta.many_to_many)
        if getattr(field, "crosses_databases", getattr(field, "leads_by_through", False))
    ]
    if targets:
        ends = {one._meta.concrete_model for one in (target, *target._meta.all_parents)}
        return any(one._meta.concrete_model in ends for one in targets)
    return False


def _fields() -> Iterator[models.ForeignKey[Any, Any]]:
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_fields:
            if getattr(field, "crosses_databases", False):
                yield field  # type: ignore[misc]
        for generic in model._meta.private_fields:
            # A generic relation is one for each model that declares its other side.
            if getattr(generic, "crosses_generically", False):
                yield from generic.declared_keys
