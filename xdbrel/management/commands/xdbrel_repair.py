"""``manage.py xdbrel_repair``: deal with the orphans that a scan found.

The work is ``integrity.repair``'s.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import ProtectedError, RestrictedError

from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity.exceptions import CannotRepair, NoScan
from xdbrel.integrity.repair import POLICIES, RepairProgress, RepairResult, repair
from xdbrel.relations import get

_DONE = {
    "report": ("orphaned", "orphaned"),
    "delete": ("deleted", "would be deleted"),
    "set_null": ("set to null", "would be set to null"),
    "set_default": ("set to the default", "would be set to the default"),
}


class Command(BaseCommand):
    help = (
        "Apply a policy to the orphans of the latest complete scan. "
        "Exits with 1 where orphans are left."
    )

    #: Set by ``handle()``, so that ``call_command()`` returns like any other.
    left_orphans = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("relation", metavar="RELATION", help="app_label.Model.field")
        parser.add_argument(
            "--policy", choices=list(POLICIES), required=True, help="What is done about them."
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Say what would be done, and do nothing."
        )
        parser.add_argument(
            "--format",
            choices=["text", "json"],
            default="text",
            help="How the result is written to standard output.",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv(argv)
        if self.left_orphans:
            sys.exit(1)

    def handle(
        self,
        *args: Any,
        relation: str,
        policy: str,
        dry_run: bool = False,
        format: str = "text",
        **options: Any,
    ) -> None:
        show = self._show if self.stderr.isatty() else None
        try:
            result = repair(get(relation), policy, dry_run=dry_run, on_progress=show)
        except (UnknownRelation, NoScan, CannotRepair) as error:
            raise CommandError(str(error), returncode=2) from error
        except (ProtectedError, RestrictedError) as error:
            self.left_orphans = True
            raise CommandError(
                f"{relation}: {error.args[0]} Repair those relations first; rows deleted "
                f"before stay deleted."
            ) from error
        if show is not None:
            self.stderr.write("")
        self.left_orphans = bool(result.rows) and (dry_run or policy == "report")
        if format == "json":
            self.stdout.write(json.dumps(result.as_dict(), indent=2))
        else:
            self.stdout.write(text(result))

    def _show(self, progress: RepairProgress) -> None:
        self.stderr.write(
            f"\r{progress.relation}: {progress.done:,} of {progress.total:,} keys, "
            f"{progress.rows:,} rows",
            style_func=str,
            ending="",
        )
        self.stderr.flush()


def text(result: RepairResult) -> str:
    """Return the result as a few lines for people."""
    done, would = _DONE[result.policy]
    lines = [
        f"{result.relation}: {result.rows:,} rows with {result.keys:,} keys "
        f"{would if result.dry_run else done} in {result.source_alias} (run {result.run_id})"
    ]
    if result.healed:
        lines.append(f"{result.healed:,} keys have a target in {result.target_alias} again")
    lines += [f"  {label}: {rows:,}" for label, rows in sorted(result.counts.items())]
    return "\n".join(lines)
