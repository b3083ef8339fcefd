"""Prepare the databases, run the demo and print its report."""

import time
from typing import Any

from django.core.management.base import BaseCommand

from sample_project.demo import run
from sample_project.prepare import prepare
from sample_project.report import report


class Command(BaseCommand):
    help = (
        "Load, scan, delete and report. The report goes to stdout, progress to stderr; "
        "exits with 1 if a figure is not what it has to be."
    )
    # The checks ask the databases what they can do; prepare() makes those first.
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()

        def say(text: str) -> None:
            self.stderr.write(f"[{time.monotonic() - began:5.1f} s] {text}", style_func=str)

        prepare(say)
        findings = run(say)
        for line in report(findings):
            self.stdout.write(line)
        say("Done.")
        if findings.surprises():
            raise SystemExit(1)
