"""Workload F: what django-cachalot over Redis saves, and what it costs.

By key: 1,000 users, from PostgreSQL and from Redis, as bare values and as instances.
Prefetch: 10,000 posts with their authors, without a cache, on a hit, and read right after a
write, when everything is read again and kept again. Spanning: 50 posts by a condition on
their authors, likewise. Near and far: the same prefetch, and the same spanning query, where
each statement takes ``FAR_SECONDS`` more, as in another data centre.

Ways take turns; the median counts. There are no goals: a cache is for databases that are
slow or distant, and the ratios say from where on it pays.
"""

from __future__ import annotations

import argparse
import gc
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import measuring

ROUNDS = 9
FAR_SECONDS = 0.02
USERS, POSTS, KEYS = 20_000, 10_000, 1_000


@dataclass(frozen=True)
class Way:
    """``call()`` returns how many rows it read; ``before()`` is not timed."""

    name: str
    call: Callable[[], int]
    before: Callable[[], object] = lambda: None


def run(scale: float) -> list[dict[str, Any]]:
    """Create the databases, measure every way, drop the databases; return the rows."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.data_f.settings")
    import django

    django.setup()
    from django.conf import settings
    from redis import Redis, RedisError

    reason = measuring.unreachable("default")
    client = Redis.from_url(settings.REDIS_URL)
    try:
        client.ping()
    except RedisError as error:
        reason = reason or f"Redis: {error}"
    if reason:
        print(f"F is left out: {reason}", file=sys.stderr)
        client.close()
        return []
    rows: list[dict[str, Any]] = []
    try:
        with measuring.databases("default", "posts"):
            _fill(scale)
            for title, ways in _cases(client, settings.PREFIX, scale):
                rows += _measure(title, ways)
    finally:
        for key in client.scan_iter(f"{settings.PREFIX}*"):
            client.delete(key)
        client.close()
    return rows


def _fill(scale: float) -> None:
    from django.db import connections

    from benchmarks.data_f.models import Post, User

    users, posts = round(USERS * scale), round(POSTS * scale)
    when = "timestamptz '2024-01-01' + i * interval '1 second'"
    for alias, model, statement in (
        (
            "default",
            User,
            f"SELECT i, 'user' || i, 'user' || i || '@example.com', {when}"
            f" FROM generate_series(1, {users}) AS i",
        ),
        (
            "posts",
            Post,
            f"SELECT i, 'Title of post ' || i, {when}, (i * 7919) % {users} + 1"
            f" FROM generate_series(1, {posts}) AS i",
        ),
    ):
        columns = {
            User: "id, username, email, created_at",
            Post: "id, title, created_at, author_id",
        }[model]
        with connections[alias].schema_editor() as editor:
            editor.create_model(model)
        with connections[alias].cursor() as cursor:
            cursor.execute(f"INSERT INTO {model._meta.db_table} ({columns}) {statement}")
            cursor.execute("VACUUM ANALYZE")


def _cases(client: Any, prefix: str, scale: float) -> Iterator[tuple[str, list[Way]]]:
    from django.db import connections
    from django.db.models import F

    from benchmarks.data_f.models import Post, User
    from xdbrel import prefetch_cross_db
    from xdbrel.caching import uncached

    keys = list(range(1, round(KEYS * scale) + 1))
    names = [f"{prefix}:user:{key}" for key in keys]
    bare = [f"{prefix}:bare:{key}" for key in keys]
    for user, name, key in zip(User.objects.in_bulk(keys).values(), names, bare, strict=True):
        client.set(name, pickle.dumps(user))
        client.set(key, user.username)

    def tuples() -> int:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT * FROM data_f_user WHERE id = ANY(%s)", [keys])
            return len(cursor.fetchall())

    def by_key() -> int:
        return len(User.objects.in_bulk(keys))

    def without(call: Callable[[], int]) -> Callable[[], int]:
        def work() -> int:
            with uncached():
                return call()

        return work

    def write() -> object:
        return User.objects.filter(pk=1).update(email=F("email"))

    yield (
        "1,000 targets by key",
        [
            Way("PostgreSQL, instances", without(by_key)),
            Way("PostgreSQL, tuples", tuples),
            Way("django-cachalot, hit", by_key, by_key),
            Way("Redis MGET, bytes", lambda: len(client.mget(bare))),
            Way(
                "Redis MGET, pickled instances",
                lambda: len([pickle.loads(one) for one in client.mget(names)]),
            ),
        ],
    )

    def prefetch() -> int:
        return sum(1 for post in prefetch_cross_db(Post.objects.all(), "author") if post.author)

    ways = [
        Way("no cache", without(prefetch)),
        Way("django-cachalot, hit", prefetch, prefetch),
        Way("django-cachalot, write then read", prefetch, write),
    ]
    yield "prefetch of 10,000", ways
    far = [Way(way.name, _from_afar(way.call), way.before) for way in ways]
    yield f"prefetch of 10,000, {FAR_SECONDS * 1000:.0f} ms away", far

    def one() -> int:
        return len([Post.objects.get(pk=key).author.username for key in keys[:20]])

    singles = [Way("no cache", without(one)), Way("django-cachalot, hit", one, one)]
    yield "20 posts and authors one by one", singles
    yield (
        f"20 posts and authors one by one, {FAR_SECONDS * 1000:.0f} ms away",
        [Way(way.name, _from_afar(way.call), way.before) for way in singles],
    )

    def spanning() -> int:
        posts = Post.objects.filter(author__username__startswith="user1").order_by("created_at")
        return len(posts[:50])

    ways = [
        Way("no cache", without(spanning)),
        Way("django-cachalot, hit", spanning, spanning),
        Way("django-cachalot, write then read", spanning, write),
    ]
    yield "spanning query, first 50", ways
    far = [Way(way.name, _from_afar(way.call), way.before) for way in ways]
    yield f"spanning query, first 50, {FAR_SECONDS * 1000:.0f} ms away", far


def _from_afar(call: Callable[[], int]) -> Callable[[], int]:
    def work() -> int:
        with _distance():
            return call()

    return work


@contextmanager
def _distance() -> Iterator[None]:
    """Let every statement take as much longer as its way there and back."""
    from django.db import connections

    def slowly(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        time.sleep(FAR_SECONDS)
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for alias in connections:
            stack.enter_context(connections[alias].execute_wrapper(slowly))
        yield


def _measure(title: str, ways: list[Way]) -> list[dict[str, Any]]:
    found = {}
    for way in ways:
        way.before()
        found[way.name] = way.call()
    if len(set(found.values())) != 1:
        raise RuntimeError(f"{title}: the ways do not find the same: {found}")
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(ROUNDS):
        for way in ways:
            way.before()
            gc.collect()
            started = time.perf_counter()
            way.call()
            seconds[way.name].append(time.perf_counter() - started)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    rows = []
    for way in ways:
        row = measuring.row("F", f"{title}: {way.name}", rows=found[way.name])
        row["seconds"] = round(medians[way.name], 5)
        way.before()
        with measuring.counting() as counted:
            way.call()
        row["statements"] = len(counted)
        if way is not ways[0]:
            row["ratio"] = round(medians[way.name] / medians[ways[0].name], 3)
            row["against"] = f"{title}: {ways[0].name}"
        rows.append(row)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is the full size")
    from benchmarks.__main__ import table

    print(table(run(parser.parse_args().scale)))
