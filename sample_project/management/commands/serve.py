"""Run the site on databases that are ready."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from sample_project.management.commands.seed import ADMIN, PASSWORD
from sample_project.prepare import prepare


class Command(BaseCommand):
    help = "Prepare the databases and serve the site until interrupted."
    # The checks ask the databases what they can do; prepare() makes those first.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", nargs="?", default="127.0.0.1:8000")

    def handle(self, *args: Any, address: str, **options: Any) -> None:
        prepare(lambda text: self.stderr.write(text, style_func=str))
        self.stdout.write(f"http://{address}/  (admin: user {ADMIN}, password {PASSWORD})")
        call_command("runserver", address, use_reloader=False)
