"""``manage.py xdbrel_prune``: delete finished intents and old history.

The work is that of ``cascade.prune`` and ``integrity.history``.
"""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from xdbrel.cascade.prune import PruneResult, prune
from xdbrel.conf import settings
from xdbrel.integrity.history import HistoryPruned
from xdbrel.integrity.history import prune as prune_history
from xdbrel.management.base import add_dry_run, add_format
from xdbrel.management.commands.xdbrel_relay import unreachable

#: Some 270 years: a date so long ago can still be calculated.
_MOST_DAYS = 100_000


class Command(BaseCommand):
    help = (
        "Delete the intents of cascades that were finished long ago, and scans and repairs of "
        "even longer ago. What waits, was set aside or is what repairs go by is kept. Exits "
        "with 1 if a database did not answer, with 2 for one that there is not."
    )

    # Checks of fields may ask every database, one of which may be away just now.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--database", metavar="ALIAS", help="Prune what is in this database only."
        )
        parser.add_argument(
            "--older-than",
            type=days,
            metavar="DAYS",
            help='Days since they were finished. Default: XDBREL["KEEP_APPLIED_DAYS"].',
        )
        parser.add_argument(
            "--history-older-than",
            type=days,
            metavar="DAYS",
            help='Days since scans and repairs began. Default: XDBREL["KEEP_HISTORY_DAYS"].',
        )
        add_dry_run(parser, "deleted")
        add_format(parser)

    def handle(
        self,
        *args: Any,
        database: str | None = None,
        older_than: float | None = None,
        history_older_than: float | None = None,
        dry_run: bool = False,
        format: str = "text",
        **options: Any,
    ) -> None:
        if database is not None and database not in connections.settings:
            known = ", ".join(connections.settings)
            self.stderr.write(f"There is no database {database!r}; there are: {known}.")
            raise SystemExit(2)
        result = prune(database, older_than=older_than, dry_run=dry_run)
        past = None
        if database in (None, settings.INTEGRITY_DATABASE):
            past = prune_history(older_than=history_older_than, dry_run=dry_run)
        if format == "json":
            history = past and past.as_dict()
            self.stdout.write(json.dumps({**result.as_dict(), "history": history}))
        else:
            self._show(result)
            if past is not None:
                self._show_history(past)
        if result.unreachable or (past is not None and past.unreachable):
            raise SystemExit(1)

    def _show(self, result: PruneResult) -> None:
        done = "Would delete" if result.dry_run else "Deleted"
        for alias, number in result.intents.items():
            if number or alias not in result.unreachable:
                self.stdout.write(f"{done} {number:,} finished intents in {alias}.")
        for line in unreachable(result.unreachable):
            self.stdout.write(line)

    def _show_history(self, past: HistoryPruned) -> None:
        if past.unreachable:
            self.stdout.write(f"The history could not be pruned: {past.unreachable}")
            return
        done = "Would delete" if past.dry_run else "Deleted"
        self.stdout.write(
            f"{done} {past.runs:,} old scans with {past.findings:,} findings and "
            f"{past.repairs:,} old repairs."
        )


def days(given: str) -> float:
    """Return a number of days as ``--older-than`` takes it."""
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not 0 <= number <= _MOST_DAYS:
        raise ArgumentTypeError(f"not a number of days from 0 to {_MOST_DAYS:,}: {given!r}")
    return number
