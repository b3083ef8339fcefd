"""Triggers out of the way while xdbrel's own tables change, and back when they stand.

A trigger that outlives the intents' table fails, on SQLite together with every migration
that makes a table anew. And a migration of any app may take triggers away: SQLite's with
the table that Django makes anew, all with a column or table that gets another name.
"""

from __future__ import annotations

import logging
from typing import Any

from xdbrel.cascade import intents
from xdbrel.cascade.triggers.install import install, intents_are_there, remove
from xdbrel.conf import settings

logger = logging.getLogger(__name__)


def before(using: str, plan: Any, **kwargs: Any) -> None:
    """Receive ``pre_migrate``: remove what stands if xdbrel's own tables are to change."""
    if any(migration.app_label == "xdbrel" for migration, _ in plan) and intents.may_stand(using):
        _report(remove(using))


def after(using: str, **kwargs: Any) -> None:
    """Receive ``post_migrate``: what ``XDBREL["CAPTURE"]`` asks for stands again."""
    if settings.CAPTURE != "orm" and intents.may_stand(using) and intents_are_there(using):
        _report(install(using))


def _report(states: Any) -> None:
    for state in states:
        if state.is_finding:
            logger.warning(
                "%s: the trigger %s is %s: %s. manage.py xdbrel_triggers check says more.",
                state.table or ", ".join(state.relations),
                state.trigger,
                state.state,
                state.detail,
                extra={
                    "action": "trigger_not_installed",
                    "relation": ", ".join(state.relations) or None,
                    "alias": state.database,
                },
            )
