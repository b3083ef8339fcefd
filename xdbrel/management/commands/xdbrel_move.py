"""``manage.py xdbrel_move``: move rows between databases. The work is ``moving.service``'s."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections, models

from xdbrel import placement
from xdbrel.exceptions import HomeError, XdbrelError
from xdbrel.management.commands.xdbrel_repair import rows
from xdbrel.moving import record
from xdbrel.moving.abandon import abandon as take_back
from xdbrel.moving.exceptions import CannotMove, NoMove
from xdbrel.moving.result import MoveProgress, MoveResult
from xdbrel.moving.service import BATCH, move


class Command(BaseCommand):
    help = (
        "Move a model's rows to another database, keys kept: copied, read back and compared, "
        "then removed from where they were. Goes on where an earlier call for the same was cut "
        "short. Exits with 1 where something is in the way, with 2 for a wrong call."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "models", metavar="MODEL", nargs="+", help="app_label.Model, all of its rows."
        )
        parser.add_argument("--to", metavar="ALIAS", help="The database that they go to.")
        parser.add_argument(
            "--from",
            dest="source",
            metavar="ALIAS",
            help="The database where they are. Default: the home that the routers name.",
        )
        parser.add_argument(
            "--where",
            action="append",
            metavar="LOOKUP=VALUE",
            help="Move the rows of the one MODEL for which this holds: year__lt=2020.",
        )
        parser.add_argument(
            "--along",
            action="append",
            metavar="MODEL",
            help="Move the rows of this model too that point at rows that go.",
        )
        parser.add_argument(
            "--keep-source",
            action="store_true",
            help="Copy and compare, and let both ends stand; later calls carry changes over.",
        )
        parser.add_argument(
            "--headroom",
            type=int,
            default=0,
            metavar="N",
            help="Leave so many keys free at the destination for what the source is still given.",
        )
        parser.add_argument(
            "--renumber",
            action="store_true",
            help="Give rows new keys, and what points at them, where theirs are taken.",
        )
        parser.add_argument(
            "--resume",
            action="store_true",
            help="Go on with the unfinished move, as it was begun; fails where there is none.",
        )
        parser.add_argument(
            "--abandon", action="store_true", help="Take an unfinished move's copies back."
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Say what would be done, and do nothing."
        )
        parser.add_argument(
            "--batch-size", type=rows, default=BATCH, metavar="N", help="Rows in one transaction."
        )
        parser.add_argument(
            "--actor", metavar="NAME", help="Who is on record for it. Default: user@machine."
        )
        parser.add_argument(
            "--format",
            choices=["text", "json"],
            default="text",
            help="How the result is written to standard output.",
        )

    #: Set by ``handle()``, so that ``call_command()`` returns like any other.
    is_blocked = False

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv(argv)
        if self.is_blocked:
            sys.exit(1)

    def handle(
        self,
        *args: Any,
        models: Sequence[str],
        to: str | None = None,
        source: str | None = None,
        where: Sequence[str] | None = None,
        along: Sequence[str] | None = None,
        keep_source: bool = False,
        headroom: int = 0,
        renumber: bool = False,
        resume: bool = False,
        abandon: bool = False,
        dry_run: bool = False,
        batch_size: int = BATCH,
        actor: str | None = None,
        format: str = "text",
        **options: Any,
    ) -> None:
        show = self._show if self.stderr.isatty() else None
        try:
            if source is not None and source not in connections.settings:
                raise CommandError(f"There is no database {source!r}.", returncode=2)
            if abandon:
                result = _abandon(models, source, dry_run)
            else:
                given = {"where": list(where or ()), "along": list(along or ())}
                if resume:
                    to, given = _begun(models, source)
                if to is None:
                    raise CommandError("Say where the rows go: --to ALIAS.", returncode=2)
                result = move(
                    _rows(models, given["where"]),
                    to,
                    using=source,
                    along=given["along"],
                    renumber=renumber,
                    keep_source=keep_source,
                    headroom=headroom,
                    dry_run=dry_run,
                    batch_size=batch_size,
                    actor=actor,
                    options=given,
                    on_progress=show,
                )
        except (CannotMove, NoMove, HomeError) as error:
            raise CommandError(str(error), returncode=2) from error
        except XdbrelError as error:
            raise CommandError(str(error), returncode=1) from error
        if show is not None:
            self.stderr.write("")
        self.is_blocked = not result.clean
        if format == "json":
            self.stdout.write(json.dumps(result.as_dict(), indent=2))
        else:
            self.stdout.write(text(result))

    def _show(self, progress: MoveProgress) -> None:
        key = (progress.model, progress.step)
        self._shown = self._shown if key == self._at else 0
        self._at = key
        self._shown += progress.rows
        self.stderr.write(
            f"\r{progress.step} {progress.model}: {self._shown:,} rows",
            style_func=str,
            ending="",
        )
        self.stderr.flush()

    _at = ("", "")
    _shown = 0


def _model(label: str) -> type[models.Model]:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError) as error:
        raise CommandError(
            f"There is no model {label!r}. Write app_label.Model.", returncode=2
        ) from error


def _rows(labels: Sequence[str], where: Sequence[str]) -> list[models.QuerySet[Any]]:
    """Return all rows of the models, or those of the one for which the lookups hold."""
    querysets: list[models.QuerySet[Any]] = [models.QuerySet(_model(label)) for label in labels]
    if where and len(querysets) > 1:
        raise CommandError("--where is for a single MODEL.", returncode=2)
    for lookup in where:
        name, equals, value = lookup.partition("=")
        if not equals:
            raise CommandError(f"Not LOOKUP=VALUE: {lookup!r}.", returncode=2)
        try:
            querysets = [querysets[0].filter(**{name: value})]
        except (FieldError, ValidationError, ValueError, TypeError) as error:
            raise CommandError(f"--where {lookup}: {error}", returncode=2) from error
    return querysets


def _begun(labels: Sequence[str], source: str | None) -> tuple[str, dict[str, list[str]]]:
    found = [_model(label) for label in labels]
    using = source or placement.home(found[0])
    row = record.the_unfinished(", ".join(one._meta.label for one in found), using)
    options: dict[str, list[str]] = {"where": [], "along": [], **row.options}
    return row.destination_alias, options


def _abandon(labels: Sequence[str], source: str | None, dry_run: bool) -> MoveResult:
    return take_back([_model(label) for label in labels], using=source, dry_run=dry_run)


def text(result: MoveResult) -> str:
    """Return the result as a few lines for people."""
    if result.dry_run:
        done = "Would move" if result.status == "planned" else "Would take back"
    else:
        done = {
            "complete": "Moved",
            "kept": "Copied",
            "abandoned": "Took back",
        }[result.status]
    ends = f"from {result.using} to {result.to}"
    if result.status == "abandoned" or done == "Would take back":
        ends = f"from {result.to}"
    lines = [
        f"{done} {result.rows:,} rows {ends}" + (f" (move {result.run_id})" * bool(result.run_id))
    ]
    for label, number in sorted(result.counts.items()):
        checksum = result.checksums.get(label)
        lines.append(f"  {label}: {number:,}" + (f", checksum {checksum}" if checksum else ""))
    if result.carried:
        lines.append(
            f"{result.carried:,} rows had changed since they were copied, and were carried over"
        )
    for label, number in sorted(result.renumbered.items()):
        lines.append(f"{number:,} rows of {label} were given new keys")
    if result.left_crossing:
        lines.append(f"Left pointing at them: {', '.join(result.left_crossing)}")
    if result.collisions:
        lines.append("In the way:")
        lines += [f"  {collision}" for collision in result.collisions]
    lines += result.notes
    return "\n".join(lines)
