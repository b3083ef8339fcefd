"""Creates, fills and drops the databases of workload B.

The rows are made by the databases themselves from a series of numbers, so that the two
homes and the one database hold exactly the same. Sizes and where each case finds its
rows are in ``Sizes``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connections

from benchmarks import measuring
from benchmarks.data_b import models, settings
from benchmarks.data_b.router import PLACES, Router


@dataclass(frozen=True)
class Sizes:
    """How many rows there are. Users and posts of a case follow each other's ids.

    Users 1 … ``bulk_users`` and posts 1 … ``bulk_posts`` are the bulk, each post with
    another author; then come those of the reverse case, then those of the nested one.
    """

    bulk_users: int
    bulk_posts: int
    forward_posts: int
    reverse_users: int
    reverse_posts: int
    nested_users: int
    nested_posts: int
    comments: int

    @classmethod
    def scaled(cls, scale: float) -> Sizes:
        full = (1_000_000, 100_000, 10_000, 1_000, 9_900, 500, 4_900, 10_000)
        return cls(*(max(1, round(size * scale)) for size in full))

    @property
    def nested_users_from(self) -> int:
        return self.bulk_users + self.reverse_users

    @property
    def nested_posts_from(self) -> int:
        return self.bulk_posts + self.reverse_posts


@contextmanager
def databases(engine: str, sizes: Sizes) -> Iterator[None]:
    """Create and fill the three databases of ``engine``; drop them at the end."""
    Router.engine = engine
    aliases = [f"{engine}_{place}" for place in settings.PLACES]
    settings.DIRECTORY.mkdir(exist_ok=True)
    try:
        with measuring.databases(*aliases):
            for alias in aliases:
                _fill(alias, sizes)
            yield
    finally:
        settings.DIRECTORY.rmdir()


def _fill(alias: str, sizes: Sizes) -> None:
    connection = connections[alias]
    place = alias.partition("_")[2]
    for model in (models.User, models.Post, models.Comment):
        if place not in ("one", PLACES[model._meta.model_name]):
            continue
        with connection.schema_editor() as editor:
            editor.create_model(model)
        with connection.cursor() as cursor:
            for statement in _statements(model, connection.vendor, sizes):
                cursor.execute(statement)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")


def _statements(model: type, vendor: str, sizes: Sizes) -> Iterator[str]:
    if vendor == "sqlite":
        when = "datetime('2024-01-01', '+' || i || ' seconds')"
    else:
        when = "timestamptz '2024-01-01' + i * interval '1 second'"
    if model is models.User:
        yield _insert(
            vendor,
            "data_b_user (id, username, email, created_at)",
            f"i, 'user' || i, 'user' || i || '@example.com', {when}",
            0,
            sizes.nested_users_from + sizes.nested_users,
        )
    elif model is models.Post:
        # 7919 and 31 are prime: neighbouring posts have authors far apart.
        for first, count, author in (
            (0, sizes.bulk_posts, f"(i * 7919) % {sizes.bulk_users} + 1"),
            (
                sizes.bulk_posts,
                sizes.reverse_posts,
                f"(i * 31) % {sizes.reverse_users} + {sizes.bulk_users + 1}",
            ),
            (
                sizes.nested_posts_from,
                sizes.nested_posts,
                f"(i * 31) % {sizes.nested_users} + {sizes.nested_users_from + 1}",
            ),
        ):
            yield _insert(
                vendor,
                "data_b_post (id, author_id, title, created_at)",
                f"i, {author}, 'Title of post ' || i, {when}",
                first,
                first + count,
            )
    else:
        yield _insert(
            vendor,
            "data_b_comment (id, post_id, content, created_at)",
            f"i, (i * 31) % {sizes.nested_posts} + {sizes.nested_posts_from + 1}, "
            f"'Comment number ' || i, {when}",
            0,
            sizes.comments,
        )


def _insert(vendor: str, into: str, values: str, after: int, last: int) -> str:
    if vendor == "sqlite":
        return (
            f"WITH RECURSIVE series (i) AS (SELECT {after + 1} UNION ALL "
            f"SELECT i + 1 FROM series WHERE i < {last}) "
            f"INSERT INTO {into} SELECT {values} FROM series"
        )
    return (
        f"INSERT INTO {into} SELECT {values} "
        f"FROM generate_series({after + 1}::bigint, {last}) AS series (i)"
    )
