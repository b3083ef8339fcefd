"""``manage.py xdbrel_restore``: put quarantined rows back. The work is ``integrity.restore``'s."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity.exceptions import RepairUnderWay
from xdbrel.integrity.restore import RestoreResult, restore
from xdbrel.management.base import (
    JudgingCommand,
    add_actor,
    add_dry_run,
    add_format,
    write,
)
from xdbrel.management.commands.xdbrel_repair import rows
from xdbrel.relations import get


class Command(JudgingCommand):
    help = (
        "Put the rows back that repairs of a relation have quarantined, where their targets are "
        "there again. Exits with 1 where some stay in quarantine."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("relation", metavar="RELATION", help="app_label.Model.field")
        parser.add_argument(
            "--repair", metavar="TOKEN", help="Undo this repair only. Default: all of them."
        )
        parser.add_argument(
            "--without-targets",
            action="store_true",
            help="Put rows back even where they point at nothing in another database.",
        )
        add_dry_run(parser)
        parser.add_argument(
            "--max-rows", type=rows, metavar="N", help="End after about so many rows."
        )
        add_actor(parser)
        add_format(parser)

    def handle(
        self,
        *args: Any,
        relation: str,
        repair: str | None = None,
        without_targets: bool = False,
        dry_run: bool = False,
        max_rows: int | None = None,
        actor: str | None = None,
        format: str = "text",
        **options: Any,
    ) -> None:
        try:
            result = restore(
                get(relation),
                repair=repair,
                without_targets=without_targets,
                dry_run=dry_run,
                max_rows=max_rows,
                actor=actor,
            )
        except UnknownRelation as error:
            raise CommandError(str(error), returncode=2) from error
        except RepairUnderWay as error:
            raise CommandError(str(error), returncode=1) from error
        self.amiss = not result.clean
        write(self, result.as_dict(), text(result), format)


def text(result: RestoreResult) -> str:
    """Return the result as a few lines for people."""
    done = "would be put back" if result.dry_run else "put back"
    lines = [f"{result.relation}: {result.rows:,} rows {done} in {result.using}"]
    lines += [f"  {label}: {number:,}" for label, number in sorted(result.counts.items())]
    if result.waiting:
        lines.append(f"{result.waiting:,} rows wait for their target")
    if result.conflicting:
        lines.append(f"{result.conflicting:,} rows stay, since something is in their way:")
        lines += [f"  {conflict}" for conflict in result.conflicts]
    if result.stopped:
        lines.append("Stopped at the limit of rows; the same call goes on from here")
    return "\n".join(lines)
