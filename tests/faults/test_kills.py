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
#: The settings of relations that are not of one column.
KINDS = "kinds_settings"
ARENA = [sys.executable, "-m", "tests.faults.arena"]

pytestmark = pytest.mark.services(*SERVERS[LAYOUT])


@pytest.fixture
def arena(tmp_path, tell):
    """Returns what lets a run happen and gives its report."""

    def run(name, kills=KILLS, models="settings"):
        seed = SEED or str(random.randrange(10**6))
        done = subprocess.run(
            [*ARENA, "--run", name, "--kills", str(kills), "--seed", seed],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": f"tests.faults.{models}",
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


def test_deleters_of_other_kinds_are_killed_while_others_write(arena):
    """Deleters of both sides of many-to-many relations, of generic and composite targets."""
    report = arena("deletes", kills=KILLS // 2, models=KINDS)
    assert sum(report["killed"]["deleter"].values()) >= KILLS // 2
    assert report["rows asked to go"] > KILLS / 8


def test_relays_are_killed_at_a_backlog_of_other_kinds(arena):
    report = arena("relays", kills=KILLS // 2, models=KINDS)
    assert sum(report["killed"]["relay"].values()) >= KILLS // 2
    assert report["rows asked to go"] > 0
    assert report["rows found by scans"] == 0


def test_deleters_of_other_kinds_are_killed_at_every_step(arena):
    """Before and after each statement and each commit, once for each kind of target."""
    report = arena("steps", models=KINDS)
    steps = report["steps"]
    assert steps.keys() == {
        "clubs.Reader",
        "clubs.Club",
        "notes.Thing",
        "climate.Weather",
        "climate.Region",
    }
    assert min(steps.values()) > 10
    assert sum(report["killed"]["deleter"].values()) == sum(steps.values())
    assert report["rows found by scans"] == 0
