"""``manage.py xdbrel_status``: where everything stands. The work is ``integrity.status``'s."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity.status import RelationStatus, RunFigures, StatusReport, status
from xdbrel.management.base import add_format
from xdbrel.management.commands.xdbrel_relations import aligned

_COLUMNS = (
    "RELATION",
    "LAST FULL",
    "LAST INCREMENTAL",
    "BEFORE",
    "ORPHANS",
    "TREND",
    "WAITING",
    "OLDEST",
)


class Command(BaseCommand):
    help = (
        "Show for each relation the last scans, the orphans then and now, and what waits. Exits "
        "with 1 if there is something to look into, with 2 for an unknown relation."
    )

    # Checks of fields may ask every database, one of which may be away just now.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "relations",
            nargs="*",
            metavar="RELATION",
            help="app_label.Model.field; all relations where none is named.",
        )
        add_format(parser)

    def handle(
        self, *args: Any, relations: Sequence[str] = (), format: str = "text", **options: Any
    ) -> None:
        try:
            report = status(relations)
        except UnknownRelation as error:
            raise CommandError(str(error), returncode=2) from error
        except Error as error:
            raise CommandError(f"The runs on record cannot be read: {error}") from error
        if format == "json":
            self.stdout.write(json.dumps(report.as_dict(), indent=2))
        else:
            for line in text(report):
                self.stdout.write(line)
        if not report.clean:
            raise SystemExit(1)


def text(report: StatusReport) -> Iterable[str]:
    """Yield the report as lines for people: a table, who worked when, and what is wrong."""
    yield from aligned([_COLUMNS, *map(_cells, report.relations)])
    for beat in report.heartbeats:
        yield f"{beat.work}: last done {_ago(beat.age)} by {beat.worker or 'somebody'}"
    yield from report.warnings
    for name, problems in report.problems.items():
        for problem in problems:
            yield f"{name}: {problem}"


def _cells(one: RelationStatus) -> tuple[str, ...]:
    waiting = one.backlog
    return (
        one.relation,
        _run(one.full),
        _run(one.incremental),
        "" if one.orphans_before is None else f"{one.orphans_before:,}",
        "?" if one.orphans is None else f"{one.orphans:,}",
        one.direction,
        "0" if waiting is None else f"{waiting.depth:,}",
        "" if waiting is None or waiting.oldest is None else f"{waiting.oldest:.0f} s",
    )


def _run(run: RunFigures | None) -> str:
    return "never" if run is None else _ago(run.age)


def _ago(age: float) -> str:
    for seconds, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if age >= 2 * seconds:
            return f"{age / seconds:.0f} {unit} ago"
    return f"{age:.0f} s ago"
