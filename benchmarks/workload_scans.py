"""One scan by one worker and by two, who share its ranges.

By ``merge``, which reads every distinct key of both ends and compares them in Python: the
client's work. Each worker is a process of its own, forked with Django set up; what is measured
is from the first range that is taken to the end of the run. On a machine with two cores the
servers want their share of them.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

#: How often each is measured; the median counts.
ROUNDS = 3
RANGES = 16
#: Two workers are to be so much faster than one.
GOAL = 1 / 1.5


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    """Measure both; see the package for the rows' keys."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.data_scans.settings"
    import django

    django.setup()
    from benchmarks import measuring
    from benchmarks.data_a import databases

    reason = measuring.unreachable(*databases.ALIASES)
    if reason:
        print(f"Scans are left out: {reason}")
        return []
    databases.create(databases.Data("few gaps", 1_000_000, 10_000_000).scaled(scale))
    try:
        taken: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(ROUNDS):
            for workers, seconds in taken.items():
                found, measured = _measure(workers)
                seconds.append(measured)
    finally:
        databases.drop()
    one, two = (statistics.median(seconds) for seconds in taken.values())
    return [
        measuring.row("SCANS", "merge, one worker", seconds=one, rows=found),
        measuring.row(
            "SCANS",
            "merge, two workers",
            seconds=two,
            rows=found,
            ratio=two / one,
            against="merge, one worker",
            goal=GOAL,
        ),
    ]


def _measure(workers: int) -> tuple[int, float]:
    """Return what a scan by so many workers finds, and its seconds."""
    from django.db import connections

    from xdbrel import relations
    from xdbrel.integrity import sharing
    from xdbrel.models import Orphan, ScanRun

    Orphan.objects.all().delete()
    ScanRun.objects.all().delete()
    parts = sharing.number_of_ranges
    sharing.number_of_ranges = lambda *ends: RANGES
    try:
        relation = relations.get("data_a.Post.author")
        begun = sharing.start(relation, send=lambda run: None, mode="full", strategy="merge")
    finally:
        sharing.number_of_ranges = parts
    connections.close_all()
    started = time.perf_counter()
    pids = []
    for _ in range(workers):
        pid = os.fork()
        if not pid:
            try:
                sharing.take_part(begun.run_id)
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    seconds = time.perf_counter() - started
    run = ScanRun.objects.get(pk=begun.run_id)
    if run.status != ScanRun.Status.COMPLETE:
        raise RuntimeError(f"The scan was not completed: {run.last_error}")
    return run.distinct_keys, seconds
