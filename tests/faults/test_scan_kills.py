"""Scans and workers killed at random: ``tests.faults.long_scan`` with few rows."""

import os
import subprocess
import sys

import pytest

from tests.settings import LAYOUT

PAIRS = {"sqlite": ("sqlite",), "mixed": ("mariadb", "postgres"), "postgres": ("postgres",)}

pytestmark = [
    pytest.mark.skipif(LAYOUT not in PAIRS, reason="a pair of servers that the data is not for"),
    pytest.mark.services(*(server for server in PAIRS.get(LAYOUT, ()) if server != "sqlite")),
]


def test_killed_scans_find_what_others_find(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.faults.long_scan"),
            *("--posts", "20000", "--users", "4000", "--kills", "3", "--page", "200"),
            *("--pair", PAIRS[LAYOUT][0]),
        ],
        env={
            **os.environ,
            "XDBREL_BENCH_A_DIR": str(tmp_path),
            # So that there is time to kill.
            "XDBREL_FAULT_SPEED": "6000",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, none twice" in done.stdout
