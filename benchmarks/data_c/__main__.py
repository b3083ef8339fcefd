"""Prepares the data of workload C, or stands by to run one way whenever it is told.

``python -m benchmarks.data_c create <scale> <times>``, ``drop``, ``unreachable``, ``ways``;
``python -m benchmarks.data_c way <case> <way>`` prints one line of JSON when it is connected,
and one for each line that it reads: ``first`` runs the way once and describes its result,
``turn <times>`` answers with seconds; ``python -m benchmarks.data_c get`` measures what
xdbrel's hook costs a query that does not span; ``profile <case> [seconds]`` shows where
xdbrel's own way spends its time.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

#: How often one row is read with the hook and without it, in turn.
GETS = 8_000


def main(what: str, *arguments: str) -> Iterator[Any]:
    """Yield what is to be printed."""
    import django
    from django.db.models.sql import Query

    native = Query.get_compiler
    django.setup()
    if what == "way":
        yield from _way(native, *arguments)
    elif what == "get":
        yield _get(native)
    elif what == "profile":
        _profile(*arguments)
    else:
        yield _data(what, *arguments)


def _data(what: str, scale: str = "1", times: str = "1") -> Any:
    from benchmarks import measuring
    from benchmarks.data_c import databases, ways

    if what == "ways":
        return {name: list(case.ways) for name, case in ways.cases().items()}
    if what == "unreachable":
        return measuring.unreachable(*databases.ALIASES)
    if what == "create":
        databases.create(databases.Sizes.scaled(float(scale), int(times)))
    else:
        databases.drop()
    return None


def _way(native: Any, name: str, way: str) -> Iterator[Any]:
    from django.db import connections
    from django.db.models.sql import Query

    from benchmarks import measuring
    from benchmarks.data_c import ways

    if way != "ours":
        Query.get_compiler = native
    case = ways.cases()[name]
    call = case.ways[way]
    for connection in connections.all():
        connection.ensure_connection()
    yield "ready"
    for line in sys.stdin:
        command, _, times = line.strip().partition(" ")
        try:
            if command == "first":
                yield _first(call, case.compared, measuring)
            else:
                yield _timed(call, int(times))
        except Exception as error:
            yield {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def _first(call: Any, compared: Any, measuring: Any) -> dict[str, Any]:
    with measuring.counting() as counted:
        started = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - started
    peak = _peak()
    comparable = compared(result)
    return {
        "seconds": seconds,
        "rows": 1 if isinstance(comparable, int) else len(comparable),
        "statements": len(counted),
        "peak_mb": peak,
        "result": hashlib.sha256(repr(comparable).encode()).hexdigest(),
    }


def _timed(call: Any, times: int) -> list[float]:
    taken = []
    gc.collect()
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return taken


def _peak() -> float:
    """Return the most megabytes that this process has held; what the parent held is not in it."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not say how much memory was used")


def _get(native: Any) -> dict[str, list[float]]:
    """Read one row again and again, by turns as Django does it and through the hook."""
    from django.db.models.sql import Query

    from benchmarks.data_c.models import User

    ways = {"hook": Query.get_compiler, "django": native}
    if ways["hook"] is native:
        raise RuntimeError("the hook is not installed")
    taken: dict[str, list[float]] = {name: [] for name in ways}
    clock = time.perf_counter
    get = User.objects.get
    gc.collect()
    gc.disable()
    for turn in range(GETS + 500):
        # Who is first changes, and neither meets a key that the other has not met.
        for name in ("hook", "django") if turn % 2 else ("django", "hook"):
            Query.get_compiler = ways[name]
            started = clock()
            get(pk=1 + turn % 500)
            if turn >= 500:
                taken[name].append(clock() - started)
            else:
                clock()
    gc.enable()
    return taken


def _profile(name: str, limit: str = "120") -> None:
    """Print where xdbrel's own way of a case spends its time, warm; ``limit`` stops it."""
    import cProfile
    import pstats
    import signal

    from benchmarks.data_c import ways

    def stop(*_: Any) -> None:
        raise TimeoutError

    call = ways.cases()[name].ways["ours"]
    profile = cProfile.Profile()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(int(limit))
    try:
        call()
        profile.runcall(call)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    if profile.getstats():
        pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    for answer in main(*sys.argv[1:]):
        print(json.dumps(answer), flush=True)
