"""What the fault tests share; ``oracle`` judges what is left of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.aliases import aliases

__all__ = ["aliases", "tell"]

TOLD = "told"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Returns what puts a line into the report of the run: how much was broken in a test."""
    # Not record_property: it warns of a JUnit family that has no place for it.
    return lambda line: request.node.user_properties.append((TOLD, line))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = [
        f"{report.nodeid.partition('::')[2]}: {line}"
        for status in ("passed", "failed")
        for report in terminalreporter.stats.get(status, ())
        for name, line in report.user_properties
        if name == TOLD
    ]
    if lines:
        terminalreporter.section("what was broken")
        for line in sorted(lines):
            terminalreporter.write_line(line)
