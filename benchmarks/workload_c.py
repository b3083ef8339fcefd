"""Workload C: queries that span databases, by the plain call of the ORM.

1,000,000 users in one database and their 2,000,000 posts in another, beside one database that
joins both by Django, and beside what people do instead: keys fetched and given as ``IN`` or as
one array, brought into a temporary table, or left to postgres_fdw. On PostgreSQL; for
information also at a tenth of the size with the users on MariaDB, and on SQLite. Then ten
times as many rows, with as many that match, for how cost grows with the tables.

Each way stands by in a process of its own; they take turns, and the median counts. Memory is
what that process held at most in its first run. All must return the same. A way that fails
or takes too long is reported as such, and stops nobody else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import measuring

#: How many turns each way has, unless it has spent so many seconds before.
TURNS, SPENT = 5, 6.0
#: A turn goes on for so many seconds, but not for more than so many calls.
TURN, MOST = 0.1, 50
#: Seconds after which a way is given up.
LIMIT = 30.0
#: Megabytes that a process may hold where 500,000 keys are in play.
MEMORY = 200

LABELS = {
    "ours": "xdbrel",
    "one": "one database, JOIN",
    "array": "by hand, keys as one array",
    "in": "by hand, keys in IN",
    "table": "by hand, temporary table",
    "fdw": "postgres_fdw",
}
PAIRS = {"postgresql": "PostgreSQL", "mariadb": "MariaDB + PostgreSQL", "sqlite": "SQLite"}

TITLES = {
    "page rare": "page, 10 users match",
    "page some": "page, {some:,} match",
    "page many": "page, {many:,} match",
    "page late": "page, all matches at the end",
    "page mute": "page, too few matches",
    "order": "ordered by the other side",
    "order sorted": "ordered by the other side, which has no such index",
    "group": "grouped by the other side",
    "top": "grouped, the first 20",
    "count rare": "count, 10 users match",
    "count some": "count, {some:,} match",
    "count many": "count, {many:,} match",
    "select_related": "select_related",
}

#: The most that xdbrel may take, on PostgreSQL, of each way's time.
GOALS = {name: {"one": 1.0, "fdw": 1.0} for name in TITLES}
GOALS["page rare"]["one"] = GOALS["count rare"]["one"] = 2.0
for _name in ("page late", "page mute"):
    GOALS[_name] = {"array": 2.0, "fdw": 1.0}
#: What xdbrel has a row beside, with a goal or without one.
BESIDE = ("one", "fdw", "array", "in")
#: Of one row's reading with the hook, over Django's own.
GET_GOAL = 1.02
#: The larger tables have so many times the rows; what is measured there.
TIMES = 10
GROWING = (
    "page rare",
    "page some",
    "page many",
    "order",
    "count rare",
    "count some",
    "count many",
)
GROWING_WAYS = ("ours", "one", "array", "fdw")
#: Where half of the users match.
LARGE = ("page many", "count many")
#: The case that has no ways of its own: one row, which spans nothing.
GET = "get"


class _TookTooLong(Exception):
    """The process was ended."""


@dataclass(frozen=True)
class Data:
    """A pair of servers and the size of what is there, and how many times as much is."""

    pair: str
    scale: float
    limit: float
    title: str
    directory: str
    times: int = 1

    def about(self, case: str, where: str = "") -> str:
        """Return what a case asks of these databases, in words."""
        from benchmarks.data_c.databases import Sizes

        users = Sizes.scaled(self.scale).users
        asked = TITLES[case].format(some=users // 100, many=users // 2)
        return f"{where or self.title}, {asked}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "benchmarks.data_c.settings",
            "XDBREL_BENCH_C_PAIR": self.pair,
            "XDBREL_BENCH_C_DATA": f"_times{self.times}" if self.times > 1 else "",
            "XDBREL_BENCH_C_DIR": self.directory,
        }

    def call(self, *arguments: str) -> Any:
        """Return what a process says that runs to its end, however long it takes."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.data_c", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        return json.loads(done.stdout)


@dataclass
class Way:
    """One way to do a case, in its own process until it fails."""

    data: Data
    case: str
    name: str
    first: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    failure: str = ""

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.data_c", "way", self.case, self.name],
            # A statement that is too long shall fail a little before the process is ended.
            env={**self.data.environment, "XDBREL_BENCH_C_LIMIT": str(self.data.limit - 1)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def begin(self) -> None:
        """Run the way once."""
        self.first = self._ask("first") or {}
        if self.first and self.first["seconds"] > SPENT:
            self.seconds = [self.first["seconds"]]

    def turn(self) -> None:
        """Run it as often as goes into a turn."""
        if self.failure or self.first["seconds"] + sum(self.seconds) > SPENT:
            return
        times = min(MOST, max(1, int(TURN / self.first["seconds"])))
        self.seconds += self._ask(f"turn {times}") or []

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def title(self) -> str:
        return f"{self.data.about(self.case)}: {LABELS[self.name]}"

    def row(self, more: str = "", **measured: Any) -> dict[str, Any]:
        """Return a row of results; ``more`` is added to its name."""
        failure = f" (fails: {self.failure})" if self.failure else ""
        values: dict[str, Any] = {}
        if self.first:
            values = {key: self.first[key] for key in ("rows", "statements")}
            values["peak_mb"] = round(self.first["peak_mb"], 1)
        if self.seconds:
            values["seconds"] = round(self.median, 6)
        return measuring.row("C", f"{self.title}{more}{failure}", **values, **measured)

    def beside(self, other: Way, goal: float | None) -> dict[str, Any]:
        """Return the row that holds this way against another."""
        ratio = None
        if self.seconds and other.seconds:
            ratio = round(self.median / other.median, 3)
        elif other.failure and not self.failure:
            goal = None
        return self.row(ratio=ratio, against=other.title, goal=goal)

    def end(self) -> None:
        """End the process."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()

    def _ask(self, command: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        try:
            answer = self._read()
        except _TookTooLong:
            answer = {"error": f"more than {self.data.limit:g} s"}
        if isinstance(answer, dict) and "error" in answer:
            self.failure = answer["error"]
            return None
        return answer

    def _read(self) -> Any:
        assert self.process.stdout is not None
        # Several statements may take longer than one may.
        timer = threading.Timer(self.data.limit, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            if self.process.wait() < 0:
                raise _TookTooLong
            raise RuntimeError(f"{self.case}, {self.name}: the process ended by itself")
        return json.loads(line)


def run(
    scale: float = 1.0,
    *,
    cases: Collection[str] = (),
    pairs: Collection[str] = (),
    growth: bool = True,
    keep: bool = False,
    limit: float = LIMIT,
) -> list[dict[str, Any]]:
    """Measure every way; see the package for the rows' keys.

    ``cases`` and ``pairs`` choose among ``TITLES`` (and ``get``) and ``PAIRS``; ``growth``
    adds the tables of ten times the size; ``keep`` leaves the databases for the next run.
    """
    directory = Path(tempfile.gettempdir()) / "xdbrel_bench_c"
    directory.mkdir(exist_ok=True)
    rows = []
    seconds: dict[tuple[str, str], float] = {}
    for pair in pairs or PAIRS:
        size = scale if pair == "postgresql" else scale / 10
        data = Data(pair, size, limit, PAIRS[pair], str(directory))
        for way in _measured(data, cases or (*TITLES, GET), tuple(LABELS), keep, rows):
            if pair == "postgresql" and way.seconds:
                seconds[way.case, way.name] = way.median
    growing = [case for case in GROWING if not cases or case in cases]
    if growth and growing:
        title = f"PostgreSQL, {TIMES} times the rows"
        data = Data("postgresql", scale, limit, title, str(directory), TIMES)
        for way in _measured(data, growing, GROWING_WAYS, keep, rows):
            before = seconds.get((way.case, way.name))
            if way.name in ("ours", "one") and way.seconds and before is not None:
                against = f"{data.about(way.case, PAIRS['postgresql'])}: {LABELS[way.name]}"
                ratio = round(way.median / before, 3)
                rows.append(way.row(ratio=ratio, against=against))
    if not keep:
        directory.rmdir()
    return rows


def _measured(
    data: Data,
    cases: Collection[str],
    names: Collection[str],
    keep: bool,
    rows: list[dict[str, Any]],
) -> Iterator[Way]:
    """Create the data, measure the cases, add their rows; yield the ways when they are done."""
    reason = data.call("unreachable")
    if reason:
        print(f"C: {data.title} is left out: {reason}", file=sys.stderr)
        return
    try:
        data.call("create", str(data.scale), str(data.times))
        known = data.call("ways")
        for case in cases:
            print(f"C: {data.title}, {case} …", file=sys.stderr)
            if case == GET:
                rows += _get(data)
                continue
            ways = _run(data, case, [name for name in known[case] if name in names])
            rows += _rows(data, case, ways)
            yield from ways
    finally:
        if not keep:
            data.call("drop")


def _run(data: Data, case: str, names: Collection[str]) -> list[Way]:
    ways = [Way(data, case, name) for name in names]
    try:
        for way in ways:
            way.begin()
        for _ in range(TURNS):
            for way in ways:
                way.turn()
    finally:
        for way in ways:
            way.end()
    results = {way.name: way.first["result"] for way in ways if way.first}
    if len(set(results.values())) > 1:
        raise RuntimeError(f"{data.title}, {case}: the ways do not find the same: {results}")
    return ways


def _rows(data: Data, case: str, ways: list[Way]) -> list[dict[str, Any]]:
    goals = GOALS[case] if data.pair == "postgresql" and data.times == 1 else {}
    rows = []
    for way in ways:
        if way.name != "ours":
            rows.append(way.row())
            continue
        for other in ways:
            if other.name in BESIDE:
                rows.append(way.beside(other, goals.get(other.name)))
        if case in LARGE and goals:
            peak = way.first.get("peak_mb")
            rows.append(
                way.row(
                    f", memory, of {MEMORY} MB",
                    ratio=None if peak is None else round(peak / MEMORY, 3),
                    against=f"{MEMORY} MB",
                    goal=1.0,
                )
            )
    return rows


def _get(data: Data) -> list[dict[str, Any]]:
    """Measure what the hook costs where nothing spans."""
    taken = data.call(GET)
    hook, django = (statistics.median(taken[name]) for name in ("hook", "django"))
    title = f"{data.title}, one row by its key"
    goal = GET_GOAL if data.pair == "postgresql" else None
    against = f"{title}: Django without the hook"
    return [
        measuring.row("C", against, seconds=round(django, 7), rows=1, statements=1),
        measuring.row(
            "C",
            f"{title}: with the hook",
            seconds=round(hook, 7),
            rows=1,
            statements=1,
            ratio=round(hook / django, 4),
            against=against,
            goal=goal,
        ),
    ]


def main() -> None:
    from benchmarks.__main__ import table

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is the full size")
    parser.add_argument(
        "--case", action="append", default=[], choices=(*TITLES, GET), help="only this case"
    )
    parser.add_argument(
        "--pair", action="append", default=[], choices=PAIRS, help="only these servers"
    )
    parser.add_argument("--no-growth", action="store_true", help="no tables of ten times the size")
    parser.add_argument("--keep", action="store_true", help="leave the databases for the next run")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that a way may take")
    options = parser.parse_args()
    rows = run(
        options.scale,
        cases=options.case,
        pairs=options.pair,
        growth=not options.no_growth,
        keep=options.keep,
        limit=options.limit,
    )
    print(table(rows))


if __name__ == "__main__":
    main()
