"""Content types: in which database those stand that a row names, and their ids there.

A row that names a content type holds its id in one database; in another the same id may
mean another model. So a content type is found by its natural key, app label and model, in
the database that the row's own id refers to. The content types app is asked for only here
and in ``xdbrel.fields.generic``, when it is needed: a project may do without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Expression
from django.db.models.signals import pre_save
from django.db.models.sql.compiler import SQLCompiler

from xdbrel import placement
from xdbrel.caching import uncached


def installed() -> bool:
    """Tell whether the content types app is among the installed ones."""
    return apps.is_installed("django.contrib.contenttypes")


def model() -> Any:
    """Return the model ``ContentType``."""
    return apps.get_model("contenttypes", "ContentType")


def typed(target: Any, *, concrete: bool = True) -> type[models.Model]:
    """Return the model whose content type ``target`` has: a proxy's own, or its table's."""
    found: type[models.Model] = target._meta.concrete_model if concrete else target._meta.model
    return found


def alias_for(field: models.Field[Any, Any], using: str | None, *, beside: Any = None) -> str:
    """Return the alias of the content types that rows of a model on ``using`` name.

    ``field`` is the model's foreign key to the content type. They stand beside the rows
    where they may; else in their home, and where the key is a cross-database relation and
    a router names one, there. Without ``using`` the rows are those at the model's home;
    ``beside`` is the object at the other end, the routers' hint. Raises ``HomeError``.
    """
    if using is None:
        using = placement.home(field.model, instance=beside)
    using = placement.primary(using)
    types = model()
    if getattr(field, "crosses_databases", False):
        spoken = placement.spoken("db_for_home", types)
        if spoken is not None:
            return placement.primary(spoken)
    return using if placement.may_live(types, using) else placement.home(types)


def of_model(target: Any, alias: str, *, concrete: bool = True) -> Any:
    """Return the content type of a model, or of an instance's, in the database ``alias``.

    It is created there where it is missing, as Django does.
    """
    manager = model()._default_manager.db_manager(alias)
    with uncached():
        return manager.get_for_model(target, for_concrete_model=concrete)


def of_id(number: Any, alias: str) -> Any:
    """Return the content type of this id in ``alias``; raises ``ContentType.DoesNotExist``."""
    manager = model()._default_manager.db_manager(alias)
    with uncached():
        return manager.get_for_id(number)


class TypeId(Expression):
    """The id of a model's content type, as rows of ``field.model`` name it.

    Which one that is turns out when the statement's database is known. Where the rows are
    brought from another database, it is the id that they have there.
    """

    def __init__(self, field: Any, target: type[models.Model]) -> None:
        super().__init__(output_field=field.target_field)
        self.type_field = field
        self.target = target

    def at(self, using: str, *, joined: bool = False) -> Any:
        """Return the id for rows in a statement that runs on ``using``."""
        rows = placement.alias_in(self.type_field.model, using, joined=joined)
        return of_model(self.target, alias_for(self.type_field, rows), concrete=False).pk

    def as_sql(  # type: ignore[override]
        self, compiler: SQLCompiler, connection: Any
    ) -> tuple[str, list[Any]]:
        asked = compiler.query.model
        rows = self.type_field.model._meta.concrete_model
        joined = asked is None or rows not in (
            asked._meta.concrete_model,
            *asked._meta.all_parents,
        )
        return "%s", [self.at(connection.alias, joined=joined)]

    def get_group_by_cols(self) -> list[Any]:
        return []

    @property
    def identity(self) -> tuple[Any, ...]:
        return (type(self), self.type_field, self.target)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeId) and other.identity == self.identity

    def __hash__(self) -> int:
        return hash(self.identity)


def connect() -> None:
    """Let every model with generic foreign keys name content types as its database does."""
    for sender in apps.get_models(include_auto_created=True):
        if any(generic_keys(sender)):
            pre_save.connect(_translate, sender=sender, dispatch_uid="xdbrel.content_types")


def generic_keys(model: type[models.Model]) -> Iterator[Any]:
    """Yield the generic foreign keys of ours that ``model`` has."""
    for field in model._meta.private_fields:
        if getattr(field, "crosses_generically", False):
            yield field


def translate_inserted(query: Any, *, using: str) -> None:
    """Let the instances that an INSERT writes name content types as ``using`` does."""
    # What a fixture says is meant for the database that it is loaded into.
    if not query.raw:
        for field in generic_keys(query.model):
            field.translate(query.objs, using)


def _translate(
    sender: Any, instance: models.Model, using: str, raw: bool = False, **kwargs: Any
) -> None:
    if not raw:
        for field in generic_keys(sender):
            field.translate([instance], using)
