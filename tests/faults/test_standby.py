"""A real standby whose replay is paused: ``tests.faults.standby`` in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

from tests.faults import clusters
from tests.settings import LAYOUT

pytestmark = [
    pytest.mark.skipif(LAYOUT != "sqlite", reason="has clusters of its own, and runs once"),
    pytest.mark.skipif(bool(clusters.why_not()), reason=clusters.why_not()),
]


def test_beside_a_standby_that_lags_behind(tmp_path):
    """Scans never read it and wait for it, second looks wait, queries need no tables there."""
    with clusters.primary_and_standby() as (primary, standby):
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.standby"],
            env={
                **os.environ,
                "XDBREL_PRIMARY_PORT": str(primary),
                "XDBREL_STANDBY_PORT": str(standby),
                "XDBREL_BENCH_A_DIR": str(tmp_path),
                "XDBREL_BENCH_A_PAIR": "sqlite",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    saw = json.loads(done.stdout)
    lag = saw["scan"].pop("lag")
    assert 0 < lag < 60
    assert saw["scan"] == {"right": True, "only its lag": True}
    assert saw["throttle"] == {"waited": True, "complete": True}
    waits_for = saw["confirm"].pop("waits for")
    assert waits_for.startswith("'standby' lags ")
    assert waits_for.endswith(" seconds behind its primary")
    assert saw["confirm"] == {"found": True, "confirmed": [False, True], "healed": 5}
    rows = saw["query"].pop("rows")
    assert rows > 10
    assert saw["query"] == {"right": True}
