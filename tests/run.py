"""The test matrix: which suites run on which Django and which databases, and the report.

``make test`` calls it; ``python3 -m tests.run --help`` says how to run a part. It needs
nothing but the standard library. What the environments hold is for
``tests/environments.py``, where the servers are for ``tests/servers.py``.

* ``tests/unit`` runs once for each Django, on SQLite.
* ``tests/integration`` runs for each Django on SQLite and, where the servers answer, on
  layouts of two servers; on those of one where they are asked for.
* ``tests/integration/recipe`` needs the sample project's settings and runs apart, on SQLite with
  one Django, on a layout of two servers with the newest, on any of these that is asked for.
* ``tests/faults`` breaks things on purpose: in part on layouts of two servers with the newest
  Django, on SQLite with the others; all of it on any layout that is asked for.
* ``tests/oracle`` compares queries that span databases with those of one database: on SQLite
  for each Django, on a layout of two servers with the newest, on any that is asked for.
* ``tests/multidb`` is a few projects with settings of their own, one run each: on SQLite for each
  Django, on layouts of two servers with the newest, on any that is asked for.
* ``tests/services`` runs once for each Django, on the richest of these layouts. The wheel,
  the demo and the site, which bring environments or databases of their own, are tested once.

Three runs go on at a time, since they wait for servers much of their time, each with test
databases of its own. What has no server or no Python is left out, and the report says so.
With ``XDBREL_REQUIRE_SERVICES=1`` that is a failure, and so is a test that was skipped by
every run.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests import environments
from tests.environments import ROOT, Environment

DJANGOS = {"5.2": "django52", "6.1": "django61"}
# The servers that a layout needs, slow layouts first.
LAYOUTS: dict[str, tuple[str, ...]] = {
    "mariadb": ("mariadb",),
    "mixed": ("postgres", "mariadb"),
    "mixed_reverse": ("postgres", "mariadb"),
    "postgres": ("postgres",),
    "sqlite": (),
}
RICHEST = ("mixed", "postgres", "mariadb", "sqlite")
SAMPLE_LAYOUTS = ("mixed", "mixed_reverse", "sqlite")
# Where nothing is asked for.
SAMPLES = {"5.2": ("sqlite",), "6.1": ("mixed",)}
# What is run where nothing is asked for: every database with each Django, and on either side
# of a relation with one of them. The other layouts are for who asks for them.
USUAL_LAYOUTS = {"5.2": ("mixed_reverse", "sqlite"), "6.1": ("mixed", "sqlite")}
# All of it on SQLite; on servers, where it takes a quarter of an hour for each layout, what
# needs them, and faults at every statement of some deletes. All of it where a layout is named.
STATEMENTS, ROLLBACKS = "tests/faults/test_statements.py", "tests/faults/test_rollbacks.py"
# Python 3.11 keeps what an error interrupted, and with it open reads of tables in shared
# memory, which lock out who is next: random faults there are for the other Django.
STATE_MACHINE = "tests/faults/test_state_machine.py"
# Hundreds of processes, one after the other: those of newer kinds of relations on SQLite alone.
OTHER_KINDS = [
    f"--deselect=tests/faults/test_kills.py::test_{what}"
    for what in (
        "deleters_of_other_kinds_are_killed_at_every_step",
        "deleters_of_other_kinds_are_killed_while_others_write",
        "relays_are_killed_at_a_backlog_of_other_kinds",
    )
]
FAULTS: dict[str, dict[str, list[str]]] = {
    "5.2": {
        "sqlite": ["tests/faults", f"--ignore={STATEMENTS}", f"--ignore={STATE_MACHINE}"],
    },
    "6.1": {
        "sqlite": [STATEMENTS, STATE_MACHINE],
        "mixed": [
            "tests/faults",
            f"--ignore={STATEMENTS}",
            f"--ignore={ROLLBACKS}",
            *OTHER_KINDS,
        ],
        "mixed_reverse": [
            STATEMENTS,
            "tests/faults/test_outages.py",
            "-k",
            "instance or heard or serialization or given_up"
            " or test_a_fault_at_every_event and relay and not steps",
        ],
    },
}
SAMPLE_TESTS = "tests/integration/recipe"
# Projects that are migrated, process by process, and moves of every kind of relation: with one
# Django on SQLite, with the other on servers.
WITHOUT_THE_SLOWEST = [
    "tests/integration",
    f"--ignore={SAMPLE_TESTS}",
    "--ignore=tests/integration/migrations",
    "--ignore=tests/integration/cascade/triggers/test_migrating.py",
    "--ignore=tests/integration/moving/test_relations.py",
]
# Less than all of the integration tests; on PostgreSQL alone what asks for one server on both
# sides.
PARTS: dict[str, dict[str, list[str]]] = {
    "5.2": {"mixed_reverse": WITHOUT_THE_SLOWEST},
    "6.1": {
        "sqlite": WITHOUT_THE_SLOWEST,
        "postgres": [
            "tests/integration/integrity/test_strategies.py",
            "tests/integration/query/test_carried.py",
            "-k",
            "any_keys or carried",
        ],
    },
}
ORACLES = {"5.2": ("sqlite",), "6.1": ("mixed", "sqlite")}
PROJECTS = tuple(
    sorted(path.parent.name for path in (ROOT / "tests/multidb").glob("*/settings.py"))
)
SUITES = ("services", "faults", "product", "integration", "oracle", "multidb", "sample", "unit")
PRODUCT_TESTS = tuple(
    f"tests/services/test_{what}.py" for what in ("wheel", "demo", "site", "moving_guide")
)
WIDTH = 3
NOTHING_COLLECTED = 5
MINUTES_OF_A_RUN = {"faults": 45}
MINUTES_OF_ANY_OTHER = 15

REPORTS = ROOT / ".cache" / "tests"
REQUIRE_SERVICES = os.environ.get("XDBREL_REQUIRE_SERVICES", "") not in ("", "0")


@dataclass
class Case:
    """One test in one run: its name, and the reason where it was skipped."""

    name: str
    skipped: str | None


@dataclass
class Run:
    """One call of pytest, and what came of it."""

    environment: Environment
    suite: str
    layout: str
    arguments: list[str]
    #: The project, where the suite has several.
    project: str = ""
    status: int | None = None
    closing: str = "not run"
    cases: list[Case] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.environment.name} {self.project or self.suite:<11} {self.layout:<13}"

    @property
    def report(self) -> str:
        suite = "-".join(filter(None, (self.suite, self.project)))
        return str(REPORTS / f"{self.environment.name}-{suite}-{self.layout}")


class Matrix:
    """The runs of one ``make test``, and the words for what is not among them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.runs: list[Run] = []
        self.notes: list[str] = []
        self.left_out: list[str] = []
        self.failures: list[str] = []
        self.processes: set[subprocess.Popen[str]] = set()
        self.speaking = threading.Lock()

    def work(self) -> int:
        """Make the environments, run everything and report; return the exit status."""
        began = time.monotonic()
        REPORTS.mkdir(parents=True, exist_ok=True)
        queue = self.plan(self.prepare())
        with ThreadPoolExecutor(WIDTH) as pool:
            try:
                for done in [pool.submit(self.run_in_turn, runs) for runs in queue]:
                    done.result()
            except BaseException:
                # Interrupted: leaving the block waits for what is running.
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(self.processes):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        self.failures += [f"{run.name} {run.closing}" for run in self.runs if run.status != 0]
        if REQUIRE_SERVICES:
            self.failures += [f"left out: {reason}" for reason in self.left_out]
            self.failures += [f"skipped by every run: {line}" for line in ran_nowhere(self.runs)]
        if not self.runs:
            self.failures.append("there was nothing to run")
        self.report(time.monotonic() - began)
        return 1 if self.failures else 0

    def prepare(self) -> list[Environment]:
        """Return the environments that can be had, made where need be."""
        made = []
        with ThreadPoolExecutor(WIDTH) as pool:
            names = [DJANGOS[django] for django in self.options.django]
            for future in [pool.submit(environments.ensure, name) for name in names]:
                try:
                    environment = future.result()
                except environments.PythonMissing as error:
                    self.left_out.append(str(error))
                except environments.InstallFailed as error:
                    self.failures.append(str(error))
                else:
                    made.append(environment)
                    self.notes += [f"{environment.name}: {note}" for note in environment.notes]
        return made

    def plan(self, made: list[Environment]) -> list[list[Run]]:
        """Return lists of runs; those of one list run one after the other."""
        queue: list[list[Run]] = []
        # Services share Redis, so they never run at the same time.
        services: list[Run] = []
        for environment in made:
            missing = self.missing_servers(environment)
            django = next(one for one, name in DJANGOS.items() if name == environment.name)
            usable = [
                layout
                for layout in LAYOUTS
                if layout in (self.options.layout or LAYOUTS)
                and not missing.intersection(LAYOUTS[layout])
            ]
            layouts = [
                layout
                for layout in usable
                if self.options.layout or layout in USUAL_LAYOUTS[django]
            ]
            parts = {} if self.options.layout else PARTS[django]
            richest = [layout for layout in RICHEST if layout in usable][:1]
            faults = FAULTS[django]
            if self.options.layout:
                faults = {layout: ["tests/faults"] for layout in usable}
            for suite, wanted in (
                ("services", richest),
                ("faults", [layout for layout in usable if layout in faults]),
                ("integration", [one for one in usable if one in layouts or one in parts]),
                (
                    "oracle",
                    [one for one in usable if self.options.layout or one in ORACLES[django]],
                ),
                (
                    "sample",
                    [
                        one
                        for one in usable
                        if one in (SAMPLE_LAYOUTS if self.options.layout else SAMPLES[django])
                    ],
                ),
                ("product", ["sqlite"] if environment is made[-1] else []),
                ("unit", ["sqlite"]),
            ):
                if suite in self.options.suite:
                    runs = [
                        Run(
                            environment,
                            suite,
                            layout,
                            arguments(suite, layout, faults, parts),
                        )
                        for layout in wanted
                    ]
                    self.runs += runs
                    if suite == "services":
                        services += runs
                    else:
                        queue += [[run] for run in runs]
            if "multidb" in self.options.suite:
                projects = [
                    Run(environment, "multidb", layout, arguments_of(project), project)
                    for layout in usable
                    if self.options.layout or layout in ORACLES[django]
                    for project in PROJECTS
                ]
                self.runs += projects
                # Each is over in seconds.
                queue += [projects] if projects else []
        # Long runs first, so that none is left alone at the end.
        queue.sort(
            key=lambda runs: (SUITES.index(runs[0].suite), [*LAYOUTS].index(runs[0].layout))
        )
        return [services, *queue]

    def missing_servers(self, environment: Environment) -> set[str]:
        """Return the servers that the environment cannot use, having noted why."""
        asked = subprocess.run(
            [str(environment.python), "-m", "tests.servers"],
            cwd=ROOT,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )
        answers: dict[str, str] = json.loads(asked.stdout)
        for reason in answers.values():
            if reason and reason not in self.left_out:
                self.left_out.append(reason)
        return {server for server, reason in answers.items() if reason}

    def run_in_turn(self, runs: list[Run]) -> None:
        for run in runs:
            self.run(run)

    def run(self, run: Run) -> None:
        """Call pytest, keep its output in a file and say in a line how it went."""
        log, junit = run.report + ".log", run.report + ".xml"
        for stale in (log, junit):
            if os.path.exists(stale):
                os.unlink(stale)
        command = [str(run.environment.python), "-m", "pytest", *run.arguments]
        command += [f"--junit-xml={junit}", *self.options.pytest]
        minutes = MINUTES_OF_A_RUN.get(run.suite, MINUTES_OF_ANY_OTHER)
        timed_out = False
        with open(log, "w+", encoding="utf-8") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=surroundings(run),
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.processes.add(process)
            try:
                run.status = process.wait(minutes * 60)
            except subprocess.TimeoutExpired:
                timed_out = True
                os.killpg(process.pid, signal.SIGKILL)
                run.status = process.wait()
            self.processes.discard(process)
            output.seek(0)
            text = output.read()
        run.closing = closing_line(text) or f"pytest ended with status {run.status}"
        if run.status == NOTHING_COLLECTED and self.options.pytest:
            # A selection need not reach every suite.
            run.status = 0
        if timed_out:
            run.closing = f"stopped after {minutes} minutes"
        run.cases = list(cases(junit))
        with self.speaking:
            if run.status != 0:
                print(f"\n{text}\n")
            verdict = "ok    " if run.status == 0 else "FAILED"
            print(f"{verdict} {run.name} {run.closing}", flush=True)

    def report(self, seconds: float) -> None:
        """Print what ran, what was skipped and what was left out, pytest's own lines last."""
        skips = collections.Counter(
            case.skipped for run in self.runs for case in run.cases if case.skipped is not None
        )
        listed("Skipped in a run, with its reason", [f"{n:4}: {why}" for why, n in skips.items()])
        listed("Skipped by every run", ran_nowhere(self.runs))
        listed("Note", self.notes)
        listed("Left out", self.left_out)
        listed("What ran", [f"{run.name} {run.closing}" for run in self.runs])
        listed("What failed", self.failures)
        if self.failures:
            print(f"\nThe complete output of each run is in {REPORTS}.")
        print(f"\n== {total(run.closing for run in self.runs)} in {seconds:.2f}s ==")


def arguments(
    suite: str, layout: str, faults: dict[str, list[str]], parts: dict[str, list[str]]
) -> list[str]:
    """Return pytest's arguments for a suite on a layout."""
    if suite == "faults":
        return faults[layout]
    if suite == "integration" and layout in parts:
        return parts[layout]
    return paths(suite)


def arguments_of(project: str) -> list[str]:
    """Return pytest's arguments for one of the projects of ``tests/multidb``."""
    return [f"tests/multidb/{project}", f"--ds=tests.multidb.{project}.settings"]


def paths(suite: str) -> list[str]:
    """Return the arguments by which pytest finds the tests of a suite."""
    if suite == "product":
        return [*PRODUCT_TESTS]
    if suite == "services":
        return ["tests/services", *(f"--ignore={path}" for path in PRODUCT_TESTS)]
    if suite == "sample":
        return [SAMPLE_TESTS, "--ds=tests.sample_settings"]
    return [f"tests/{suite}", f"--ignore={SAMPLE_TESTS}"]


def surroundings(run: Run) -> dict[str, str]:
    """Return the environment variables of a run."""
    # Clones that share the servers, and the two Djangos, keep out of each other's way.
    clone = f"{zlib.crc32(str(ROOT).encode()):08x}"
    suffix = os.environ.get("XDBREL_DB_SUFFIX", "")
    return {
        **os.environ,
        "XDBREL_LAYOUT": run.layout,
        "XDBREL_DB_SUFFIX": f"{suffix}_{clone}_{run.environment.name[-2:]}{run.suite[:2]}",
        "PYTHONDEVMODE": "1",
        # Without its checks of memory, which are for extensions in C and cost a sixth of the time.
        "PYTHONMALLOC": "default",
        "COLUMNS": "100",
    }


def closing_line(text: str) -> str:
    """Return the last line in which pytest counts tests, without its rule."""
    for line in reversed(text.splitlines()):
        if re.fullmatch(r"=+ .+ in [\d.]+s.* =+", line):
            return line.strip("= ")
    return ""


def total(closings: Iterable[str]) -> str:
    """Return the sum of pytest's counts: "3 failed, 700 passed, 12 skipped"."""
    counts: collections.Counter[str] = collections.Counter()
    for closing in closings:
        for number, what in re.findall(r"(\d+) ([a-z]+)", closing.partition(" in ")[0]):
            counts["errors" if what == "error" else what] += int(number)
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "no tests"


def cases(junit: str) -> Iterable[Case]:
    """Read the tests of a run from the report in which pytest left them."""
    if not os.path.exists(junit):
        return
    for element in xml.etree.ElementTree.parse(junit).iter("testcase"):
        skipped = element.find("skipped")
        # An expected failure is reported as skipped too, but it ran.
        really = skipped is not None and skipped.get("type") == "pytest.skip"
        name = f"{element.get('classname', '')}.{element.get('name', '')}".lstrip(".")
        yield Case(name, skipped.get("message", "") if skipped is not None and really else None)


def ran_nowhere(runs: list[Run]) -> list[str]:
    """Return the tests that every run skipped that had them, each with its reason."""
    ran = {case.name for run in runs for case in run.cases if case.skipped is None}
    # A module that skips itself stands for its tests.
    modules = {".".join(name.split(".")[:length]) for name in ran for length in range(1, 9)}
    skipped = {
        case.name: case.skipped for run in runs for case in run.cases if case.skipped is not None
    }
    return [f"{name}: {why}" for name, why in sorted(skipped.items()) if name not in ran | modules]


def listed(title: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{title}:", *(f"  {line}" for line in lines), sep="\n")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the test matrix, or a part of it.")
    parser.add_argument("--django", nargs="+", choices=DJANGOS, default=list(DJANGOS))
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=list(SUITES))
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS)
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="for pytest")
    return parser.parse_args()


if __name__ == "__main__":
    # To be ended is to be interrupted: nothing that was started goes on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(Matrix(options()).work())
