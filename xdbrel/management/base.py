"""What xdbrel's commands share: options of one meaning, how results are written, exit status 1."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


def add_format(parser: CommandParser) -> None:
    parser.add_argument(
        "--format",
        choices=["text", "json"],
        default="text",
        help="How results are written to standard output. Default: text.",
    )


def add_dry_run(parser: CommandParser, done: str = "done") -> None:
    """Add ``--dry-run``; ``done`` is what the command would do otherwise."""
    parser.add_argument(
        "--dry-run", action="store_true", help=f"Say what would be {done}, and do nothing."
    )


def add_actor(parser: CommandParser) -> None:
    parser.add_argument(
        "--actor", metavar="NAME", help="Who is on record for it. Default: user@machine."
    )


class JudgingCommand(BaseCommand):
    """A command that exits with 1 where it did its work and something is amiss."""

    #: Set by ``handle()``, so that ``call_command()`` returns like any other.
    amiss = False

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv(argv)
        if self.amiss:
            sys.exit(1)


def write(
    command: BaseCommand, figures: Any, text: str, format: str, *, indent: int | None = 2
) -> None:
    """Write a result to standard output: its figures as JSON, or what people read."""
    command.stdout.write(json.dumps(figures, indent=indent) if format == "json" else text)
