"""Checks of what django-cachalot does not learn of, by the settings and the models.

It forgets what it cached of a table when it sees a write to it, on the alias of the write.
What it cannot see is said here; what it sees too late, ``xdbrel.caching`` mends.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.db import connections, models
from django.db import router as django_router

from xdbrel import caching, compat, placement
from xdbrel.checks.scope import Found, check, home, listed, models_of, relations_of


@check()
def check_replicas(**kwargs: Any) -> Found:
    """W056: a replica's alias, which nobody writes to, among those that are cached."""
    if not caches():
        return
    for alias in connections:
        if placement.primary(alias) != alias and _is_cached(alias):
            yield checks.Warning(
                f"django-cachalot caches what is read from {alias!r}, a replica of "
                f"{placement.primary(alias)!r}, and sees no write to it: its answers stay as "
                f"they were first.",
                hint=f"Leave {alias!r} out of CACHALOT_DATABASES.",
                id="xdbrel.W056",
            )


@check()
def check_raw_writes(app_configs: Any, **kwargs: Any) -> Found:
    """W057: a table at an end of a relation that cachalot does not look for in raw SQL."""
    if not caches() or not getattr(django_settings, "CACHALOT_INVALIDATE_RAW", True):
        return
    known = set(getattr(django_settings, "CACHALOT_ADDITIONAL_TABLES", ()))
    found: set[type[models.Model]] = set()
    for relation in relations_of(app_configs):
        for model in (relation.source, relation.target):
            alias = home(model)
            if alias is None or not _is_cached(alias) or not is_cachable(model):
                continue
            managed = model._meta.managed and django_router.allow_migrate_model(alias, model)
            if not managed and model._meta.db_table not in known:
                found.add(model)
    if found:
        yield checks.Warning(
            f"django-cachalot does not look in raw SQL for the tables of "
            f"{listed(model._meta.label for model in found)}, which Django does not migrate in "
            f"their homes: what raw SQL changes there stays cached.",
            hint="Name them in CACHALOT_ADDITIONAL_TABLES: "
            f"{listed(model._meta.db_table for model in found)}.",
            id="xdbrel.W057",
        )


@check()
def check_database_cascades(app_configs: Any, **kwargs: Any) -> Found:
    """W058: a cascade that the database does by itself, to a table that is cached."""
    if not caches():
        return
    for model in models_of(app_configs):
        for field in model._meta.local_fields:
            on_delete = getattr(field.remote_field, "on_delete", None)
            if not compat.is_database_level(on_delete) or not is_cachable(model):
                continue
            alias = home(model)
            if alias is not None and _is_cached(alias):
                yield checks.Warning(
                    f"django-cachalot does not see the rows of {model._meta.label} that "
                    f"{alias!r} changes by itself when what {field.name!r} refers to is deleted.",
                    hint=f"Let Django do it (CASCADE, SET_NULL, SET_DEFAULT), or add "
                    f"{model._meta.db_table!r} to CACHALOT_UNCACHABLE_TABLES.",
                    obj=field,
                    id="xdbrel.W058",
                )


def caches() -> bool:
    """Tell whether django-cachalot is installed and switched on."""
    return caching.installed() and getattr(django_settings, "CACHALOT_ENABLED", True)


def _is_cached(alias: str) -> bool:
    wanted = getattr(django_settings, "CACHALOT_DATABASES", "supported_only")
    return wanted == "supported_only" or alias in wanted


def is_cachable(model: type[models.Model]) -> bool:
    """Tell whether the settings let django-cachalot cache what is read of the model's table."""
    table, label = model._meta.db_table, model._meta.app_label
    if table in getattr(django_settings, "CACHALOT_UNCACHABLE_TABLES", ()):
        return False
    if label in getattr(django_settings, "CACHALOT_UNCACHABLE_APPS", ()):
        return False
    only_tables = getattr(django_settings, "CACHALOT_ONLY_CACHABLE_TABLES", ())
    only_apps = getattr(django_settings, "CACHALOT_ONLY_CACHABLE_APPS", ())
    return not (only_tables or only_apps) or table in only_tables or label in only_apps
