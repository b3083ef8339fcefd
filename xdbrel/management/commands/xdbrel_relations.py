"""List the relations: what ``xdbrel.relations`` knows, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from xdbrel.exceptions import HomeError
from xdbrel.management.base import add_format
from xdbrel.relations import Relation, all_relations

_COLUMNS = ("relation", "target", "source home", "target home", "crosses", "policy", "options")


class Command(BaseCommand):
    help = (
        "List every cross-database relation with the homes of its models. Exits with 1 if "
        "the home of a model is not known; the error stands in its place."
    )

    # Listing needs no database, and Django's checks of fields ask every one of them.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_format(parser)

    def handle(self, *args: Any, format: str, **options: Any) -> None:
        relations = all_relations()
        rows = [describe(relation) for relation in relations]
        if format == "json":
            self.stdout.write(json.dumps(rows, indent=2))
        elif rows:
            for line in aligned([_COLUMNS, *map(_cells, relations, rows)]):
                self.stdout.write(line)
        else:
            self.stderr.write("No installed model has a cross-database relation.")
        failed = [row["handle"] for row in rows if row["error"]]
        if failed:
            raise CommandError(f"A home is not known for: {', '.join(failed)}.", returncode=1)


def describe(relation: Relation) -> dict[str, Any]:
    """Return what JSON says of a relation.

    ``error`` is the text of the ``HomeError`` where a home is not known, else ``None``;
    the home in question and ``crosses`` are ``None`` then.
    """
    homes: dict[str, str | None] = {}
    errors: list[str] = []
    for side in ("source_home", "target_home"):
        try:
            homes[side] = getattr(relation, side)
        except HomeError as error:
            homes[side] = None
            if str(error) not in errors:
                errors.append(str(error))
    return {
        "handle": relation.handle,
        "source": relation.source._meta.label,
        "target": relation.target._meta.label,
        **homes,
        "policy": relation.policy,
        "crosses": None if errors else relation.crosses,
        "verify": relation.field.verify,  # type: ignore[attr-defined]
        "dangling": relation.field.dangling,  # type: ignore[attr-defined]
        "to_field": ", ".join(field.name for field in relation.target_fields),
        "error": " ".join(errors) or None,
    }


def aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Yield one line for each row, its columns below one another."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()


def _cells(relation: Relation, row: dict[str, Any]) -> tuple[str, ...]:
    options = []
    if not relation.target_field.primary_key:
        options.append(f"to_field={row['to_field']}")
    if row["verify"]:
        options.append("verify")
    if row["dangling"] != "raise":
        options.append(f"dangling={row['dangling']}")
    return (
        row["handle"],
        row["target"],
        row["source_home"] or "?",
        row["target_home"] or "?",
        {True: "yes", False: "no", None: "?"}[row["crosses"]],
        row["policy"],
        row["error"] or ", ".join(options),
    )
