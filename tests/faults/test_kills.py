"""Processes killed at any instant: afterwards nothing is dangling, and nothing is lost.

Each test is one run of ``tests.faults.arena`` in processes of its own, with databases of
its own. XDBREL_FAULT_KILLS says how many are killed in each, XDBREL_FAULT_SEED what is
drawn; the report that a run prints names its seed. ``tests.faults.long_run`` does the same
for much longer.
"""

import json
import os
import random
import subprocess
import sys

import pytest

from tests.settings import LAYOUT

KILLS = int(os.environ.get("XDBREL_FAULT_KILLS", "100"))
SEED = os.environ.get("XDBREL_FAULT_SEED", "")
SERVERS = {
    "sqlite": [],
    "postgres": ["postgres"],
    "mariadb": ["mariadb"],
    "mixed": ["postgres", "mariadb"],
    "mixed_reverse": ["postgres", "mariadb"],
}
MOST_SECONDS = 600
ARENA = [sys.executable, "-m", "tests.faults.arena"]

pytestmark = pytest.mark.services(*SERVERS[LAYOUT])


@pytest.fixture
def arena(tmp_path, tell):
    """Returns what lets a run happen and gives its report."""

    def run(name):
        seed = SEED or str(random.randrange(10**6))
        done = subprocess.run(
            [*ARENA, "--run", name, "--kills", str(KILLS), "--seed", seed],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
                "XDBREL_FAULT_FOLDER": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
        )
        assert done.stdout, f"seed {seed}:\n{done.stderr}"
        report = json.loads(done.stdout)
        wrong = report.pop("wrong")
        tell(json.dumps(report))
        assert wrong == [], f"seed {seed}:\n{done.stderr}"
        return report

    return run


def test_deleters_and_relays_are_killed_while_others_write(arena):
    report = arena("deletes")
    assert sum(report["killed"]["deleter"].values()) >= KILLS
    assert report["rows asked to go"] > KILLS / 4


def test_relays_are_killed_at_a_backlog(arena):
    report = arena("relays")
    assert sum(report["killed"]["relay"].values()) >= KILLS
    assert report["rows asked to go"] > 0
