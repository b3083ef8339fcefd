"""``manage.py xdbrel_scan``: find the orphans of relations. The work is ``integrity.scan``'s."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity.exceptions import UnknownStrategy, UnsuitableStrategy
from xdbrel.integrity.scan import Progress, ScanResult, scan
from xdbrel.integrity.strategies import STRATEGIES
from xdbrel.relations import all_relations, get


class Command(BaseCommand):
    help = "Find source rows whose key has no target row. Exits with 1 where there are any."

    #: Set by ``handle()``, so that ``call_command()`` returns like any other.
    found_orphans = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "relations",
            nargs="*",
            metavar="RELATION",
            help="app_label.Model.field; all relations where none is named.",
        )
        parser.add_argument(
            "--format",
            choices=["text", "json"],
            default="text",
            help="How results are written to standard output.",
        )
        parser.add_argument(
            "--strategy",
            metavar="NAME",
            help=f"{' or '.join(sorted(STRATEGIES))}; the planner chooses where none is named.",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv(argv)
        if self.found_orphans:
            sys.exit(1)

    def handle(
        self,
        *args: Any,
        relations: Sequence[str] = (),
        format: str = "text",
        strategy: str | None = None,
        **options: Any,
    ) -> None:
        show = self._show if self.stderr.isatty() else None
        results = []
        try:
            chosen = [get(handle) for handle in relations] or all_relations()
            for relation in chosen:
                results.append(scan(relation, on_progress=show, strategy=strategy))
                if show is not None:
                    self.stderr.write("")
        except (UnknownRelation, UnknownStrategy, UnsuitableStrategy) as error:
            raise CommandError(str(error), returncode=2) from error
        self.found_orphans = any(result.orphans for result in results)
        if format == "json":
            self.stdout.write(json.dumps([result.as_dict() for result in results], indent=2))
        else:
            self.stdout.write(table(results))

    def _show(self, progress: Progress) -> None:
        self.stderr.write(
            f"\r{progress.relation}: {progress.seen:,} keys looked at, "
            f"{progress.distinct_keys:,} orphaned",
            style_func=str,
            ending="",
        )
        self.stderr.flush()


def table(results: Sequence[ScanResult]) -> str:
    """Return the results in aligned columns, one line each and one for the whole."""
    lines = [("RELATION", "SOURCES IN", "TARGETS IN", "STRATEGY", "ORPHANS", "KEYS", "SECONDS")]
    lines += [
        (
            result.relation,
            result.source_alias,
            result.target_alias,
            result.strategy,
            f"{result.orphans:,}",
            f"{result.distinct_keys:,}",
            f"{result.seconds:.3f}",
        )
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = 4
    aligned = [
        "  ".join(
            cell.ljust(width) if position < texts else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    orphans = sum(result.orphans for result in results)
    relations = sum(1 for result in results if result.orphans)
    aligned.append(
        f"{orphans:,} orphans in {relations} of {len(results)} relations"
        if orphans
        else f"No orphans in {len(results)} relations"
    )
    return "\n".join(aligned)
