"""Checks of the relations that ``XDBREL["ADOPT"]`` names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks
from django.db import connections, models

from xdbrel.checks.scope import Found, check, crossing, models_of, relations_of
from xdbrel.conf import settings
from xdbrel.fields.adoption import AdoptedMixin, named, why_not
from xdbrel.relations import handle_of


@check()
def check_adopted(**kwargs: Any) -> Found:
    """E140: what ``ADOPT`` names, and cannot be adopted."""
    for handle in settings.ADOPT:
        field = named(handle)
        if field is None:
            close = difflib.get_close_matches(handle, _handles(), n=1)
            yield checks.Error(
                f'XDBREL["ADOPT"] names {handle!r}, and there is no such relation.',
                hint=(
                    f"Write {close[0]!r} instead."
                    if close
                    else "Write app_label.Model.field, of the model that declares the field."
                ),
                id="xdbrel.E140",
            )
            continue
        reason = why_not(field)
        if reason is not None:
            yield checks.Error(
                f'{handle} in XDBREL["ADOPT"] cannot be adopted: {reason}.',
                hint="Remove it.",
                obj=field,
                id="xdbrel.E140",
            )


@check(checks.Tags.database)
def check_constraints(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> Found:
    """W141: constraints from before an adopted relation crossed."""
    for relation in crossing(relations_of(app_configs)):
        alias = relation.source_home
        if not isinstance(relation.field, AdoptedMixin) or alias not in (databases or ()):
            continue
        for name in _constraints(alias, relation.field):
            yield checks.Warning(
                f"{relation} crosses, and its column has the constraint {name} in {alias!r}: "
                f"rows whose target is in {relation.target_home!r} alone are refused.",
                hint=f"Drop it, with a RunSQL in a migration of yours: the app "
                f"{relation.source._meta.app_label!r} has none for it.",
                obj=relation.field,
                id="xdbrel.W141",
            )


def _handles() -> Iterator[str]:
    for model in models_of(None):
        if not model._meta.auto_created:
            meta = model._meta
            for field in (*meta.local_fields, *meta.local_many_to_many, *meta.private_fields):
                if field.many_to_one or field.one_to_one or field.many_to_many:
                    yield handle_of(field)


def _constraints(alias: str, field: models.ForeignKey[Any, Any]) -> list[str]:
    """Return the names of the foreign keys that the column has, if its table is there."""
    connection = connections[alias]
    table = field.model._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return []
        found = connection.introspection.get_constraints(cursor, table)
    return [
        name
        for name, constraint in found.items()
        if constraint["foreign_key"] and constraint["columns"] == [field.column]
    ]
