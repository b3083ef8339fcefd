"""The ways to find orphans that workload A compares: each returns how many keys are orphaned.

Every way is a function without arguments; the data sets' models are told apart by
``relation()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections, models

from benchmarks.data_a.models import Post, UuidPost
from xdbrel import relations
from xdbrel.integrity.scan import scan

#: What the chunked walks check at once.
CHUNK = 50_000

uuid_keys = False


def relation() -> relations.Relation:
    return relations.get(f"data_a.{'UuidPost' if uuid_keys else 'Post'}.author")


def _models() -> tuple[type[models.Model], type[models.Model]]:
    post = UuidPost if uuid_keys else Post
    return post, post._meta.get_field("author").related_model


def ours() -> int:
    """The public scan, by the strategy that the planner picks; findings are written."""
    return scan(relation()).distinct_keys


def ours_gaps() -> int:
    return scan(relation(), strategy="gaps").distinct_keys


def ours_merge() -> int:
    return scan(relation(), strategy="merge").distinct_keys


def ours_bitmap() -> int:
    return scan(relation(), strategy="bitmap").distinct_keys


def ours_push() -> int:
    return scan(relation(), strategy="push").distinct_keys


def recipe() -> int:
    """The usual recipe: all target ids in a set, sources outside of it."""
    post, user = _models()
    valid = set(user.objects.values_list("id", flat=True))
    orphaned = post.objects.exclude(author_id__in=valid)
    return len(set(orphaned.values_list("author_id", flat=True)))


def walk() -> int:
    """Sources by primary key through the ORM, their keys checked chunk by chunk."""
    post, user = _models()
    orphaned: set[Any] = set()
    last = 0
    while True:
        rows = list(
            post.objects.filter(id__gt=last).order_by("id").values_list("id", "author_id")[:CHUNK]
        )
        if not rows:
            return len(orphaned)
        last = rows[-1][0]
        wanted = {key for _, key in rows}
        asked = list(wanted)
        # SQLite and MariaDB take no more values in one statement.
        for start in range(0, len(asked), 10_000):
            wanted -= set(
                user.objects.filter(id__in=asked[start : start + 10_000]).values_list(
                    "id", flat=True
                )
            )
        orphaned |= wanted


def walk_raw() -> int:
    """The same by the drivers themselves, with the keys as one array."""
    orphaned: set[Any] = set()
    last = 0
    kind = "uuid" if uuid_keys else "bigint"
    with connections["posts"].cursor() as source, connections["default"].cursor() as target:
        while True:
            source.execute(
                "SELECT id, author_id FROM posts WHERE id > %s ORDER BY id LIMIT %s", [last, CHUNK]
            )
            rows = source.fetchall()
            if not rows:
                return len(orphaned)
            last = rows[-1][0]
            wanted = {key for _, key in rows}
            target.execute(f"SELECT id FROM users WHERE id = ANY(%s::{kind}[])", [list(wanted)])
            orphaned |= wanted.difference(key for (key,) in target.fetchall())


def fdw() -> int:
    """The users' table as a foreign one beside the posts, by postgres_fdw, anti-joined."""
    users = connections["default"].settings_dict
    kind = "uuid" if uuid_keys else "bigint"
    with connections["posts"].cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw")
        cursor.execute("DROP SERVER IF EXISTS users_server CASCADE")
        cursor.execute(
            f"CREATE SERVER users_server FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
            f"(host '{users['HOST']}', port '{users['PORT']}', dbname '{users['NAME']}', "
            f"fetch_size '10000')"
        )
        cursor.execute(
            f"CREATE USER MAPPING FOR CURRENT_USER SERVER users_server OPTIONS "
            f"(user '{users['USER']}', password '{users['PASSWORD']}')"
        )
        cursor.execute(
            f"CREATE FOREIGN TABLE users_elsewhere (id {kind} NOT NULL) SERVER users_server "
            f"OPTIONS (table_name 'users')"
        )
        cursor.execute("ANALYZE users_elsewhere")
        cursor.execute(NOT_EXISTS.replace("users", "users_elsewhere"))
        return len({key for _, key in cursor.fetchall()})


def copy_antijoin() -> int:
    """Distinct keys by COPY into a temporary table beside the targets, anti-joined there."""
    kind = "uuid" if uuid_keys else "bigint"
    with connections["posts"].cursor() as source, connections["default"].cursor() as target:
        target.execute(f"CREATE TEMPORARY TABLE shipped (k {kind})")
        with (
            source.copy("COPY (SELECT DISTINCT author_id FROM posts) TO STDOUT") as out,
            target.copy("COPY shipped FROM STDIN") as into,
        ):
            for block in out:
                into.write(block)
        target.execute("ANALYZE shipped")
        target.execute(
            "SELECT count(*) FROM shipped WHERE NOT EXISTS "
            "(SELECT 1 FROM users WHERE users.id = shipped.k)"
        )
        return int(target.fetchone()[0])


NOT_EXISTS = (
    "SELECT id, author_id FROM posts "
    "WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = posts.author_id)"
)
DISTINCT = (
    "SELECT NULL, author_id FROM (SELECT DISTINCT author_id FROM posts) posts "
    "WHERE NOT EXISTS (SELECT 1 FROM users WHERE users.id = posts.author_id)"
)
GAPS = (
    "SELECT DISTINCT NULL, author_id FROM "
    "(SELECT id AS k, lead(id) OVER (ORDER BY id) AS following FROM users) pairs "
    "JOIN posts ON author_id > k AND author_id < following WHERE following - 1 > k "
    "UNION ALL SELECT DISTINCT NULL, author_id FROM posts "
    "WHERE author_id < (SELECT min(id) FROM users) "
    "UNION ALL SELECT DISTINCT NULL, author_id FROM posts "
    "WHERE author_id > (SELECT max(id) FROM users)"
)


def one_serial() -> int:
    """One database's list of orphans, on one core where the database would use more."""
    return _one(NOT_EXISTS, serial=True)


def one_parallel() -> int:
    return _one(NOT_EXISTS)


def one_distinct() -> int:
    return _one(DISTINCT)


def one_gaps() -> int:
    return _one(GAPS)


def _one(statement: str, *, serial: bool = False) -> int:
    connection = connections["posts"]
    with connection.cursor() as cursor:
        if serial and connection.vendor == "postgresql":
            cursor.execute("SET max_parallel_workers_per_gather = 0")
        cursor.execute(statement)
        return len({key for _, key in cursor.fetchall()})


def attached() -> int:
    """One SQLite connection with the other file attached."""
    with connections["posts"].cursor() as cursor:
        cursor.execute(
            "ATTACH DATABASE %s AS other", [str(connections["default"].settings_dict["NAME"])]
        )
        cursor.execute(NOT_EXISTS.replace("FROM users", "FROM other.users"))
        return len({key for _, key in cursor.fetchall()})


def nothing() -> int:
    """The bare process, connected: what the others' memory is more than."""
    for alias in ("default", "posts"):
        connections[alias].ensure_connection()
    return 0


WAYS: dict[str, Callable[[], int]] = {
    function.__name__: function
    for function in (
        ours,
        ours_gaps,
        ours_bitmap,
        ours_merge,
        ours_push,
        recipe,
        walk,
        walk_raw,
        fdw,
        copy_antijoin,
        one_serial,
        one_parallel,
        one_distinct,
        one_gaps,
        attached,
        nothing,
    )
}
