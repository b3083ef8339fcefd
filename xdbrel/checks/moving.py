"""Checks of what ``XDBREL["MOVING"]`` names."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core import checks

from xdbrel import placement
from xdbrel.checks.configuration import check_alias, unknown_label
from xdbrel.checks.scope import Found, check
from xdbrel.conf import settings
from xdbrel.routers import HomeRouter


@check()
def check_moving(app_configs: Any = None, **kwargs: Any) -> Found:
    """E130, E131, W132: other databases where tables stand meanwhile."""
    for name, alias in settings.MOVING.items():
        entry = f'XDBREL["MOVING"]["{name}"]'
        found = list(check_alias(entry, alias, "xdbrel.E130"))
        unknown = unknown_label("MOVING", name, "xdbrel.E131")
        yield from found
        if unknown is not None:
            yield unknown
        elif not found and _is_home_of_all(name, alias):
            yield checks.Warning(
                f"{entry} has no effect: {name} lives in {alias!r} anyway.",
                hint="Remove it, or name the database that its rows are moved to or from.",
                id="xdbrel.W132",
            )


def _is_home_of_all(name: str, alias: str) -> bool:
    app_label, _, model_name = name.partition(".")
    config = next(one for one in apps.get_app_configs() if one.label.lower() == app_label.lower())
    models = [config.get_model(model_name)] if model_name else list(config.get_models())
    homes = [HomeRouter().db_for_write(model) for model in models]
    return bool(homes) and all(placement.same_home(home or "default", alias) for home in homes)
