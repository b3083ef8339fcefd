"""``manage.py xdbrel_contenttypes``: content types of every database, and rows that name them.

The work is that of ``integrity.types``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from xdbrel import content_types
from xdbrel.management.base import JudgingCommand, add_dry_run, add_format, write


class Command(JudgingCommand):
    help = (
        "Show the content types of every database: those whose ids differ, that are missing or "
        "stale, and rows that hold another database's ids. Exits with 1 where anything is left "
        "to be looked at; that ids differ does not count."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fix",
            action="store_true",
            help="Create missing content types, and give rows the right id where that is proved.",
        )
        add_dry_run(parser, "done by --fix")
        add_format(parser)

    def handle(
        self,
        *args: Any,
        fix: bool = False,
        dry_run: bool = False,
        format: str = "text",
        **options: Any,
    ) -> None:
        if not content_types.installed():
            raise CommandError(
                "django.contrib.contenttypes is not among INSTALLED_APPS: there are no content "
                "types.",
                returncode=2,
            )
        if dry_run and not fix:
            raise CommandError("--dry-run goes with --fix.", returncode=2)
        # It needs the app that was asked for above.
        from xdbrel.integrity.types import examine

        report = examine(fix=fix, dry_run=dry_run)
        self.amiss = not report.is_clean
        write(self, report.as_dict(), "\n".join(lines(report)), format)


def lines(report: Any) -> Iterator[str]:
    """Yield the report as text."""
    told = ", ".join(report.aliases) or "no database"
    yield f"{len(report.ids)} content types in {told}"
    for label in report.differing:
        ids = ", ".join(f"{number} in {alias}" for alias, number in report.ids[label].items())
        yield f"{label} has different ids: {ids}"
    missing = "{} is missing in {}"
    if report.fixed:
        missing = "Would create {} in {}" if report.dry_run else "Created {} in {}"
    for alias, label in report.missing:
        yield missing.format(label, alias)
    for alias, label in report.stale:
        yield (
            f"{label} in {alias} is stale: no such model is installed "
            f'("manage.py remove_stale_contenttypes --database {alias}")'
        )
    for one in report.rows:
        yield _told(one, report.dry_run)
    if report.is_clean:
        yield "Nothing is left to be looked at."


def _told(one: Any, dry_run: bool) -> str:
    rows = "row" if one.rows == 1 else "rows"
    found = (
        f"{one.field} in {one.alias}: {one.rows} {rows} with content type {one.id} "
        f"({one.means or 'none there'}; keys {', '.join(one.keys)})"
    )
    if one.meant is None:
        return f"{found}: {one.reason}"
    if one.mended:
        return f"{found}: {'would become' if dry_run else 'now'} that of {one.meant}"
    return f"{found} mean {one.meant}" + (f": {one.reason}" if one.reason else "")
