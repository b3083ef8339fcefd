"""Checks of generic relations between databases, and of the content types that they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core import checks
from django.db import connections, models, router

from xdbrel import content_types, placement
from xdbrel.caching import uncached
from xdbrel.checks.scope import Found, check, home, is_resolved, listed, models_of
from xdbrel.compat import finds_generic_accessors
from xdbrel.exceptions import HomeError

_INSTEAD = "Declare CrossDBGenericForeignKey in its place"


@check()
def check_generic_fields(app_configs: Any = None, **kwargs: Any) -> Found:
    """What Django's checks say of each GenericForeignKey, where they do not find xdbrel's."""
    if not content_types.installed() or finds_generic_accessors():
        return
    for model in models_of(app_configs):
        for field in model._meta.private_fields:
            if getattr(field, "crosses_generically", False):
                yield from field.check()


@check()
def check_other_side(app_configs: Any = None, **kwargs: Any) -> Found:
    """E110: generic relations to a plain GenericForeignKey."""
    if not content_types.installed():
        return
    from xdbrel.fields.generic import CrossDBGenericRelation

    for model in models_of(app_configs):
        for field in model._meta.private_fields:
            if (
                not isinstance(field, CrossDBGenericRelation)
                or field.model is not model
                or not is_resolved(field)
                or field.generic is None
                or getattr(field.generic, "crosses_generically", False)
            ):
                continue
            other = f"{field.remote_field.model._meta.label}.{field.generic.name}"
            yield checks.Error(
                f"{model._meta.label}.{field.name} is the other side of {other}, a plain "
                f"GenericForeignKey, which looks in its own database and names content types "
                f"as the target's database does. Deletes are not followed to another one.",
                hint=f"{_INSTEAD}, or GenericRelation here.",
                obj=field,
                id="xdbrel.E110",
            )


@check(checks.Tags.database)
def check_content_types(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> Found:
    """W111: plain generic keys to models elsewhere, where content types have several ids."""
    if not content_types.installed():
        return
    ids = {alias: _ids(alias) for alias in _with_types(databases or ())}
    for model in models_of(app_configs):
        here = None if model._meta.proxy else home(model)
        if here is None or here not in ids:
            continue
        for field in _plain_keys(model):
            differing = {
                alias: label
                for label, number in _named(field, here, ids[here])
                for alias, known in ids.items()
                if _lives(label, alias) and alias != here and known.get(label) != number
            }
            if differing:
                told = listed(f"{label} in {alias!r}" for alias, label in differing.items())
                yield checks.Warning(
                    f"{model._meta.label}.{field.name} in {here!r} names models that live "
                    f"elsewhere, whose content types have other ids there: {told}. A plain "
                    f"GenericForeignKey takes one for the other.",
                    hint=f'{_INSTEAD}; "manage.py xdbrel_contenttypes" shows the differences '
                    f"and rows that hold wrong ids.",
                    obj=field,
                    id="xdbrel.W111",
                )


@check()
def check_inlines(app_configs: Any = None, **kwargs: Any) -> Found:
    """W112: admin inlines that ask for content types where the rows do not name them."""
    if not content_types.installed() or not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.sites import all_sites
    from django.contrib.contenttypes.admin import GenericInlineModelAdmin

    from xdbrel.fields.generic.formsets import CrossDBGenericInlineFormSet

    inlines: dict[Any, None] = {}
    for site in all_sites:
        for admin in site._registry.values():
            inlines.update(dict.fromkeys(admin.inlines))
    for inline in inlines:
        if (
            not isinstance(inline, type)
            or not issubclass(inline, GenericInlineModelAdmin)
            or issubclass(inline.formset, CrossDBGenericInlineFormSet)
        ):
            continue
        field: Any = inline.model._meta.get_field(inline.ct_field)
        try:
            named = content_types.alias_for(field, None)
        except HomeError:
            continue  # Another check says so.
        asked = router.db_for_read(content_types.model())
        if not placement.same_home(named, asked):
            yield checks.Warning(
                f"{inline.__module__}.{inline.__qualname__} asks for content types in "
                f"{asked!r}, and rows of {inline.model._meta.label} name those of {named!r}.",
                hint="Subclass CrossDBGenericTabularInline or CrossDBGenericStackedInline of "
                "xdbrel.admin.generic.",
                obj=inline,
                id="xdbrel.W112",
            )


def _plain_keys(model: type[models.Model]) -> Iterator[Any]:
    from django.contrib.contenttypes.fields import GenericForeignKey

    for field in model._meta.private_fields:
        if (
            isinstance(field, GenericForeignKey)
            and field.model is model
            and not getattr(field, "crosses_generically", False)
        ):
            yield field


def _with_types(databases: Sequence[str]) -> Iterator[str]:
    """Yield those of the databases that have a table of content types."""
    types = content_types.model()
    for alias in databases:
        if router.allow_migrate_model(alias, types) and placement.primary(alias) == alias:
            connection = connections[alias]
            with connection.cursor() as cursor:
                tables = connection.introspection.table_names(cursor)
            if types._meta.db_table in tables:
                yield alias


def _ids(alias: str) -> dict[str, Any]:
    with uncached():
        rows = content_types.model()._default_manager.using(alias)
        found = rows.values_list("app_label", "model", "pk")
        return {f"{app}.{name}": pk for app, name, pk in found}


def _named(field: Any, alias: str, ids: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield label and id of the content types that rows of a generic key name."""
    connection = connections[alias]
    table = field.model._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return
    by_id = {pk: label for label, pk in ids.items()}
    attname = field.model._meta.get_field(field.ct_field).attname
    with uncached():
        rows = field.model._base_manager.using(alias).order_by()
        for number in rows.values_list(attname, flat=True).distinct():
            if number in by_id:
                yield by_id[number], number


def _lives(label: str, alias: str) -> bool:
    try:
        found = home(apps.get_model(label))
    except LookupError:
        return False
    return found is not None and placement.same_home(found, alias)
