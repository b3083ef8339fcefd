"""Workload TRIGGERS: what capture by triggers adds to a delete in SQL, on PostgreSQL.

200,000 rows go by one statement; 2,000 go one by one, each in a transaction of its own and
all in one. Beside the same delete without triggers, and a row-level trigger by hand.

Rows that go one by one take turns: one of each way, then the next of each, so that what
else the machine does falls on all of them. Whatever is to outlive a crash costs a row in
the delete's own transaction, by hand as by xdbrel; what counts is whether a user can tell.
So the goal there is set on what the median gains, over the spread of the same delete
without triggers (from its 10th to its 90th percentile): above 1, it stands out of the noise.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import measuring

RUNS = 5
BARE, OURS = "without triggers", "xdbrel, one relation"

_BY_ROW = """
CREATE FUNCTION by_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO xdbrel_cascadeintent (relation, source_alias, keys, deletion, cause, status,
    attempts, available_at, claimed_by, last_error, created_at)
  VALUES ('by.hand', '', jsonb_build_array(OLD.id), '', 'trigger', 'pending', 0, now(), '', '',
    now());
  RETURN NULL;
END $$;
CREATE TRIGGER by_row AFTER DELETE ON data_triggers_byrow
FOR EACH ROW EXECUTE FUNCTION by_row();
"""


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    """Measure every way; see the package for the rows' keys."""
    _configure()
    with _databases():
        many, few = max(int(200_000 * scale), 1), max(int(2_000 * scale), 1)
        results = _measure(f"{many:,} rows by one statement", many, _at_once, 3.0)
        results += _measure_turns(f"{few:,} rows one by one", few)
        results += _measure(f"{few:,} rows one by one in a transaction", few, _in_one, None)
    return results


def _configure() -> None:
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": measuring.postgresql("xdbrel_bench_triggers"),
            # Only named: sources stay unwritten.
            "blog": measuring.postgresql("xdbrel_bench_triggers_blog"),
        },
        DATABASE_ROUTERS=["xdbrel.routers.HomeRouter"],
        INSTALLED_APPS=["xdbrel", "benchmarks.data_triggers"],
        XDBREL={"HOMES": {"data_triggers.Source": "blog"}, "CAPTURE": "triggers"},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()


@contextmanager
def _databases() -> Iterator[None]:
    from django.core.management import call_command

    with measuring.databases("default"):
        # The triggers are there when migrate is done.
        call_command("migrate", database="default", run_syncdb=True, verbosity=0)
        _execute(_BY_ROW)
        yield


def _execute(sql: str) -> None:
    from django.db import connections

    with connections["default"].cursor() as cursor:
        cursor.execute(sql)


def _fill(table: str, rows: int) -> None:
    """Write rows afresh, with keys from 1, and leave no intents."""
    from django.db import connections

    _execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    _execute(f"TRUNCATE {table}")
    _execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    _execute("TRUNCATE xdbrel_cascadeintent")
    with connections["default"].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (id, name) SELECT i, 'name ' || i "
            f"FROM generate_series(1, {rows}) i"
        )
    _execute(f"VACUUM ANALYZE {table}")
    _execute("CHECKPOINT")


def _at_once(table: str, rows: int) -> None:
    _execute(f"DELETE FROM {table}")


def _in_one(table: str, rows: int) -> None:
    from django.db import connections, transaction

    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        for key in range(1, rows + 1):
            cursor.execute(f"DELETE FROM {table} WHERE id = %s", [key])


def _ways(rows: int) -> dict[str, tuple[str, int]]:
    """Return name → table and keys that are captured when ``rows`` of it have gone."""
    return {
        BARE: ("data_triggers_bare", 0),
        "row-level trigger by hand": ("data_triggers_byrow", rows),
        OURS: ("data_triggers_watched", rows),
        "xdbrel, three relations": ("data_triggers_watchedthrice", 3 * rows),
    }


def _measure(
    title: str, rows: int, delete: Callable[[str, int], None], goal: float | None
) -> list[dict[str, Any]]:
    ways = _ways(rows)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, (table, captured) in ways.items():
            _fill(table, rows)
            begun = time.perf_counter()
            delete(table, rows)
            seconds[name].append(time.perf_counter() - begun)
            _require_captured(name, captured)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return _rows(title, rows, median, goal)


def _measure_turns(title: str, rows: int) -> list[dict[str, Any]]:
    from django.db import connections

    ways = _ways(rows)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for table, _ in ways.values():
        _fill(table, rows)
    with connections["default"].cursor() as cursor:
        for key in range(1, rows + 1):
            for name, (table, _) in ways.items():
                begun = time.perf_counter()
                cursor.execute(f"DELETE FROM {table} WHERE id = %s", [key])
                seconds[name].append(time.perf_counter() - begun)
    _require_captured("all", sum(captured for _, captured in ways.values()))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    tenths = statistics.quantiles(seconds[BARE], n=10)
    gained, spread = median[OURS] - median[BARE], tenths[-1] - tenths[0]
    return [
        # Of all the rows, as those of the other measures.
        *_rows(title, rows, {name: value * rows for name, value in median.items()}, None),
        {
            "workload": "TRIGGERS",
            "name": f"{title}: what {OURS} adds to each",
            "seconds": round(gained, 6),
            "rows": 1,
            "statements": None,
            "peak_mb": None,
            "ratio": round(gained / spread, 3),
            "against": f"{title}: spread of the one {BARE}",
            "goal": 1.0,
        },
    ]


def _rows(
    title: str, rows: int, seconds: dict[str, float], goal: float | None
) -> list[dict[str, Any]]:
    return [
        {
            "workload": "TRIGGERS",
            "name": f"{title}: {name}",
            "seconds": round(taken, 4),
            "rows": rows,
            "statements": None,
            "peak_mb": None,
            "ratio": round(taken / seconds[BARE], 3) if name != BARE else None,
            "against": f"{title}: {BARE}" if name != BARE else None,
            "goal": goal if name == OURS else None,
        }
        for name, taken in seconds.items()
    ]


def _require_captured(name: str, keys: int) -> None:
    """Stop where a way did not do the work that it is timed for."""
    from django.db import connections

    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(jsonb_array_length(keys)), 0) FROM xdbrel_cascadeintent"
        )
        (found,) = cursor.fetchone()
    if found != keys:
        raise RuntimeError(f"{name}: {found} keys of {keys} captured; the measure means nothing")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    for row in run(parser.parse_args().scale):
        print(row)
