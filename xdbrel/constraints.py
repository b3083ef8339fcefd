"""No constraint towards a table that is not there: what migrations of other apps ask for.

A migration that was written for one database gives each plain relation its constraint. Where
the target lives in another database, PostgreSQL and MariaDB refuse the table for it, and SQLite
refuses every row. No hook stands between a migration and the schema editor, so this module, and
no other, wraps the three methods by which constraints come. Fields of xdbrel have none anyway.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models, router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from xdbrel import placement
from xdbrel.exceptions import HomeError


def install() -> None:
    """Leave such constraints out from now on. Called by the app's ``ready()``."""
    for name in ("create_model", "add_field", "alter_field"):
        django = getattr(BaseDatabaseSchemaEditor, name)
        if not hasattr(django, "xdbrel_wraps"):
            setattr(BaseDatabaseSchemaEditor, name, _wrapped(django))


def _wrapped(django: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(django)
    def method(self: Any, model: Any, *fields: Any, **kwargs: Any) -> None:
        given = (*fields, *kwargs.values())
        changed = [one for one in given if isinstance(one, models.Field)]
        with _unconstrained(model, changed or model._meta.local_fields, self.connection.alias):
            django(self, model, *fields, **kwargs)

    method.xdbrel_wraps = django  # type: ignore[attr-defined]
    return method


@contextmanager
def _unconstrained(model: type[models.Model], fields: Iterable[Any], alias: str) -> Iterator[None]:
    """Let those of a model's fields whose targets are not in ``alias`` want no constraint."""
    plain: list[Any] = [
        field
        for field in fields
        if isinstance(field, models.ForeignKey)
        and field.db_constraint  # type: ignore[attr-defined]
        and _is_elsewhere(model, field, alias)
    ]
    for field in plain:
        field.db_constraint = False
    try:
        yield
    finally:
        for field in plain:
            field.db_constraint = True


def _is_elsewhere(
    model: type[models.Model], field: models.ForeignKey[Any, Any], alias: str
) -> bool:
    """Tell whether the target of a field has no rows in ``alias`` that it could point at.

    The model may be one of a migration's state, not that of the project, and the field one that
    was made for the schema editor, which knows of no model.
    """
    target: Any = field.remote_field.model
    if isinstance(target, str):
        return False
    if not router.allow_migrate_model(alias, target):
        return True
    try:
        now: Any = apps.get_model(model._meta.label)._meta.get_field(field.name)
        if not getattr(now, "crosses_databases", False):
            return False
        return not placement.same_home(alias, placement.home(now.remote_field.model))
    except (LookupError, FieldDoesNotExist, HomeError):
        return False
