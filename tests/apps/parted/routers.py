"""Routers that are in force while the tests of ``tests/oracle`` run, before the others."""

from __future__ import annotations

WHOLE = "whole"


class WholeRouter:
    """Keep the twins of ``parted``, and the content types that they name, in ``whole``."""

    def _home(self, model, **hints):
        return WHOLE if model._meta.app_label == WHOLE else None

    db_for_read = db_for_write = db_for_home = _home

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        if app_label == WHOLE:
            return db == WHOLE
        if db == WHOLE:
            return app_label == "contenttypes"
        return None
