"""``manage.py xdbrel_repair``: deal with the orphans that a scan found.

The work is ``integrity.repair``'s.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import ProtectedError, RestrictedError

from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity.exceptions import (
    BadMapping,
    CannotQuarantine,
    CannotRepair,
    NoScan,
    NotConfirmed,
    RepairUnderWay,
    TooManyOrphans,
)
from xdbrel.integrity.repair import RepairProgress, RepairResult, repair
from xdbrel.integrity.repairing import mapping as mappings
from xdbrel.integrity.repairing.policies import POLICIES
from xdbrel.management.base import (
    JudgingCommand,
    add_actor,
    add_dry_run,
    add_format,
    write,
)
from xdbrel.relations import get

_DONE = {
    "report": ("orphaned", "orphaned"),
    "delete": ("deleted", "would be deleted"),
    "set_null": ("set to null", "would be set to null"),
    "set_default": ("set to the default", "would be set to the default"),
    "repoint": ("pointed elsewhere", "would be pointed elsewhere"),
    "quarantine": ("quarantined", "would be quarantined"),
}


class Command(JudgingCommand):
    help = (
        "Apply a policy to the orphans that scans found. Goes on where an earlier call for the "
        "same was cut short. Exits with 1 where orphans are left."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("relation", metavar="RELATION", help="app_label.Model.field")
        parser.add_argument(
            "--policy", choices=list(POLICIES), required=True, help="What is done about them."
        )
        add_dry_run(parser)
        parser.add_argument(
            "--raw",
            action="store_true",
            help="Delete without signals and without what hangs on the rows in their database.",
        )
        parser.add_argument(
            "--mapping",
            metavar="FILE",
            help="JSON or CSV with an old and a new key for each key that repoint deals with.",
        )
        parser.add_argument(
            "--max-rows", type=rows, metavar="N", help="End after so many rows of the relation."
        )
        parser.add_argument(
            "--yes-really",
            action="store_true",
            help='Repair even where more than XDBREL["MAX_ORPHAN_SHARE"] of the rows are orphans.',
        )
        add_actor(parser)
        add_format(parser)

    def handle(
        self,
        *args: Any,
        relation: str,
        policy: str,
        dry_run: bool = False,
        raw: bool = False,
        mapping: str | None = None,
        max_rows: int | None = None,
        yes_really: bool = False,
        actor: str | None = None,
        format: str = "text",
        **options: Any,
    ) -> None:
        show = self._show if self.stderr.isatty() else None
        try:
            result = repair(
                get(relation),
                policy,
                dry_run=dry_run,
                raw=raw,
                mapping=None if mapping is None else mappings.load(mapping, relation),
                max_rows=max_rows,
                yes_really=yes_really,
                actor=actor,
                on_progress=show,
            )
        except (UnknownRelation, NoScan, CannotRepair, BadMapping, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        except (NotConfirmed, TooManyOrphans, RepairUnderWay, CannotQuarantine) as error:
            raise CommandError(str(error), returncode=1) from error
        except (ProtectedError, RestrictedError) as error:
            self.amiss = True
            raise CommandError(
                f"{relation}: {error.args[0]} Repair those relations first; rows deleted "
                f"before stay deleted."
            ) from error
        if show is not None:
            self.stderr.write("")
        only_looked = bool(result.rows) and (dry_run or policy == "report")
        self.amiss = only_looked or result.stopped or bool(result.left)
        write(self, result.as_dict(), text(result), format)

    def _show(self, progress: RepairProgress) -> None:
        self.stderr.write(
            f"\r{progress.relation}: {progress.done:,} of {progress.total:,} keys, "
            f"{progress.rows:,} rows",
            style_func=str,
            ending="",
        )
        self.stderr.flush()


def rows(given: str) -> int:
    """Return a number of rows as ``--max-rows`` takes it."""
    number = int(given) if given.isdecimal() else 0
    if number < 1:
        raise ArgumentTypeError(f"not a number of rows: {given!r}")
    return number


def text(result: RepairResult) -> str:
    """Return the result as a few lines for people."""
    done, would = _DONE[result.policy]
    lines = [
        f"{result.relation}: {result.rows:,} rows with {result.keys:,} keys "
        f"{would if result.dry_run else done} in {result.source_alias} (run {result.run_id})"
    ]
    if result.healed:
        lines.append(f"{result.healed:,} keys have a target in {result.target_alias} again")
    if result.left:
        lines.append(
            f"{result.left:,} keys are left as they are: the mapping has nothing for them"
        )
    if result.stopped:
        lines.append("Stopped at the limit of rows; the same call goes on from here")
    if result.policy == "quarantine" and not result.dry_run:
        lines.append(f"xdbrel_restore {result.relation} --repair {result.token} puts them back")
    lines += [f"  {label}: {rows:,}" for label, rows in sorted(result.counts.items())]
    return "\n".join(lines)
