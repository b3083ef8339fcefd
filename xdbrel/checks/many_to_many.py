"""Checks of the many-to-many fields. Their keys are relations, which ``fields`` checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.db import connections, models

from xdbrel import placement
from xdbrel.checks.scope import Found, check, home, is_resolved, models_of
from xdbrel.conf import settings
from xdbrel.relations import handle_of


@check()
def check_through_home(app_configs: Any = None, **kwargs: Any) -> Found:
    """E100, E101: a home for the rows in between where they cannot be, or are not."""
    for field, through in _fields(app_configs):
        named = field.through_home
        if named is None:
            continue
        if named not in connections.settings:
            yield checks.Error(
                f"{handle_of(field)} has through_home={named!r}, which is not among DATABASES.",
                hint="Name the alias of a database, or leave out through_home.",
                obj=field,
                id="xdbrel.E100",
            )
        elif placement.primary(named) != named:
            yield checks.Error(
                f"{handle_of(field)} has through_home={named!r}, a replica of "
                f"{placement.primary(named)!r}: nothing is written there.",
                hint=f"Write through_home={placement.primary(named)!r}.",
                obj=field,
                id="xdbrel.E100",
            )
        elif placement.made_by(through) is None:
            lives = home(through)
            if lives is None or not placement.same_home(lives, named):
                yield checks.Error(
                    f"{handle_of(field)} has through_home={named!r}, and its model in between, "
                    f"{through._meta.label}, is the project's own and lives in {lives!r}.",
                    hint="Leave out through_home, and let the routers say where "
                    f"{through._meta.label} lives.",
                    obj=field,
                    id="xdbrel.E101",
                )


@check()
def check_spanning_queries(app_configs: Any = None, **kwargs: Any) -> Found:
    """E102: managers that cannot read, since queries may not span."""
    if settings.SPANNING_QUERIES:
        return
    for field, through in _fields(app_configs):
        homes = {home(model) for model in (field.model, through, field.remote_field.model)}
        if len({one and placement.primary(one) for one in homes}) > 1:
            yield checks.Error(
                f"{handle_of(field)} is a many-to-many relation between databases, and "
                f'XDBREL["SPANNING_QUERIES"] is False: its managers cannot read.',
                hint='Leave XDBREL["SPANNING_QUERIES"] at True, or give the models one home.',
                obj=field,
                id="xdbrel.E102",
            )


def _fields(app_configs: Any) -> Iterator[tuple[Any, type[models.Model]]]:
    """Yield the many-to-many fields of ours, each with the model in between."""
    for model in models_of(app_configs):
        for field in model._meta.local_many_to_many:
            through: Any = field.remote_field.through
            if (
                getattr(field, "leads_by_through", False)
                and not model._meta.swapped
                and is_resolved(field)
                and hasattr(through, "_meta")
            ):
                yield field, through
