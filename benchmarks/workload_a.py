"""Workload A: the orphans among ten million posts, whose users live in another database.

Each way runs in a process of its own, again and again in turn with the others; its time
is the median, its memory the most that the process held. Ways that take minutes run
once. All must find the same number of keys.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: How often each way is measured; the median counts.
ROUNDS = 3


@dataclass(frozen=True)
class Goal:
    """``ours`` may take at most ``ratio`` times what the way ``against`` takes."""

    against: str
    ratio: float | None
    way: str = "ours"


@dataclass(frozen=True)
class Case:
    """A data set on a pair of servers, the ways measured on it, and the goals."""

    name: str
    pair: str
    users: int
    posts: int
    ways: tuple[str, ...]
    goals: tuple[Goal, ...]
    gone: float = 0.01
    uuid: bool = False
    lost: bool = False
    once: tuple[str, ...] = field(default=())


STRATEGIES = ("ours_gaps", "ours_bitmap", "ours_merge", "ours_push")
ONE = ("one_serial", "one_parallel", "one_distinct", "one_gaps")
#: The planner's choice beside each that it might have made.
PLANNED = tuple(Goal(way, 1.25) for way in STRATEGIES)

CASES = [
    Case(
        "few gaps",
        "postgres",
        1_000_000,
        10_000_000,
        ("ours", *STRATEGIES, *ONE),
        (
            Goal("one_serial", 0.12),
            Goal("one_gaps", 1.3),
            Goal("recipe", 0.04),
            Goal("walk", 1 / 150),
            *PLANNED,
            Goal("one_parallel", None),
            Goal("one_distinct", None),
            Goal("walk_raw", None),
            Goal("fdw", None),
            Goal("copy_antijoin", None),
        ),
        once=("recipe", "walk", "walk_raw", "fdw", "copy_antijoin"),
    ),
    Case(
        "half deleted",
        "postgres",
        1_000_000,
        10_000_000,
        ("ours", *STRATEGIES, *ONE),
        (Goal("one_serial", 0.33), *PLANNED, Goal("one_parallel", None)),
        gone=0.5,
    ),
    Case(
        "UUID",
        "postgres",
        1_000_000,
        3_000_000,
        ("ours", "ours_merge", "ours_push", "one_serial", "one_parallel", "one_distinct"),
        (
            Goal("one_serial", 1.2),
            Goal("ours_merge", 1.25),
            Goal("ours_push", 1.25),
            Goal("copy_antijoin", 1.25),
            Goal("fdw", None),
            Goal("one_parallel", None),
        ),
        uuid=True,
        once=("copy_antijoin", "fdw"),
    ),
    Case(
        "0.1 M sources",
        "postgres",
        1_000_000,
        100_000,
        ("ours", *STRATEGIES, "one_serial"),
        (*PLANNED, Goal("one_serial", None)),
    ),
    Case(
        "1 M sources",
        "postgres",
        1_000_000,
        1_000_000,
        ("ours", *STRATEGIES, "one_serial"),
        (*PLANNED, Goal("one_serial", None)),
    ),
    Case(
        "SQLite pair",
        "sqlite",
        1_000_000,
        3_000_000,
        ("ours", *STRATEGIES, "one_serial", "attached", "one_distinct"),
        (Goal("one_serial", 1.0), Goal("attached", 1.0), *PLANNED),
        once=("walk",),
    ),
    Case(
        "MariaDB sources",
        "mariadb",
        1_000_000,
        10_000_000,
        ("ours", *STRATEGIES, "one_serial", "one_distinct"),
        (Goal("one_serial", 0.10), *PLANNED),
    ),
    Case(
        "all orphans",
        "postgres",
        1_000_000,
        10_000_000,
        (),
        (),
        lost=True,
        once=("ours", "one_distinct"),
    ),
]

#: The time may grow by so much from a tenth and a hundredth of the sources.
GROWTH = 1.2
#: Megabytes over the bare process.
MEMORY = 100


def run(scale: float = 1.0, names: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Measure every way; see the package for the rows' keys. ``names`` chooses data sets."""
    chosen = set(names)
    results: list[dict[str, Any]] = []
    ours: dict[str, float] = {}
    for case in CASES:
        if chosen and case.name not in chosen:
            continue
        for row in _case(case, scale):
            results.append(row)
            if row["way"] == "ours":
                ours[case.name] = row["seconds"]
    for row in results:
        if row.pop("way") == "ours" and row["name"].startswith("few gaps"):
            for other in ("0.1 M sources", "1 M sources"):
                if other in ours and row["against"] is None:
                    results.append(
                        {
                            **row,
                            "ratio": round(row["seconds"] / ours[other], 3),
                            "against": f"{other}: xdbrel",
                            "goal": GROWTH,
                            "way": "",
                        }
                    )
    return results


def _case(case: Case, scale: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="xdbrel_bench_a_") as directory:
        child = _Child(case, scale, directory)
        reason = child.call("ping")["unreachable"]
        if reason:
            print(f"{case.name} is left out: {reason}", file=sys.stderr)
            return []
        try:
            child.call("create")
            taken: dict[str, list[dict[str, Any]]] = {way: [] for way in case.ways}
            for _ in range(ROUNDS):
                for way in case.ways:
                    taken[way].append(child.call(way))
            for way in (*case.once, "nothing"):
                taken[way] = [child.call(way)]
        finally:
            child.call("drop")
    found = {way: runs[0]["rows"] for way, runs in taken.items() if way != "nothing"}
    if len(set(found.values())) != 1:
        raise RuntimeError(f"{case.name}: the ways differ in what they find: {found}")
    return _rows(case, taken)


class _Child:
    """Runs one way, or the creation of the data, in a process of its own."""

    def __init__(self, case: Case, scale: float, directory: str) -> None:
        self.command = [
            sys.executable,
            "-m",
            "benchmarks.data_a",
            json.dumps([case.name, case.users, case.posts, case.gone, case.uuid, case.lost]),
            str(scale),
        ]
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.data_a.settings",
            "XDBREL_BENCH_A_PAIR": case.pair,
            "XDBREL_BENCH_A_DIR": directory,
        }

    def call(self, what: str) -> dict[str, Any]:
        done = subprocess.run(
            [*self.command, what],
            env=self.environment,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def _rows(case: Case, taken: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    seconds = {
        way: statistics.median(run["seconds"] for run in runs) for way, runs in taken.items()
    }
    peaks = {way: max(run["peak_mb"] for run in runs) for way, runs in taken.items()}

    def row(way: str, **more: Any) -> dict[str, Any]:
        return {
            "workload": "A",
            "name": f"{case.name}: {LABELS[way]}",
            "seconds": round(seconds[way], 4),
            "rows": taken[way][0]["rows"],
            "statements": taken[way][0]["statements"],
            "peak_mb": round(peaks[way], 1),
            "ratio": None,
            "against": None,
            "goal": None,
            "way": way,
            **more,
        }

    rows = [row(way) for way in taken]
    for goal in case.goals:
        rows.append(
            row(
                goal.way,
                ratio=round(seconds[goal.way] / seconds[goal.against], 4),
                against=f"{case.name}: {LABELS[goal.against]}",
                goal=None if goal.ratio is None else round(goal.ratio, 4),
            )
        )
    rows.append(
        row(
            "ours",
            name=f"{case.name}: xdbrel's memory over the bare process, of {MEMORY} MB",
            ratio=round((peaks["ours"] - peaks["nothing"]) / MEMORY, 3),
            against=f"{case.name}: {LABELS['nothing']}",
            goal=1.0,
        )
    )
    return rows


LABELS = {
    "ours": "xdbrel",
    "ours_gaps": "xdbrel, gaps",
    "ours_bitmap": "xdbrel, bitmap",
    "ours_merge": "xdbrel, merge",
    "ours_push": "xdbrel, push",
    "recipe": "the usual recipe, all ids in a set",
    "walk": "chunked walk through the ORM",
    "walk_raw": "chunked walk by the drivers",
    "fdw": "postgres_fdw, anti-join",
    "copy_antijoin": "COPY keys, anti-join there",
    "one_serial": "one database, NOT EXISTS",
    "one_parallel": "one database, NOT EXISTS, two workers",
    "one_distinct": "one database, DISTINCT first",
    "one_gaps": "one database, gaps in SQL",
    "attached": "one connection with ATTACH",
    "nothing": "bare process",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is the full size")
    parser.add_argument("--case", action="append", default=[], help="only this data set")
    options = parser.parse_args()
    for row in run(options.scale, options.case):
        judged = ""
        if row["ratio"] is not None:
            judged = f"{row['ratio']:>9} of {row['against']}"
            if row["goal"] is not None:
                verdict = "reached" if row["ratio"] <= row["goal"] else "MISSED"
                judged += f" (goal {row['goal']}: {verdict})"
        print(
            f"{row['name']:60} {row['seconds']:>9.3f} s {row['peak_mb']:>7} MB "
            f"{row['rows']!s:>7} keys {row['statements']!s:>5} statements {judged}"
        )


if __name__ == "__main__":
    main()
