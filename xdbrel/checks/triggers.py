"""Checks of the triggers: what stands in the databases, against what should.

These connect, as those of ``columns`` do, and bear Django's tag ``database`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.core import checks

from xdbrel.cascade.triggers import drift
from xdbrel.cascade.triggers.captures import aliases
from xdbrel.cascade.triggers.install import State
from xdbrel.checks.scope import Found, check, listed

_INSTALL = 'Run "manage.py xdbrel_triggers install --database={alias}".'


@check(checks.Tags.database)
def check_triggers(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> Found:
    """W070, W071, W072, W073: drift of triggers both ways, and what keeps them from working."""
    for alias in aliases():
        if alias not in (databases or ()):
            continue
        try:
            states = drift.check(alias)
        except NotImplementedError as error:
            yield checks.Warning(str(error), id="xdbrel.W073")
            continue
        absent = [s for s in states if s.state in ("missing", "disabled", "outdated")]
        if absent:
            yield checks.Warning(
                f"Triggers in {alias!r} are missing, disabled or outdated, and what they are "
                f"to capture is lost until a scan finds it: {_relations(absent)}.",
                hint=_INSTALL.format(alias=alias),
                id="xdbrel.W070",
            )
        stray = [state for state in states if state.state == "stray"]
        if stray:
            yield checks.Warning(
                f"Triggers in {alias!r} write intents that no relation asks for: "
                f"{listed(f'{state.trigger} on {state.table}' for state in stray)}.",
                hint=_INSTALL.format(alias=alias) + " It removes them.",
                id="xdbrel.W071",
            )
        for state in states:
            if state.state == "broken":
                yield checks.Warning(
                    f"Triggers in {alias!r} cannot write intents to {state.table}: "
                    f"{state.detail}.",
                    hint=f'Run "manage.py migrate xdbrel --database={alias}", or "manage.py '
                    f'xdbrel_triggers remove --database={alias}" to do without triggers.',
                    id="xdbrel.W072",
                )
            elif state.state == "unsupported":
                yield checks.Warning(
                    f"{state.relations[0]} cannot be captured by a trigger in {alias!r}: "
                    f"{state.detail}.",
                    hint='Name the other relations alone in XDBREL["CAPTURE"].',
                    id="xdbrel.W073",
                )


def _relations(states: Iterable[State]) -> str:
    return listed({handle for state in states for handle in state.relations})
