"""``manage.py xdbrel_relay``: finish the cascades that deletes have left behind, and see to them.

Applying is ``cascade.relay``'s, the figures are ``cascade.backlog``'s, and what is tried again
or waits is ``cascade.retry``'s and ``cascade.pauses``'.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser
from django.db import connections

from xdbrel.cascade.backlog import Backlog, backlog, warn_if_late
from xdbrel.cascade.pauses import pause, resume
from xdbrel.cascade.relay import RelayResult, relay
from xdbrel.cascade.retry import RetryResult, retry_waiting
from xdbrel.conf import settings
from xdbrel.exceptions import PauseFailed, UnknownRelation
from xdbrel.management.base import add_format
from xdbrel.management.commands.xdbrel_relations import aligned
from xdbrel.relations import Relation, get

_COLUMNS = (
    "DATABASE",
    "RELATION",
    "WAITING",
    "OLDEST",
    "SECOND LOOK",
    "OVERDUE",
    "SET ASIDE",
    "PAUSED",
)


class Command(BaseCommand):
    help = (
        "Apply the cascades that wait in the databases, and go on doing so until interrupted. "
        "Exits with 1 if any failed with --once (each of those is tried again later); with "
        '--status if any wait for longer than XDBREL["MAX_BACKLOG_AGE"] seconds or were set '
        "aside; with any option if a database did not answer. Exits with 2 for a relation or "
        "database that there is not and for options that exclude each other."
    )

    # Checks of fields may ask every database, one of which may be away just now.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="Apply what is due now, then stop."
        )
        parser.add_argument(
            "--status",
            action="store_true",
            help="Show what waits, since when, what was set aside and what is paused, and "
            "apply nothing.",
        )
        parser.add_argument(
            "--retry",
            nargs="*",
            metavar="HANDLE",
            help="Make intents that were set aside or wait for their next attempt due now, of "
            "these relations or of all; with --once, apply what is due then.",
        )
        parser.add_argument(
            "--pause",
            nargs="+",
            metavar="HANDLE",
            help="Let the intents of these relations (app_label.Model.field) wait.",
        )
        parser.add_argument(
            "--resume",
            nargs="+",
            metavar="HANDLE",
            help="Let the intents of these relations be applied again.",
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            help="Only the intents of this database; a pause stands there too, instead of in "
            "the home of the relation's targets.",
        )
        add_format(parser)

    def handle(
        self,
        *args: Any,
        once: bool = False,
        status: bool = False,
        retry: Sequence[str] | None = None,
        pause: Sequence[str] | None = None,
        resume: Sequence[str] | None = None,
        database: str | None = None,
        format: str = "text",
        **options: Any,
    ) -> None:
        if database is not None and database not in connections.settings:
            known = ", ".join(connections.settings)
            self._leave(f"There is no database {database!r}; there are: {known}.", 2)
        given = {"--once": once, "--status": status, "--pause": pause, "--resume": resume}
        chosen = [name for name, value in given.items() if value]
        if retry is not None and chosen != ["--once"]:
            chosen.append("--retry")
        if len(chosen) > 1:
            self._leave(f"{' and '.join(chosen)} exclude each other.", 2)
        try:
            relations = [get(handle) for handle in pause or resume or retry or ()]
        except UnknownRelation as error:
            self._leave(str(error), 2)
        if status:
            clean = self._status(database, format)
        elif pause or resume:
            clean = self._switch(relations, database, format, to_paused=bool(pause))
        elif retry is not None:
            clean = self._retry(relations, database, format, once)
        elif once:
            result = relay(using=database)
            self._write(result.as_dict(), relayed(result), format)
            clean = result.clean
        else:
            self._loop(database, format)
            clean = True
        if not clean:
            raise SystemExit(1)

    def _loop(self, database: str | None, format: str) -> None:
        """Relay until interrupted. A database that goes away is left out until it is back."""
        try:
            while True:
                result = relay(using=database)
                if result.applied or result.confirmed or not result.clean:
                    self._write(result.as_dict(), relayed(result), format)
                warn_if_late(backlog(using=database))
                # A loop that sleeps between turns must not hold connections that die.
                connections.close_all()
                time.sleep(settings.RELAY_INTERVAL_SECONDS)
        except KeyboardInterrupt:
            return

    def _status(self, database: str | None, format: str) -> bool:
        found = backlog(using=database)
        self._write(found.as_dict(), waiting(found), format, indent=2)
        return found.clean

    def _retry(
        self, relations: Sequence[Relation], database: str | None, format: str, once: bool
    ) -> bool:
        result = retry_waiting(relations, using=database)
        figures, lines = result.as_dict(), retried(result)
        clean = not result.unreachable
        if once:
            applied = relay(using=database)
            figures["relay"] = applied.as_dict()
            lines += relayed(applied)
            clean = clean and applied.clean
        self._write(figures, lines, format)
        return clean

    def _switch(
        self, relations: Sequence[Relation], database: str | None, format: str, *, to_paused: bool
    ) -> bool:
        call: Callable[..., bool] = pause if to_paused else resume
        figures, lines, failed = [], [], []
        for relation in relations:
            alias = database or relation.target_home
            try:
                changed = call(relation, using=alias)
            except PauseFailed as error:
                failed.append(str(error))
                continue
            figures.append(
                {
                    "alias": alias,
                    "relation": relation.handle,
                    "paused": to_paused,
                    "changed": changed,
                }
            )
            lines.append(f"{relation.handle}: {_SWITCHED[to_paused, changed]} in {alias}.")
        self._write(figures, lines, format)
        for message in failed:
            self.stderr.write(message)
        return not failed

    def _write(
        self, figures: Any, lines: Sequence[str], format: str, *, indent: int | None = None
    ) -> None:
        if format == "json":
            self.stdout.write(json.dumps(figures, indent=indent))
        else:
            for line in lines:
                self.stdout.write(line)

    def _leave(self, message: str, status: int) -> NoReturn:
        self.stderr.write(message)
        raise SystemExit(status)


_SWITCHED = {
    (True, True): "paused",
    (True, False): "was paused already",
    (False, True): "resumed",
    (False, False): "was not paused",
}


def relayed(result: RelayResult) -> list[str]:
    """Return what a call of the relay did, in lines."""
    lines = [
        f"{result.applied} intents applied, {result.confirmed} confirmed, {result.rows} rows "
        f"followed, {result.failed} failed."
    ]
    if result.unreachable:
        lines.append(f"Unreachable: {', '.join(result.unreachable)}.")
    return lines


def retried(result: RetryResult) -> list[str]:
    """Return what was made due, a line for each relation in each database."""
    lines = [
        f"{relation}: {number} made due in {alias}."
        for (alias, relation), number in result.intents.items()
    ]
    lines += unreachable(result.unreachable)
    return lines or ["Nothing was set aside or postponed."]


def waiting(found: Backlog) -> list[str]:
    """Return the figures in aligned columns, a line for each relation and one for the whole."""
    rows = [_COLUMNS]
    rows += [
        (
            one.alias,
            one.relation,
            f"{one.depth:,}",
            _duration(one.oldest),
            f"{one.second_look:,}",
            _duration(one.overdue),
            f"{one.set_aside:,}",
            "yes" if one.paused else "no",
        )
        for one in found.relations
    ]
    lines = list(aligned(rows)) if found.relations else []
    lines += unreachable(found.unreachable)
    lines.append(
        f"{found.depth:,} intents wait, {found.second_look:,} for their second look, "
        f"{found.set_aside:,} were set aside."
    )
    late = [f"{one.relation} in {one.alias}" for one in found.relations if one.late]
    if late:
        lines.append(f"Late, by more than {settings.MAX_BACKLOG_AGE:g} s: {', '.join(late)}.")
    return lines


def unreachable(databases: dict[str, str]) -> list[str]:
    """Return a line for each database that did not answer, with its error."""
    # A driver's error may have several lines.
    return [
        f"{alias} did not answer: {' '.join(error.split())}" for alias, error in databases.items()
    ]


def _duration(seconds: float | None) -> str:
    """Return seconds as ``-``, ``12 s``, ``3 min``, ``5 h`` or ``7 d``, rounded down."""
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
