"""Workload E: a backlog of 100,000 intents, each with ten sources to delete, is worked off.

The intents stand in one PostgreSQL database and the sources in another; every other target
is alive. One and two worker processes claim 1,000 intents at a time with SKIP LOCKED, through
xdbrel's relay and through loops written by hand: a table with one row for each deleted target,
which is marked done (found by an index on (status, id), or by a partial one) or deleted. What
xdbrel is held against is the loop that marks by a partial index, since the relay does too.

``rows`` are intents. The clock starts when every worker has done some intents more than these
and so has its connections and statements ready, and stops when the last has found nothing
left. The relay's second look at what it applied, which no loop by hand has, is put off past the
end of the run and measured by itself.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import measuring

INTENTS = 100_000
SOURCES_PER_TARGET = 10
BATCH = 1_000
WORKERS = (1, 2)
RUNS = 3

STATUS_INDEX = "by hand, marked done, index on (status, id)"
PARTIAL_INDEX = "by hand, marked done, partial index"
DELETED = "by hand, deleted when done"
RELAY = "xdbrel's relay"
WAYS = (STATUS_INDEX, PARTIAL_INDEX, DELETED, RELAY)

#: xdbrel's pace is at least 0.6 of the hand-written one, a second worker adds 0.4 at least.
BY_HAND_GOAL = 1 / 0.6
SECOND_WORKER_GOAL = 1 / 1.4
LAST_TENTH_GOAL = 1.2

#: What a worker did: statements, and intents by the moment when they were done.
Done = tuple[int, list[tuple[float, int]]]


@dataclass(frozen=True)
class Size:
    """How many intents are measured, claimed at once, and done by each worker beforehand."""

    intents: int
    batch: int
    warm: int

    def filled(self, workers: int) -> int:
        return self.intents + workers * self.warm


@dataclass(frozen=True)
class Outcome:
    """One run: seconds in all, for the first and the last tenth, and the statements.

    ``again`` has the seconds and the statements of the second look, where there is one.
    """

    seconds: float
    first_tenth: float
    last_tenth: float
    statements: int
    again: tuple[float, int] | None


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    """Measure every way with one and two workers; see the package for the rows' keys."""
    intents = max(int(INTENTS * scale), 100)
    batch = min(BATCH, intents // 10)
    size = Size(intents, batch, min(100, batch))
    _configure(size.batch)
    with _databases():
        _fill_targets(size.filled(max(WORKERS)))
        outcomes: dict[tuple[str, int], list[Outcome]] = {}
        for _ in range(RUNS):
            for way in WAYS:
                for workers in WORKERS:
                    outcome = _measure(way, workers, size)
                    outcomes.setdefault((way, workers), []).append(outcome)
    return _rows(outcomes, size)


def _configure(batch: int) -> None:
    import django
    from django.conf import settings

    # Of its own for each checkout that is measured at the same time, as for the tests.
    suffix = os.environ.get("XDBREL_DB_SUFFIX", "")
    settings.configure(
        DATABASES={
            "default": measuring.postgresql(f"xdbrel_bench_e_targets{suffix}"),
            "sources": measuring.postgresql(f"xdbrel_bench_e_sources{suffix}"),
        },
        DATABASE_ROUTERS=["xdbrel.routers.HomeRouter"],
        INSTALLED_APPS=["xdbrel", "benchmarks.data_e"],
        XDBREL={
            "HOMES": {"data_e.Source": "sources"},
            # Four batches by hand, as ever: the relay's own default is four thousand.
            "RELAY_BATCH_SIZE": 4 * batch,
            "CLAIM_SECONDS": 3_600.0,
            "SECOND_LOOK_SECONDS": 3_600.0,
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


@contextmanager
def _databases() -> Iterator[None]:
    from django.core.management import call_command
    from django.db import connections

    with measuring.databases(*connections):
        for alias in connections:
            call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
        yield


def _server(alias: str) -> dict[str, Any]:
    """Return what psycopg connects by to the database of an alias."""
    from django.db import connections

    configured = connections[alias].settings_dict
    return {
        "host": configured["HOST"],
        "port": configured["PORT"],
        "user": configured["USER"],
        "password": configured["PASSWORD"],
        "dbname": configured["NAME"],
    }


def _fill_targets(count: int) -> None:
    """Write the living targets, with even keys, and the intents of the odd ones, to copy."""
    import uuid

    from django.db import connections

    from benchmarks.data_e.models import Source
    from xdbrel.models import CascadeIntent
    from xdbrel.relations import handle_of

    CascadeIntent.objects.bulk_create(
        [
            # As one delete of each target left it whose process died after the commit.
            CascadeIntent(
                relation=handle_of(Source._meta.get_field("target")),
                source_alias="sources",
                keys=[2 * number - 1],
                deletion=uuid.uuid4().hex,
                claimed_by=uuid.uuid4().hex,
            )
            for number in range(1, count + 1)
        ],
        batch_size=5_000,
    )
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO data_e_target (id, name) "
            f"SELECT 2 * i, 'target ' || i FROM generate_series(1, {count}) i"
        )
        cursor.execute("CREATE TABLE intents AS SELECT * FROM xdbrel_cascadeintent")
        cursor.execute("VACUUM ANALYZE data_e_target")


def _fill(way: str, count: int) -> None:
    """Write the backlog of one way afresh, and the sources."""
    from django.db import connections

    with connections["default"].cursor() as cursor:
        cursor.execute("TRUNCATE xdbrel_cascadeintent")
        cursor.execute("DROP TABLE IF EXISTS queue")
        if way == RELAY:
            cursor.execute(
                "INSERT INTO xdbrel_cascadeintent "
                f"SELECT * FROM intents WHERE id <= {count} ORDER BY id"
            )
            cursor.execute("VACUUM ANALYZE xdbrel_cascadeintent")
        else:
            cursor.execute(
                "CREATE TABLE queue AS SELECT i::bigint AS id, 2 * i::bigint - 1 AS target_id, "
                "'pending'::varchar(10) AS status, NULL::timestamptz AS done_at "
                f"FROM generate_series(1, {count}) i"
            )
            cursor.execute("ALTER TABLE queue ADD PRIMARY KEY (id)")
            if way == STATUS_INDEX:
                cursor.execute("CREATE INDEX ON queue (status, id)")
            elif way == PARTIAL_INDEX:
                cursor.execute("CREATE INDEX ON queue (id) WHERE status = 'pending'")
            cursor.execute("VACUUM ANALYZE queue")
    with connections["sources"].cursor() as cursor:
        cursor.execute("TRUNCATE data_e_source RESTART IDENTITY")
        cursor.execute(
            "INSERT INTO data_e_source (target_id, title) "
            f"SELECT 1 + (i - 1) / {SOURCES_PER_TARGET} * 2, 'source ' || i "
            f"FROM generate_series(1, {count * SOURCES_PER_TARGET}) i"
        )
        cursor.execute("VACUUM ANALYZE data_e_source")


def _measure(way: str, workers: int, size: Size) -> Outcome:
    """Have one backlog worked off by so many processes."""
    _fill(way, size.filled(workers))
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes = []
        for _ in range(workers):
            pipe, theirs = context.Pipe()
            process = context.Process(target=_work, args=(way, size, theirs))
            process.start()
            # An end of theirs that is open here as well would hide that a worker died.
            theirs.close()
            stack.callback(process.join)
            stack.callback(pipe.close)
            pipes.append(pipe)
        for pipe in pipes:
            pipe.recv()
        left = _left(way)
        if left != size.intents:
            raise RuntimeError(f"{way}: {left} intents are left to measure, not {size.intents}")
        begun = time.time()
        done = _have_done(pipes)
        seconds = time.time() - begun
        _require_done(way)
        events = sorted(event for _, parts in done for event in parts) or _applied(begun)
        again = None
        if way == RELAY and workers == 1:
            _make_second_looks_due()
            begun_again = time.time()
            ((statements, _),) = _have_done(pipes)
            again = (time.time() - begun_again, statements)
            _require_confirmed()
        for pipe in pipes:
            pipe.send(None)
    first, ninth, last = (_moment(events, size.intents * part / 10) for part in (1, 9, 10))
    return Outcome(seconds, first - begun, last - ninth, sum(part[0] for part in done), again)


def _have_done(pipes: list[Any]) -> list[Done]:
    for pipe in pipes:
        pipe.send("go")
    return [pipe.recv() for pipe in pipes]


def _moment(events: list[tuple[float, int]], count: float) -> float:
    """Return when the first ``count`` intents were done."""
    for moment, number in events:
        count -= number
        if count <= 0:
            return moment
    raise RuntimeError("not every intent has a moment when it was done")


def _left(way: str) -> int:
    from django.db import connections

    # By their keys: a relay may put several intents together.
    what = "sum(jsonb_array_length(keys)) FROM xdbrel_cascadeintent"
    if way != RELAY:
        what = "count(*) FROM queue"
    with connections["default"].cursor() as cursor:
        cursor.execute(f"SELECT {what} WHERE status = 'pending'")
        return int(cursor.fetchone()[0] or 0)


def _applied(begun: float) -> list[tuple[float, int]]:
    """Return how many intents the relay applied at which moments since the clock started."""
    from django.db import connections

    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM applied_at)::float8 AS moment, "
            "sum(jsonb_array_length(keys)) FROM xdbrel_cascadeintent GROUP BY 1 ORDER BY 1"
        )
        return [(moment, int(number)) for moment, number in cursor.fetchall() if moment >= begun]


def _make_second_looks_due() -> None:
    from django.db import connections

    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE xdbrel_cascadeintent SET available_at = now() WHERE status = 'applied'"
        )
        cursor.execute("VACUUM ANALYZE xdbrel_cascadeintent")


def _require_confirmed() -> None:
    from xdbrel.models import CascadeIntent

    left = CascadeIntent.objects.exclude(status="confirmed").count()
    if left:
        raise RuntimeError(
            f"{left} intents were not looked at again; the measurement means nothing"
        )


def _require_done(way: str) -> None:
    """Stop where a way did not do the work that it is timed for."""
    from benchmarks.data_e.models import Source

    left = {"intents": _left(way), "sources": Source.objects.count()}
    if any(left.values()):
        raise RuntimeError(f"{way}: left are {left}; the measurement means nothing")


def _work(way: str, size: Size, pipe: Any) -> None:
    """Be a worker: get ready and say so; when told to, work until nothing is left, and report."""
    _configure(size.batch)
    begin = _relaying if way == RELAY else _by_hand
    with begin(way, size) as work:
        work(size.warm)
        pipe.send("ready")
        while pipe.recv():
            pipe.send(work(None))


@contextmanager
def _relaying(way: str, size: Size) -> Iterator[Callable[[int | None], Done]]:
    from django.db import connections

    from xdbrel.cascade.relay import relay

    counted = [0]

    def count(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        counted[0] += 1
        return execute(sql, params, many, context)

    def work(limit: int | None) -> Done:
        counted[0] = 0
        result = relay(using="default", limit=limit)
        if not result.clean:
            raise RuntimeError(f"{way}: {result}")
        # When each intent was applied is written with it.
        return counted[0], []

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(count))
        yield work
    connections.close_all()


@contextmanager
def _by_hand(way: str, size: Size) -> Iterator[Callable[[int | None], Done]]:
    import psycopg

    condition = "" if way == DELETED else "WHERE status = 'pending' "
    claim = (
        f"SELECT id, target_id FROM queue {condition}ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
    )
    settle = "UPDATE queue SET status = 'done', done_at = now() WHERE id = ANY(%s)"
    if way == DELETED:
        settle = "DELETE FROM queue WHERE id = ANY(%s)"
    delete = "DELETE FROM data_e_source WHERE target_id = ANY(%s)"
    with (
        psycopg.connect(**_server("default")) as queue,
        psycopg.connect(**_server("sources")) as sources,
    ):

        def work(limit: int | None) -> Done:
            statements = 0
            events = []
            while True:
                # The rows stay locked until their sources are gone: a crash in between
                # leaves them to be done again.
                found = queue.execute(claim, [limit or size.batch]).fetchall()
                statements += 1
                if found:
                    sources.execute(delete, [[target for _, target in found]])
                    sources.commit()
                    queue.execute(settle, [[number for number, _ in found]])
                    statements += 2
                queue.commit()
                if not found:
                    return statements, events
                events.append((time.time(), len(found)))
                if limit:
                    return statements, events

        yield work


def _rows(outcomes: dict[tuple[str, int], list[Outcome]], size: Size) -> list[dict[str, Any]]:
    def median(way: str, workers: int, figure: str) -> float:
        return statistics.median(getattr(run, figure) for run in outcomes[way, workers])

    def name(way: str, workers: int) -> str:
        return f"{way}, {workers} worker{'s' if workers > 1 else ''}"

    def row(
        name: str,
        seconds: float,
        intents: int,
        statements: int | None = None,
        against: tuple[str, float, float | None] | None = None,
    ) -> dict[str, Any]:
        beside, theirs, goal = against or (None, None, None)
        return {
            "workload": "E",
            "name": name,
            "seconds": round(seconds, 4),
            "rows": intents,
            "statements": statements,
            "peak_mb": None,
            "ratio": round(seconds / theirs, 3) if theirs else None,
            "against": beside,
            "goal": round(goal, 3) if goal else None,
        }

    results = []
    for way in WAYS:
        for workers in WORKERS:
            seconds = median(way, workers, "seconds")
            against: list[tuple[str, float, float | None] | None] = []
            if way == RELAY:
                by_hand = median(PARTIAL_INDEX, workers, "seconds")
                against.append((name(PARTIAL_INDEX, workers), by_hand, BY_HAND_GOAL))
            if workers > 1:
                goal = SECOND_WORKER_GOAL if way == RELAY else None
                against.append((name(way, 1), median(way, 1, "seconds"), goal))
            for beside in against or [None]:
                statements = int(median(way, workers, "statements"))
                results.append(row(name(way, workers), seconds, size.intents, statements, beside))
    for way in (PARTIAL_INDEX, RELAY):
        tenth = size.intents // 10
        first = f"{name(way, 1)}: the first tenth"
        took = median(way, 1, "first_tenth")
        results.append(row(first, took, tenth))
        beside = (first, took, LAST_TENTH_GOAL if way == RELAY else None)
        last = f"{name(way, 1)}: the last tenth"
        results.append(row(last, median(way, 1, "last_tenth"), tenth, None, beside))
    again = [run.again for run in outcomes[RELAY, 1] if run.again]
    seconds, statements = (statistics.median(figures) for figures in zip(*again, strict=True))
    results.append(
        row(f"{name(RELAY, 1)}: the second look", seconds, size.intents, int(statements))
    )
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    for row in run(parser.parse_args().scale):
        print(row)
