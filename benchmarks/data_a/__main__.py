"""Runs one way of workload A, or creates or drops its data, and prints what it took as JSON.

``python -m benchmarks.data_a '["name", users, posts, gone, uuid]' <scale> <what>``
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any


def main(described: str, scale: str, what: str) -> dict[str, Any]:
    import django

    django.setup()
    from django.db import connections

    from benchmarks import measuring
    from benchmarks.data_a import databases, ways

    data = databases.Data(*json.loads(described)).scaled(float(scale))
    ways.uuid_keys = data.uuid
    if what == "ping":
        return {"unreachable": measuring.unreachable(*databases.ALIASES)}
    if what == "create":
        databases.create(data)
        return {}
    if what == "drop":
        databases.drop()
        return {}
    for connection in connections.all():
        connection.ensure_connection()
    with measuring.counting() as counted:
        started = time.perf_counter()
        rows = ways.WAYS[what]()
        seconds = time.perf_counter() - started
    # Linux counts in kilobytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "rows": rows, "statements": len(counted), "peak_mb": peak}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
