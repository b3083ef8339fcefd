"""The router that lets every model of this app stand in the database ``whole`` as well.

It speaks of migrations alone: no query is sent to ``whole`` unless it says so itself. It is
in force while the tests of ``tests/oracle`` run, before the others.
"""

from __future__ import annotations

WHOLE = "whole"


class WholeRouter:
    """Keep the tables of ``parted``, and nothing else, in ``whole``."""

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        if db != WHOLE or app_label == "xdbrel":
            return None
        return app_label == "parted"
