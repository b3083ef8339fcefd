"""Migrate every database in turn; what a migration does is ``migrate``'s business."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections, router

from xdbrel import placement

#: Options of ``migrate`` that mean the same for every database, by their names there.
_SWITCHES = {
    "fake": ("--fake", "Mark migrations as run without running them."),
    "fake_initial": ("--fake-initial", "Take initial migrations whose tables exist as run."),
    "plan": ("--plan", "Show what would be done in each database, and do nothing."),
    "run_syncdb": ("--run-syncdb", "Create the tables of apps without migrations."),
    "check_unapplied": (
        "--check",
        "Apply nothing; exit with 1 if any database has unapplied migrations.",
    ),
    "prune": ("--prune", "Delete the records of migrations that no longer exist."),
}


class Command(BaseCommand):
    help = (
        "Run migrate on every database, in the order of DATABASES, and stop at the first "
        "that fails. Replicas and test mirrors are left out, and so are aliases in which no "
        "model may live and second names of the same database."
    )
    # migrate runs the checks of each database itself.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("app_label", nargs="?", help="Migrate this app only.")
        parser.add_argument(
            "migration_name", nargs="?", help='Migrate to this migration, or "zero".'
        )
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Never ask anything.",
        )
        for name, (flag, text) in _SWITCHES.items():
            parser.add_argument(flag, action="store_true", dest=name, help=text)
        parser.add_argument(
            "--skip-checks", action="store_true", help="Skip the system checks of migrate."
        )

    def handle(
        self,
        *args: Any,
        app_label: str | None,
        migration_name: str | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        passed = {name: options[name] for name in (*_SWITCHES, "interactive", "skip_checks")}
        positional = [name for name in (app_label, migration_name) if name]
        reasons = dict(left_out())
        aliases = [alias for alias in connections if alias not in reasons]
        if verbosity:
            for alias, reason in reasons.items():
                self.stderr.write(f"{alias}: left out, {reason}.")
        if not aliases:
            raise CommandError("There is no database to migrate.")
        behind = []
        for position, alias in enumerate(aliases):
            if verbosity:
                self.stderr.write(f"{alias}: database {position + 1} of {len(aliases)}.")
            try:
                call_command(
                    "migrate",
                    *positional,
                    **passed,
                    database=alias,
                    verbosity=verbosity,
                    # Not self.stdout: a wrapper in a wrapper breaks its unfinished lines.
                    stdout=options.get("stdout"),
                    stderr=options.get("stderr"),
                    no_color=options.get("no_color", False),
                    force_color=options.get("force_color", False),
                )
            except SystemExit:
                # How migrate says that migrations are unapplied.
                if not passed["check_unapplied"]:
                    raise
                behind.append(alias)
            except Exception as error:  # A migration may raise anything.
                raise CommandError(
                    f"Migrating database {alias!r} failed: {type(error).__name__}: {error}\n"
                    f"Done: {_listed(aliases[:position])}. "
                    f"Not done: {_listed(aliases[position:])}.\n"
                    f'Once the cause is removed, run "manage.py xdbrel_migrate" again: what '
                    f"is done is not repeated."
                ) from error
        if behind:
            raise CommandError(f"Unapplied migrations in: {_listed(behind)}.")
        if verbosity and not passed["plan"] and not passed["check_unapplied"]:
            self.stderr.write(f"Migrated: {_listed(aliases)}.")


def left_out() -> Iterator[tuple[str, str]]:
    """Yield the aliases that are not migrated, each with the reason."""
    taken: list[str] = []
    for alias in connections:
        primary = placement.primary(alias)
        if not placement.is_configured(alias):
            yield alias, "it names no database"
        elif primary != alias:
            yield alias, f"a replica or mirror of {primary}"
        elif not any(
            router.allow_migrate_model(alias, model)
            for model in apps.get_models(include_auto_created=True)
        ):
            # migrate would record everything as applied here, and a model that moves in
            # later would not get its table.
            yield alias, "no model may live there"
        else:
            twin = next((other for other in taken if placement.same_home(alias, other)), None)
            if twin is not None:
                yield alias, f"the same database as {twin}"
            else:
                taken.append(alias)


def _listed(aliases: list[str]) -> str:
    return ", ".join(aliases) or "none"
