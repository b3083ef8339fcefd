"""The error of the triggers' migration operation. Commands show states instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xdbrel.exceptions import XdbrelError

if TYPE_CHECKING:
    from xdbrel.cascade.triggers.install import State


class TriggersNotInstalled(XdbrelError):
    """Some triggers could not be made or removed. Attribute: ``states`` (those amiss)."""

    def __init__(self, states: Sequence[State]) -> None:
        self.states = tuple(states)
        super().__init__(
            "; ".join(
                f"{', '.join(state.relations) or state.trigger or state.table} in "
                f"{state.database!r}: {state.state}, {state.detail}"
                for state in states
            )
            + '. Correct that, or leave these relations out of XDBREL["CAPTURE"].'
        )
