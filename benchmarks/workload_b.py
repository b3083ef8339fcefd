"""Workload B: prefetching, forward, reverse and nested, beside what people do instead.

Forward: 10,000 posts with their authors. Reverse: 1,000 users with 9,900 posts. Nested:
500 users, 4,900 posts, 10,000 comments, where every step changes the database. Each
way reads the related objects as a page would, and must find as many as the others.
Runs take turns; the median counts. Peak memory is what Python allocated in a further
run, which is not timed. SQLite is measured for information: the goals are PostgreSQL's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import measuring

#: How often each way is measured, and how often one that asks row by row is.
ROUNDS, SLOW_ROUNDS = 9, 3

LABELS = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


@dataclass(frozen=True)
class Way:
    """One way to do a case: ``call()`` returns how many related objects it read."""

    name: str
    call: Callable[[], int]
    slow: bool = False


@dataclass(frozen=True)
class Case:
    """What is read, the ways to do it, and the most that ours may take of ``against``."""

    name: str
    rows: int
    ways: tuple[Way, ...]
    against: str
    goal: float


OURS = "prefetch_cross_db"
PREFETCH_RELATED = "Django's prefetch_related, proper router"
SELECT_RELATED = "one database, select_related"
N_PLUS_1 = "N+1"
DICTIONARY = "hand-made dictionary"
RAW = "raw SQL, tuples"


def run(scale: float) -> list[dict[str, Any]]:
    """Create the databases, measure every way, drop the databases; return the rows."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.data_b.settings")
    import django

    django.setup()
    from benchmarks.data_b import databases, settings

    sizes = databases.Sizes.scaled(scale)
    rows = []
    for engine in settings.ENGINES:
        reason = measuring.unreachable(f"{engine}_users")
        if reason:
            print(f"B: {LABELS[engine]} is left out: {reason}", file=sys.stderr)
            continue
        with databases.databases(engine, sizes):
            for case in _cases(engine, sizes):
                rows += _measure(engine, case)
    return rows


def _cases(engine: str, sizes: Any) -> list[Case]:
    from benchmarks.data_b.models import PlainPost, Post, User
    from xdbrel import prefetch_cross_db

    def between(model: Any, after: int, count: int) -> Any:
        return model._default_manager.filter(id__gt=after, id__lte=after + count)

    def posts(model: Any = Post) -> Any:
        return between(model, 0, sizes.forward_posts)

    def reverse_users() -> Any:
        return between(User, sizes.bulk_users, sizes.reverse_users)

    def nested_users() -> Any:
        return between(User, sizes.nested_users_from, sizes.nested_users)

    def authors_of(found: Any) -> int:
        return sum(1 for post in found if post.author.username)

    def posts_of(found: Any, accessor: str) -> int:
        return sum(1 for user in found for post in getattr(user, accessor).all() if post.title)

    def comments_of(found: Any, accessor: str) -> int:
        return sum(
            1
            for user in found
            for post in getattr(user, accessor).all()
            for comment in post.comments.all()
            if comment.content
        )

    def forward_dictionary() -> int:
        found = list(posts(PlainPost))
        authors = User.objects.in_bulk({post.author_id for post in found})
        return sum(1 for post in found if authors[post.author_id].username)

    def reverse_dictionary() -> int:
        found = list(reverse_users())
        by_author: dict[int, list[PlainPost]] = {}
        for post in PlainPost.objects.filter(author_id__in=[user.id for user in found]):
            by_author.setdefault(post.author_id, []).append(post)
        return sum(1 for user in found for post in by_author.get(user.id, ()) if post.title)

    raw = _Raw(engine)
    user, post, comment = "data_b_user", "data_b_post", "data_b_comment"

    def forward_raw() -> int:
        found = raw.between("posts", post, 0, sizes.forward_posts)
        authors = {row[0]: row for row in raw.among("users", user, "id", {r[1] for r in found})}
        return sum(1 for row in found if authors[row[1]][1])

    def reverse_raw() -> int:
        found = raw.between("users", user, sizes.bulk_users, sizes.reverse_users)
        related = raw.among("posts", post, "author_id", [row[0] for row in found])
        by_author = _by_second(related)
        return sum(1 for row in found for one in by_author.get(row[0], ()) if one[2])

    def nested_raw() -> int:
        found = raw.between("users", user, sizes.nested_users_from, sizes.nested_users)
        middle = raw.among("posts", post, "author_id", [row[0] for row in found])
        inner = raw.among("users", comment, "post_id", [row[0] for row in middle])
        by_author, by_post = _by_second(middle), _by_second(inner)
        return sum(
            1
            for row in found
            for one in by_author.get(row[0], ())
            for last in by_post.get(one[0], ())
            if last[2]
        )

    one = f"{engine}_one"
    return [
        Case(
            "forward",
            2 * sizes.forward_posts,
            (
                Way(OURS, lambda: authors_of(prefetch_cross_db(posts(), "author"))),
                Way(
                    SELECT_RELATED,
                    lambda: authors_of(posts(PlainPost).using(one).select_related("author")),
                ),
                Way(
                    PREFETCH_RELATED,
                    lambda: authors_of(posts(PlainPost).prefetch_related("author")),
                ),
                Way(DICTIONARY, forward_dictionary),
                Way(RAW, forward_raw),
                Way(N_PLUS_1, lambda: authors_of(posts(PlainPost)), slow=True),
            ),
            SELECT_RELATED,
            1.0,
        ),
        Case(
            "reverse",
            sizes.reverse_users + sizes.reverse_posts,
            (
                Way(OURS, lambda: posts_of(prefetch_cross_db(reverse_users(), "posts"), "posts")),
                Way(
                    PREFETCH_RELATED,
                    lambda: posts_of(
                        reverse_users().prefetch_related("plain_posts"), "plain_posts"
                    ),
                ),
                Way(DICTIONARY, reverse_dictionary),
                Way(RAW, reverse_raw),
                Way(N_PLUS_1, lambda: posts_of(reverse_users(), "plain_posts"), slow=True),
            ),
            PREFETCH_RELATED,
            0.7,
        ),
        Case(
            "nested",
            sizes.nested_users + sizes.nested_posts + sizes.comments,
            (
                Way(
                    OURS,
                    lambda: comments_of(
                        prefetch_cross_db(nested_users(), "posts__comments"), "posts"
                    ),
                ),
                Way(
                    PREFETCH_RELATED,
                    lambda: comments_of(
                        nested_users().prefetch_related("plain_posts__comments"), "plain_posts"
                    ),
                ),
                Way(RAW, nested_raw),
                Way(N_PLUS_1, lambda: comments_of(nested_users(), "plain_posts"), slow=True),
            ),
            PREFETCH_RELATED,
            0.7,
        ),
    ]


class _Raw:
    """The statements of somebody who needs no objects."""

    def __init__(self, engine: str) -> None:
        self.engine = engine

    def between(self, place: str, table: str, after: int, count: int) -> list[tuple[Any, ...]]:
        return self._fetch(
            place,
            f"SELECT * FROM {table} WHERE id > %s AND id <= %s",
            [after, after + count],
        )

    def among(self, place: str, table: str, column: str, keys: Any) -> list[tuple[Any, ...]]:
        if self.engine == "sqlite":
            condition, parameter = "IN (SELECT value FROM json_each(%s))", json.dumps(list(keys))
        else:
            condition, parameter = "= ANY(%s)", list(keys)
        return self._fetch(place, f"SELECT * FROM {table} WHERE {column} {condition}", [parameter])

    def _fetch(self, place: str, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        from django.db import connections

        with connections[f"{self.engine}_{place}"].cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall()


def _by_second(rows: list[tuple[Any, ...]]) -> dict[Any, list[tuple[Any, ...]]]:
    found: dict[Any, list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(row[1], []).append(row)
    return found


def _measure(engine: str, case: Case) -> list[dict[str, Any]]:
    from django.db import DatabaseError

    found, failed = {}, {}
    for way in case.ways:
        try:
            found[way.name] = way.call()
        except DatabaseError as error:
            # Django 5.2 gives SQLite more than it takes.
            failed[way.name] = str(error)
    if len(set(found.values())) != 1:
        raise RuntimeError(f"{case.name}: the ways do not find the same: {found}")
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(ROUNDS):
        for way in case.ways:
            if way.name in failed or (way.slow and turn >= SLOW_ROUNDS):
                continue
            gc.collect()
            started = time.perf_counter()
            way.call()
            seconds[way.name].append(time.perf_counter() - started)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    return [_row(engine, case, way, medians, failed.get(way.name)) for way in case.ways]


def _row(
    engine: str, case: Case, way: Way, medians: dict[str, float], failure: str | None
) -> dict[str, Any]:
    title = f"{LABELS[engine]}, {case.name}"
    row = measuring.row("B", f"{title}: {way.name}", rows=case.rows)
    if failure is not None:
        row["name"] += f" (fails: {failure})"
        return row
    row["seconds"] = round(medians[way.name], 4)
    row["statements"], peak = _cost(way)
    row["peak_mb"] = round(peak, 1)
    if way.name == OURS and case.against in medians:
        row["ratio"] = round(medians[way.name] / medians[case.against], 3)
        row["against"] = f"{title}: {case.against}"
        row["goal"] = case.goal if engine == "postgresql" else None
    return row


def _cost(way: Way) -> tuple[int, float]:
    """Return how many statements the way executes, and the most megabytes it allocates."""
    with measuring.counting() as counted:
        gc.collect()
        tracemalloc.start()
        way.call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return len(counted), peak / 2**20


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is the full size")
    from benchmarks.__main__ import table

    print(table(run(parser.parse_args().scale)))
