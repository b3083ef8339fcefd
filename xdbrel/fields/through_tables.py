"""The tables of automatic models that live away from the model that declares them.

Owns two patches of Django's, for fields with ``through_home``. Django makes, migrates and
empties such a table together with the declaring model's, in that one's database, and asks no
router about it. Away from there the model has to be one like any other to whatever makes
tables, while it stays automatic to forms, fixtures and the admin:

* ``ProjectState.from_apps()``, which migrations are written by, counts it among the models;
* ``ConnectionRouter`` has it where its field says, and nowhere else, for migrations, for
  apps without migrations and for the flush between tests. A migration notes the place with
  the model, so it is the same for a migration of long ago.

Everything else about routers and states is Django's own.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import models
from django.db.migrations.state import ModelState, ProjectState
from django.db.utils import ConnectionRouter

from xdbrel import placement

_from_apps = ProjectState.from_apps.__func__  # type: ignore[attr-defined]
_allow_migrate_model = ConnectionRouter.allow_migrate_model
_get_migratable_models = ConnectionRouter.get_migratable_models

#: What Django's automatic model has and a migration would only have to follow.
_NOT_NOTED = ("auto_created", "verbose_name", "verbose_name_plural")


def install() -> None:
    """Let tables with a home of their own be made there. Called by the app's ``ready()``."""
    ProjectState.from_apps = classmethod(from_apps)  # type: ignore[assignment]
    ConnectionRouter.allow_migrate_model = allow_migrate_model  # type: ignore[method-assign]
    ConnectionRouter.get_migratable_models = get_migratable_models  # type: ignore[method-assign]


def from_apps(cls: type[ProjectState], apps: Any) -> ProjectState:
    """``ProjectState.from_apps()``, with the automatic models that have a home of their own."""
    state: ProjectState = _from_apps(cls, apps)
    for model in apps.get_models(include_auto_created=True, include_swapped=True):
        if model._meta.auto_created and placement.through_home(model) is not None:
            state.add_model(_state_of(model))
    return state


def allow_migrate_model(self: ConnectionRouter, db: str, model: type[models.Model]) -> bool:
    """``ConnectionRouter.allow_migrate_model()``, by the field where one names a home."""
    named = placement.through_home(model)
    if named is None:
        return bool(_allow_migrate_model(self, db, model))
    return placement.primary(db) == db and placement.same_home(db, named)


def get_migratable_models(
    self: ConnectionRouter, app_config: AppConfig, db: str, include_auto_created: bool = False
) -> list[type[models.Model]]:
    """``ConnectionRouter.get_migratable_models()``, with what stands here by itself."""
    found = list(_get_migratable_models(self, app_config, db, include_auto_created))
    if not include_auto_created:
        found += [
            model
            for model in app_config.get_models(include_auto_created=True)
            if model._meta.auto_created
            and placement.through_home(model) is not None
            and self.allow_migrate_model(db, model)
        ]
    return found


def _state_of(model: type[models.Model]) -> ModelState:
    state = ModelState.from_model(model)
    for name in _NOT_NOTED:
        state.options.pop(name, None)
    if not state.options.get("db_tablespace"):
        state.options.pop("db_tablespace", None)
    if not model._meta.managed:
        state.options["managed"] = False
    return state
