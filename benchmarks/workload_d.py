"""Workload D: users are deleted, their posts and the posts' comments follow.

1,000 users with 31,000 rows in all, then 10,000 with 310,000, on PostgreSQL, the users in
one database and the rest in another, beside one database with Django's own CASCADE, the
``pre_delete`` receiver of the usual recipe, and bare SQL.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import measuring

POSTS_PER_USER = 10
COMMENTS_PER_POST = 2
RUNS = 3


def run(scale: float = 1.0) -> list[dict[str, Any]]:
    """Measure every way at two sizes; see the package for the rows' keys."""
    _configure()
    results = []
    with _databases():
        for users in (int(1_000 * scale), int(10_000 * scale)):
            results += _measure(max(users, 1))
    return results


def _configure() -> None:
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": measuring.postgresql("xdbrel_bench_d_users"),
            "blog": measuring.postgresql("xdbrel_bench_d_blog"),
        },
        DATABASE_ROUTERS=[
            "benchmarks.data_d.router.RecipeRouter",
            "xdbrel.routers.HomeRouter",
        ],
        INSTALLED_APPS=["xdbrel", "benchmarks.data_d"],
        XDBREL={
            "HOMES": {
                f"data_d.{model}": "blog"
                for model in ("TwoPost", "TwoComment", "RecipePost", "RecipeComment")
            }
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


def _fill(kind: str, users: int) -> None:
    """Write users, posts and comments of one kind afresh, with keys from 1."""
    from django.db import connections, router

    from benchmarks.data_d import models

    user, post, comment = (
        getattr(models, f"{kind}{name}") for name in ("User", "Post", "Comment")
    )
    posts = users * POSTS_PER_USER
    for model in (comment, post, user):
        alias = router.db_for_write(model)
        with connections[alias].cursor() as cursor:
            cursor.execute(f'TRUNCATE "{model._meta.db_table}" RESTART IDENTITY CASCADE')
    statements = [
        (user, f"(username) SELECT 'user ' || i FROM generate_series(1, {users}) i"),
        (
            post,
            f"(author_id, title) SELECT 1 + (i - 1) / {POSTS_PER_USER}, 'post ' || i "
            f"FROM generate_series(1, {posts}) i",
        ),
        (
            comment,
            f"(post_id, content) SELECT 1 + (i - 1) / {COMMENTS_PER_POST}, 'comment ' || i "
            f"FROM generate_series(1, {posts * COMMENTS_PER_POST}) i",
        ),
    ]
    for model, select in statements:
        with connections[router.db_for_write(model)].cursor() as cursor:
            cursor.execute(f'INSERT INTO "{model._meta.db_table}" {select}')
            cursor.execute(f'VACUUM ANALYZE "{model._meta.db_table}"')


def _listen(**kwargs: Any) -> None:
    """A receiver that asks nothing of the instance."""


@contextmanager
def _listening(*senders: Any) -> Iterator[None]:
    from django.db.models.signals import post_delete

    for sender in senders:
        post_delete.connect(_listen, sender=sender)
    try:
        yield
    finally:
        for sender in senders:
            post_delete.disconnect(_listen, sender=sender)


def _ways() -> dict[str, tuple[str, Callable[[], Any]]]:
    """Return name → (kind of rows, function that deletes all users of that kind)."""
    from django.db import connections, transaction
    from django.db.models.signals import pre_delete

    from benchmarks.data_d import models

    def one() -> None:
        models.OneUser.objects.all().delete()

    def one_heard() -> None:
        with _listening(models.OnePost, models.OneComment):
            models.OneUser.objects.all().delete()

    def two() -> None:
        models.TwoUser.objects.all().delete()

    def two_heard() -> None:
        with _listening(models.TwoPost, models.TwoComment):
            models.TwoUser.objects.all().delete()

    def recipe() -> None:
        def follow(instance: Any, **kwargs: Any) -> None:
            instance.posts.all().delete()

        pre_delete.connect(follow, sender=models.RecipeUser)
        try:
            models.RecipeUser.objects.all().delete()
        finally:
            pre_delete.disconnect(follow, sender=models.RecipeUser)

    def bare() -> None:
        with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
            cursor.execute("DELETE FROM data_d_twouser RETURNING id")
            ids = [row[0] for row in cursor.fetchall()]
        with transaction.atomic(using="blog"), connections["blog"].cursor() as cursor:
            cursor.execute(
                "DELETE FROM data_d_twocomment c USING data_d_twopost p "
                "WHERE c.post_id = p.id AND p.author_id = ANY(%s)",
                [ids],
            )
            cursor.execute("DELETE FROM data_d_twopost WHERE author_id = ANY(%s)", [ids])

    return {
        "one database, CASCADE": ("One", one),
        "one database, CASCADE, with a receiver": ("One", one_heard),
        "pre_delete receiver per instance": ("Recipe", recipe),
        "bare SQL": ("Two", bare),
        "xdbrel": ("Two", two),
        "xdbrel, with a receiver": ("Two", two_heard),
    }


def _measure(users: int) -> list[dict[str, Any]]:
    ways = _ways()
    rows = users * (1 + POSTS_PER_USER * (1 + COMMENTS_PER_POST))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    statements: dict[str, int] = {}
    for turn in range(RUNS):
        for name, (kind, delete) in ways.items():
            _fill(kind, users)
            with measuring.counting() as counted:
                begun = time.perf_counter()
                delete()
                seconds[name].append(time.perf_counter() - begun)
            statements[name] = len(counted)
            if turn == 0:
                _require_empty(kind)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    goals = {
        "xdbrel": [("one database, CASCADE", 0.5), ("pre_delete receiver per instance", 1 / 12)],
        "xdbrel, with a receiver": [("one database, CASCADE, with a receiver", 1.1)],
    }
    results = []
    for name in ways:
        for against, goal in goals.get(name, [(None, None)]):
            results.append(
                {
                    "workload": "D",
                    "name": f"{users:,} users: {name}",
                    "seconds": round(median[name], 4),
                    "rows": rows,
                    "statements": statements[name],
                    "peak_mb": None,
                    "ratio": round(median[name] / median[against], 3) if against else None,
                    "against": f"{users:,} users: {against}" if against else None,
                    "goal": round(goal, 3) if goal else None,
                }
            )
    return results


def _require_empty(kind: str) -> None:
    """Stop where a way did not do the work that it is timed for."""
    from benchmarks.data_d import models

    for name in ("User", "Post", "Comment"):
        left = getattr(models, f"{kind}{name}").objects.count()
        if left:
            raise RuntimeError(f"{kind}{name}: {left} rows left; the measurement means nothing")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    for row in run(parser.parse_args().scale):
        print(row)
