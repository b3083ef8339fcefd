"""Install, remove or check the triggers; what they are is in ``xdbrel.cascade.triggers``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from xdbrel.cascade.triggers.captures import aliases
from xdbrel.cascade.triggers.drift import check, notes
from xdbrel.cascade.triggers.install import State, install, remove
from xdbrel.management.base import add_format
from xdbrel.management.commands.xdbrel_relations import aligned

_VERBS = {"install": install, "remove": remove, "check": check}
_COLUMNS = ("database", "state", "table", "trigger", "relations", "")


class Command(BaseCommand):
    help = (
        'Install the triggers that XDBREL["CAPTURE"] asks for, remove all of xdbrel\'s, or '
        "check what stands against what should. Exits with 1 where somebody has to see to "
        "something."
    )

    # A database whose triggers are amiss is what this is for.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=list(_VERBS))
        parser.add_argument(
            "--database", metavar="ALIAS", help="This database only; else every one with intents."
        )
        add_format(parser)

    def handle(
        self, *args: Any, verb: str, database: str | None, format: str, **options: Any
    ) -> None:
        if database is not None and database not in connections.settings:
            known = ", ".join(connections.settings)
            raise CommandError(
                f"There is no database {database!r}; there are: {known}.", returncode=2
            )
        states: list[State] = []
        remarks: list[str] = []
        for alias in [database] if database else aliases():
            try:
                states += _VERBS[verb](alias)
                if verb != "remove":
                    remarks += [f"{alias}: {note}" for note in notes(alias)]
            except NotImplementedError as error:
                raise CommandError(str(error), returncode=2) from error
        if format == "json":
            rows = [state.as_dict() for state in states]
            self.stdout.write(json.dumps({"triggers": rows, "notes": remarks}, indent=2))
        else:
            self._show(states, remarks)
        amiss = [state for state in states if state.is_finding]
        if amiss:
            counted = "1 thing is" if len(amiss) == 1 else f"{len(amiss)} things are"
            raise CommandError(f"{counted} amiss.", returncode=1)

    def _show(self, states: Sequence[State], remarks: Sequence[str]) -> None:
        if states:
            for line in aligned([_COLUMNS, *map(_cells, states)]):
                self.stdout.write(line)
        else:
            self.stderr.write("No trigger stands, and no relation asks for one.")
        for remark in remarks:
            self.stderr.write(remark)


def _cells(state: State) -> tuple[str, ...]:
    return (
        state.database,
        state.state,
        state.table,
        state.trigger,
        ", ".join(state.relations),
        state.detail,
    )
