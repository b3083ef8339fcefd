"""Checks of django-cachalot and Celery beside xdbrel, by the settings alone.

Neither is imported here. Celery's app is looked at where the project has loaded it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.cache.backends.locmem import LocMemCache
from django.utils.module_loading import import_string

from xdbrel.checks.caches import caches, is_cachable
from xdbrel.checks.scope import Found, check, crossing
from xdbrel.relations import all_relations

_RELAY = ("xdbrel.relay",)
_SCAN = ("xdbrel.scan_all", "xdbrel.scan")


@check()
def check_uncached_tables(**kwargs: Any) -> Found:
    """W050: xdbrel's own tables in django-cachalot's cache."""
    if caches() and any(map(is_cachable, apps.get_app_config("xdbrel").get_models())):
        yield checks.Warning(
            "django-cachalot caches xdbrel's own tables, which change with every delete.",
            hint='Add "xdbrel" to CACHALOT_UNCACHABLE_APPS.',
            id="xdbrel.W050",
        )


@check()
def check_shared_cache(**kwargs: Any) -> Found:
    """W051: a cache of one process, beside a worker that writes in another."""
    if not caches() or not _has_worker():
        return
    name = getattr(django_settings, "CACHALOT_CACHE", "default")
    backend = django_settings.CACHES.get(name, {}).get("BACKEND", "")
    if backend and issubclass(import_string(backend), LocMemCache):
        yield checks.Warning(
            f"django-cachalot keeps its cache {name!r} in the memory of each process: what "
            f"a Celery worker deletes stays in the others'.",
            hint=f"Use a cache that processes share for {name!r}, as Redis, or set "
            f"CACHALOT_ENABLED = False where there is none.",
            id="xdbrel.W051",
        )


@check(deploy=True)
def check_schedule(**kwargs: Any) -> Found:
    """W052, W053: neither relay nor scan in Celery's schedule."""
    schedule = _schedule()
    if schedule is None or not any(crossing(all_relations())):
        return
    scheduled = {entry.get("task") for entry in schedule.values() if isinstance(entry, Mapping)}
    if scheduled.isdisjoint(_RELAY):
        yield checks.Warning(
            "Celery's beat schedule has no relay: cascades that a crash or an error cut "
            "short are never finished.",
            hint='Schedule the task "xdbrel.relay" every few seconds, or run "manage.py '
            'xdbrel_relay" as a service and silence this check.',
            id="xdbrel.W052",
        )
    if scheduled.isdisjoint(_SCAN):
        yield checks.Warning(
            "Celery's beat schedule has no scan: orphans that other programs leave are "
            "never found.",
            hint='Schedule the task "xdbrel.scan_all" daily, or run "manage.py xdbrel_scan" '
            "by cron and silence this check.",
            id="xdbrel.W053",
        )


def _celery_app() -> Any:
    """Return the project's Celery app, or ``None`` where none is loaded.

    A project loads it in its package, as Celery's documentation has it. Importing a worker
    from here would run it in every process that checks.
    """
    celery = sys.modules.get("celery")
    if celery is None:
        return None
    app = celery.current_app
    # Celery makes an app of this name where nobody has made one.
    return None if app.main == "default" else app


def _has_worker() -> bool:
    if getattr(django_settings, "CELERY_BROKER_URL", None):
        return True
    app = _celery_app()
    return app is not None and not app.conf.task_always_eager


def _schedule() -> Mapping[str, Any] | None:
    """Return the static beat schedule, or ``None`` where it is not known."""
    app = _celery_app()
    if app is None:
        written: Mapping[str, Any] | None = getattr(django_settings, "CELERY_BEAT_SCHEDULE", None)
        return written
    if not str(app.conf.beat_scheduler).startswith("celery.beat"):
        return None  # It is kept elsewhere, in a database perhaps.
    schedule: Mapping[str, Any] = app.conf.beat_schedule or {}
    return schedule
