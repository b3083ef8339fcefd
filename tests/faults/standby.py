"""What scans, second looks and spanning queries do beside a standby that lags behind.

``python -m tests.faults.standby`` with the ports in XDBREL_PRIMARY_PORT and
XDBREL_STANDBY_PORT; prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

USERS, POSTS = 1_000, 2_000
SECONDS = 20.0


def main() -> dict[str, Any]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.faults.standby_settings"
    import django

    django.setup()
    from django.core.management import call_command

    from benchmarks import measuring
    from benchmarks.data_a import databases

    data = databases.Data("few gaps", USERS, POSTS)
    for alias, fill in (("default", databases._postgresql), ("posts", databases._sqlite)):
        measuring.recreate(alias)
        fill(alias, data, with_posts=alias == "posts")
    call_command("migrate", "xdbrel", database="posts", verbosity=0)
    caught_up()
    ask("standby", "SELECT pg_wal_replay_pause()")
    change()
    saw = {"scan": scanned(), "throttle": throttled()}
    ask("standby", "SELECT pg_wal_replay_pause()")
    change()
    saw["confirm"] = confirmed()
    saw["query"] = queried()
    return saw


def change() -> None:
    """Delete five users that have posts, add five with posts; the standby hears and waits."""
    from benchmarks.data_a.models import Post, User

    users = User.objects.using("default")
    held = Post.objects.filter(author_id__lte=USERS).order_by("author_id")
    listed = list(dict.fromkeys(held.values_list("author_id", flat=True)))
    there = list(users.filter(pk__in=listed[:100]).order_by("pk").values_list("pk", flat=True))
    users.filter(pk__in=there[:5])._raw_delete("default")
    top = users.order_by("-pk").values_list("pk", flat=True).first() or 0
    first = Post.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    for number in range(1, 6):
        ask(
            "default",
            "INSERT INTO users VALUES (%s, 'new', 'new', now())",
            [top + number],
        )
        ask(
            "posts",
            "INSERT INTO posts VALUES (%s, %s, 'new', '2024-01-01')",
            [first + number, top + number],
        )
    until("SELECT pg_last_wal_receive_lsn() >= %s::pg_lsn", [str(written())])


def scanned() -> dict[str, Any]:
    """Scan while the standby lags: nothing but its lag is asked of it."""
    from django.db import connections

    from benchmarks.data_a.ways import relation
    from xdbrel.integrity.scan import scan
    from xdbrel.integrity.scanning import lag
    from xdbrel.models import Orphan

    asked: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append(sql)
        return execute(sql, params, many, context)

    with connections["standby"].execute_wrapper(note):
        result = scan(relation())
    findings = Orphan.objects.using("posts").filter(run_id=result.run_id)
    found = set(findings.values_list("key", flat=True))
    return {
        "right": found == missing("default") != missing("standby"),
        "only its lag": set(asked) <= {lag._POSTGRESQL},
        "lag": lag.behind("standby"),
    }


def throttled() -> dict[str, Any]:
    """A scan that may not let the standby lag waits until it has caught up."""
    from django.conf import settings

    from benchmarks.data_a.ways import relation
    from xdbrel.integrity.scan import scan
    from xdbrel.integrity.scanning import throttle

    throttle.SLICE = 0.1
    settings.XDBREL = {**settings.XDBREL, "SCAN_MAX_LAG_SECONDS": 0.0}
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            ask("standby", "SELECT pg_wal_replay_resume()")
        time.sleep(seconds)

    throttle._sleep = sleep
    result = scan(relation(), fresh=True)
    return {"waited": len(slept) >= 3, "complete": result.status == "complete"}


def confirmed() -> dict[str, Any]:
    """With the standby for a home, its findings stay unconfirmed until it has caught up."""
    from django.conf import settings

    from benchmarks.data_a.ways import relation
    from xdbrel.integrity.confirm import confirm
    from xdbrel.integrity.scan import scan
    from xdbrel.models import ScanRun

    homes = {"data_a.Post": "posts", "data_a.User": "standby"}
    settings.XDBREL = {**settings.XDBREL, "HOMES": homes, "REPLICAS": {}}
    before = len(missing("standby"))
    run = ScanRun.objects.using("posts").get(pk=scan(relation()).run_id)
    first = confirm(run)
    ask("standby", "SELECT pg_wal_replay_resume()")
    caught_up()
    second = confirm(run)
    return {
        "found": run.target_alias == "standby" and run.orphans > 0 and before > 0,
        "waits for": first.waits_for,
        "confirmed": [first.confirmed, second.confirmed],
        "healed": second.healed,
    }


def queried() -> dict[str, Any]:
    """A spanning query on the standby, which makes no temporary table."""
    from benchmarks.data_a.models import Post, User
    from xdbrel.query import shipment

    shipment.ARRAY_ROWS = 10
    held = set(
        Post.objects.filter(title__startswith="title 1").values_list("author_id", flat=True)
    )
    found = User.objects.using("standby").filter(posts__title__startswith="title 1").distinct()
    expected = held & set(User.objects.using("default").values_list("pk", flat=True))
    return {"right": {user.pk for user in found} == expected, "rows": len(expected)}


def missing(alias: str) -> set[int]:
    """Return the keys of posts without a user at ``alias``, by a plain difference."""
    from benchmarks.data_a.models import Post, User

    there = set(User.objects.using(alias).values_list("pk", flat=True))
    return set(Post.objects.using("posts").values_list("author_id", flat=True)) - there


def written() -> Any:
    return ask("default", "SELECT pg_current_wal_lsn()::text")


def caught_up() -> None:
    until("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [str(written())])


def until(sql: str, params: list[Any]) -> None:
    """Wait until the standby says yes."""
    end = time.monotonic() + SECONDS
    while not ask("standby", sql, params):
        assert time.monotonic() < end, sql
        time.sleep(0.02)


def ask(alias: str, sql: str, params: list[Any] | None = None) -> Any:
    from django.db import connections

    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0] if cursor.description else None


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
