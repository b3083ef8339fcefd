"""Creates, fills and drops the databases of workload A.

A user is gone when its number hashed falls below a share, so that both databases agree
without speaking to each other. Posts go round the users that are there, but for one in a
thousand, whose author is one of those that are gone. The ``posts`` database holds the
users too: it is the one database that others are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.core.management import call_command
from django.db import connections

from benchmarks import measuring

ALIASES = ("default", "posts")

#: Knuth's multiplicative hash: spreads consecutive numbers over 32 bits.
_HASH = "({n} * 2654435761) % 4294967296"
_BITS = 4_294_967_296
#: One post in so many is an orphan.
ORPHANS = 1_000


@dataclass(frozen=True)
class Data:
    """A data set: numbers of rows, the share of users that are gone, and the keys' type."""

    name: str
    users: int
    posts: int
    gone: float = 0.01
    uuid: bool = False
    #: Every post has a key of its own, beyond all users.
    lost: bool = False

    def scaled(self, scale: float) -> Data:
        return Data(
            self.name,
            max(1_000, round(self.users * scale)),
            max(2_000, round(self.posts * scale)),
            self.gone,
            self.uuid,
            self.lost,
        )


def create(data: Data) -> None:
    """Create both databases and fill them."""
    for alias in ALIASES:
        measuring.recreate(alias)
        vendor = connections[alias].vendor
        _FILL[vendor](alias, data, with_posts=alias == "posts")
    call_command("migrate", "xdbrel", database="default", verbosity=0)


def drop() -> None:
    """Drop what ``create`` made."""
    for alias in ALIASES:
        measuring.drop(alias)


def _run(alias: str, *statements: str) -> None:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _postgresql(alias: str, data: Data, *, with_posts: bool) -> None:
    key = "md5(n::text)::uuid" if data.uuid else "n::bigint"
    kind = "uuid" if data.uuid else "bigint"
    there = f"{_HASH.format(n='n')} >= {int(_BITS * data.gone)}"
    _run(
        alias,
        f"CREATE TABLE users (id {kind} NOT NULL, username varchar(30) NOT NULL, "
        f"email varchar(50) NOT NULL, created_at timestamptz NOT NULL)",
        f"INSERT INTO users SELECT {key}, 'user' || n, 'user' || n || '@example.com', now() "
        f"FROM generate_series(1, {data.users}) n WHERE {there}",
        "ALTER TABLE users ADD PRIMARY KEY (id)",
        "VACUUM ANALYZE users",
    )
    if not with_posts:
        return
    _run(
        alias,
        f"CREATE TABLE posts (id bigint NOT NULL, author_id {kind} NOT NULL, "
        f"title varchar(50) NOT NULL, created_at timestamptz NOT NULL)",
    )
    if data.lost:
        _run(
            alias,
            f"INSERT INTO posts SELECT n, {data.users} + 7 * n, 'title ' || n, now() "
            f"FROM generate_series(1, {data.posts}) n",
            "ALTER TABLE posts ADD PRIMARY KEY (id)",
            "CREATE INDEX posts_author ON posts (author_id)",
            "VACUUM ANALYZE posts",
        )
        return
    _run(
        alias,
        f"CREATE TEMPORARY TABLE there AS SELECT row_number() OVER () AS i, {key} AS id "
        f"FROM generate_series(1, {data.users}) n WHERE {there}",
        f"CREATE TEMPORARY TABLE gone AS SELECT row_number() OVER () AS i, {key} AS id "
        f"FROM generate_series(1, {data.users}) n WHERE NOT {there}",
        "ANALYZE there",
        "ANALYZE gone",
        f"INSERT INTO posts SELECT n, coalesce(gone.id, there.id), 'title ' || n, now() "
        f"FROM (SELECT n, "
        f"1 + floor(random() * (SELECT count(*) FROM there))::bigint AS t, "
        f"CASE WHEN n % {ORPHANS} = 0 THEN "
        f"1 + floor(random() * (SELECT count(*) FROM gone))::bigint END AS g "
        f"FROM generate_series(1, {data.posts}) n) numbers "
        f"JOIN there ON there.i = t LEFT JOIN gone ON gone.i = g",
        "DROP TABLE there",
        "DROP TABLE gone",
        "ALTER TABLE posts ADD PRIMARY KEY (id)",
        "CREATE INDEX posts_author ON posts (author_id)",
        "VACUUM ANALYZE posts",
    )


def _sqlite(alias: str, data: Data, *, with_posts: bool) -> None:
    series = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {})"
    there = f"{_HASH.format(n='n')} >= {int(_BITS * data.gone)}"
    _run(
        alias,
        "CREATE TABLE users (id integer PRIMARY KEY, username varchar(30) NOT NULL, "
        "email varchar(50) NOT NULL, created_at datetime NOT NULL)",
        f"{series.format(data.users)} INSERT INTO users "
        f"SELECT n, 'user' || n, 'user' || n || '@example.com', '2024-01-01' FROM s "
        f"WHERE {there}",
        "ANALYZE",
    )
    if not with_posts:
        return
    _run(
        alias,
        "CREATE TABLE posts (id integer PRIMARY KEY, author_id bigint NOT NULL, "
        "title varchar(50) NOT NULL, created_at datetime NOT NULL)",
        "CREATE TEMPORARY TABLE there (i integer PRIMARY KEY, id integer)",
        "CREATE TEMPORARY TABLE gone (i integer PRIMARY KEY, id integer)",
        f"{series.format(data.users)} INSERT INTO there (id) SELECT n FROM s WHERE {there}",
        f"{series.format(data.users)} INSERT INTO gone (id) SELECT n FROM s WHERE NOT {there}",
        f"{series.format(data.posts)} INSERT INTO posts "
        f"SELECT n, CASE WHEN n % {ORPHANS} = 0 THEN (SELECT id FROM gone WHERE i = "
        f"1 + (n * 7919) % (SELECT count(*) FROM gone)) ELSE (SELECT id FROM there WHERE i = "
        f"1 + ({_HASH.format(n='n')}) % (SELECT count(*) FROM there)) END, "
        f"'title ' || n, '2024-01-01' FROM s",
        "DROP TABLE there",
        "DROP TABLE gone",
        "CREATE INDEX posts_author ON posts (author_id)",
        "ANALYZE",
    )


def _mysql(alias: str, data: Data, *, with_posts: bool) -> None:
    there = f"{_HASH.format(n='seq')} >= {int(_BITS * data.gone)}"
    users = f"seq_1_to_{data.users}"
    _run(
        alias,
        "CREATE TABLE users (id bigint NOT NULL PRIMARY KEY, username varchar(30) NOT NULL, "
        "email varchar(50) NOT NULL, created_at datetime(6) NOT NULL)",
        f"INSERT INTO users SELECT seq, concat('user', seq), "
        f"concat('user', seq, '@example.com'), now() FROM {users} WHERE {there}",
        "ANALYZE TABLE users",
    )
    if not with_posts:
        return
    numbers = "(i bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, id bigint NOT NULL)"
    _run(
        alias,
        "CREATE TABLE posts (id bigint NOT NULL PRIMARY KEY, author_id bigint NOT NULL, "
        "title varchar(50) NOT NULL, created_at datetime(6) NOT NULL)",
        f"CREATE TABLE there {numbers}",
        f"CREATE TABLE gone {numbers}",
        f"INSERT INTO there (id) SELECT seq FROM {users} WHERE {there}",
        f"INSERT INTO gone (id) SELECT seq FROM {users} WHERE NOT ({there})",
        "SELECT @there := max(i) FROM there",
        "SELECT @gone := max(i) FROM gone",
        f"INSERT INTO posts SELECT seq, coalesce(gone.id, there.id), concat('title ', seq), "
        f"now() FROM seq_1_to_{data.posts} "
        f"JOIN there ON there.i = 1 + ({_HASH.format(n='seq')}) % @there "
        f"LEFT JOIN gone ON seq % {ORPHANS} = 0 AND gone.i = 1 + (seq * 7919) % @gone",
        "DROP TABLE there",
        "DROP TABLE gone",
        "CREATE INDEX posts_author ON posts (author_id)",
        "ANALYZE TABLE posts",
    )


_FILL = {"postgresql": _postgresql, "sqlite": _sqlite, "mysql": _mysql}
