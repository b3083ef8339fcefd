"""Moves killed at random: ``tests.faults.long_move`` with few rows."""

import subprocess
import sys

import pytest

from tests.settings import LAYOUT

PAIRS = {"sqlite": ("sqlite",), "mixed": ("mariadb", "postgres"), "postgres": ("postgres",)}

pytestmark = [
    pytest.mark.skipif(LAYOUT not in PAIRS, reason="a pair of servers that is moved in another"),
    pytest.mark.services(*(server for server in PAIRS.get(LAYOUT, ()) if server != "sqlite")),
]


def test_killed_moves_lose_nothing():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.faults.long_move"),
            *("--rows", "3000", "--kills", "5", "--batch-size", "100"),
            *("--pair", PAIRS[LAYOUT][0]),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, none twice" in done.stdout
