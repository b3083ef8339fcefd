"""Creates, fills and drops the databases of workload C.

The rows follow from their numbers, so that every database can make its own. A user's name
begins with the kind of user that it is, and goes on so that names and keys have nothing to do
with each other's order; posts are written in the order of their keys. Neither table has
orphans. The indexes are those that Django's migrations would create.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import DatabaseError, connections

from benchmarks import measuring

ALIASES = ("default", "posts", "one")

#: Knuth's multiplicative hash: a permutation of 32 bits.
_HASH = "((i * 2654435761) % 4294967296)"
#: Stirred once more, by a generator of Lehmer's: the first alone is too regular.
_RANDOM = f"({_HASH} * 48271 % 2147483647)"


@dataclass(frozen=True)
class Sizes:
    """How many rows there are, and which users are of which kind.

    Of a million users 10 are ``rare``, 10,000 each ``some``, ``late`` and ``mute``, 500,000
    ``many``, the rest ``bulk``; there are two posts for each user. Those by ``late`` users are
    the last ones, those by ``mute`` users twenty. Smaller data have fewer of each kind but
    ``rare``; larger data have as many as this, and more in bulk.
    """

    users: int

    @classmethod
    def scaled(cls, scale: float) -> Sizes:
        if scale >= 1:
            return cls(1_000_000 * round(scale))
        return cls(1_000 * max(1, round(1_000 * scale)))

    @property
    def posts(self) -> int:
        return 2 * self.users

    @property
    def times(self) -> int:
        """The users of a kind are by so much rarer than in a million."""
        return max(1, self.users // 1_000_000)

    @property
    def step(self) -> int:
        """One user in so many is of a kind that 10,000 are of."""
        return 100 * self.times

    @property
    def kind(self) -> str:
        return (
            f"CASE WHEN i % {2 * self.times} = 0 THEN 'many' "
            f"WHEN i % {self.step} = 1 THEN 'some' "
            f"WHEN i % {self.users // 10} = 3 THEN 'rare' "
            f"WHEN i % {self.step} = 5 THEN 'late' "
            f"WHEN i % {self.step} = 7 THEN 'mute' ELSE 'bulk' END"
        )

    @property
    def author(self) -> str:
        each = self.users // self.step
        anybody = f"1 + {_RANDOM} % {self.users}"
        return (
            f"CASE WHEN i > {self.posts - 2 * each} THEN 5 + {self.step} * ({_RANDOM} % {each}) "
            f"WHEN i % {self.posts // 20} = {self.posts // 40} "
            f"THEN 7 + {self.step} * (i / {self.posts // 20} % {each}) "
            # Somebody who is neither late nor mute.
            f"WHEN ({anybody}) % {self.step} IN (5, 7) THEN {anybody} + 1 ELSE {anybody} END"
        )


def create(sizes: Sizes) -> None:
    """Create and fill the databases, unless these very ones are there."""
    if all(map(_has, ALIASES, [sizes] * len(ALIASES))):
        return
    vendors = {connections[alias].vendor for alias in ALIASES}
    if "postgresql" in vendors:
        # Whatever stands in two databases is made in one and copied.
        measuring.recreate("one")
        _postgresql("one", sizes)
        measuring.recreate("posts", like="one")
        if vendors == {"postgresql"}:
            measuring.recreate("default", like="one")
            _run("default", "DROP TABLE data_c_post")
            _foreign()
        else:
            measuring.recreate("default")
            _mysql("default", sizes)
        _run("posts", "DROP TABLE data_c_user")
        _mark("default", sizes)
        _mark("posts", sizes)
        _mark("one", sizes)
        return
    for alias in ALIASES:
        measuring.recreate(alias)
        _sqlite(alias, sizes, users=alias != "posts", posts=alias != "default")
        _mark(alias, sizes)


def drop() -> None:
    """Drop the databases, what was kept of them included."""
    for alias in ALIASES:
        measuring.drop(alias)


def _has(alias: str, sizes: Sizes) -> bool:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT users FROM data_c_whole")
            return cursor.fetchone() == (sizes.users,)
    except DatabaseError:
        return False


def _mark(alias: str, sizes: Sizes) -> None:
    """Note in the database that it is complete."""
    _run(
        alias,
        "CREATE TABLE data_c_whole (users integer)",
        f"INSERT INTO data_c_whole VALUES ({sizes.users})",
    )


def _run(alias: str, *statements: str) -> None:
    with connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _postgresql(alias: str, sizes: Sizes) -> None:
    when = "timestamptz '2024-01-01 00:00:00+00' + i * interval '1 second'"
    _run(
        alias,
        "SET maintenance_work_mem = '512MB'",
        "SET statement_timeout = 0",
        # Reading them is the same, filling them is not.
        "CREATE UNLOGGED TABLE data_c_user (id bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY, "
        "username varchar(150) NOT NULL, email varchar(254) NOT NULL, "
        "created_at timestamptz NOT NULL)",
        f"INSERT INTO data_c_user SELECT i, {sizes.kind} || {_HASH}, "
        f"'user' || i || '@example.com', {when} FROM generate_series(1::bigint, {sizes.users}) i",
        "ALTER TABLE data_c_user ADD PRIMARY KEY (id)",
        "ALTER TABLE data_c_user ADD UNIQUE (username)",
        "CREATE INDEX data_c_user_username_like ON data_c_user (username varchar_pattern_ops)",
        "CREATE UNLOGGED TABLE data_c_post (id bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY, "
        "title varchar(200) NOT NULL, created_at timestamptz NOT NULL, author_id bigint NOT NULL)",
        f"INSERT INTO data_c_post SELECT i, 'Title of post ' || i, {when}, {sizes.author} "
        f"FROM generate_series(1::bigint, {sizes.posts}) i",
        "ALTER TABLE data_c_post ADD PRIMARY KEY (id)",
        "CREATE INDEX data_c_post_created_at ON data_c_post (created_at)",
        "CREATE INDEX data_c_post_author_id ON data_c_post (author_id)",
        "VACUUM ANALYZE data_c_user",
        "VACUUM ANALYZE data_c_post",
    )


def _foreign() -> None:
    """Give the database of the posts the users as a foreign table, as fast as one can be."""
    users = connections["default"].settings_dict
    password = f", password '{users['PASSWORD']}'" if users["PASSWORD"] else ""
    _run(
        "posts",
        "CREATE EXTENSION postgres_fdw",
        f"CREATE SERVER users FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{users['HOST']}', "
        f"port '{users['PORT']}', dbname '{users['NAME']}', use_remote_estimate 'true', "
        f"fetch_size '10000')",
        f"CREATE USER MAPPING FOR CURRENT_USER SERVER users "
        f"OPTIONS (user '{users['USER']}'{password})",
        "CREATE FOREIGN TABLE data_c_foreignuser (id bigint NOT NULL, "
        "username varchar(150) NOT NULL, email varchar(254) NOT NULL, "
        "created_at timestamptz NOT NULL) SERVER users OPTIONS (table_name 'data_c_user')",
        "ANALYZE data_c_foreignuser",
    )


def _mysql(alias: str, sizes: Sizes) -> None:
    _run(
        alias,
        "SET SESSION max_statement_time = 0",
        "CREATE TABLE data_c_user (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, "
        "username varchar(150) NOT NULL UNIQUE, email varchar(254) NOT NULL, "
        "created_at datetime(6) NOT NULL)",
        f"INSERT INTO data_c_user SELECT i, concat({sizes.kind}, {_HASH}), "
        f"concat('user', i, '@example.com'), "
        f"timestamp '2024-01-01 00:00:00' + INTERVAL i SECOND "
        f"FROM (SELECT seq AS i FROM seq_1_to_{sizes.users}) numbers",
        "ANALYZE TABLE data_c_user",
    )


def _sqlite(alias: str, sizes: Sizes, *, users: bool, posts: bool) -> None:
    series = "WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {}) "
    when = "datetime('2024-01-01', '+' || i || ' seconds')"
    if users:
        _run(
            alias,
            "CREATE TABLE data_c_user (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, "
            "username varchar(150) NOT NULL UNIQUE, email varchar(254) NOT NULL, "
            "created_at datetime NOT NULL)",
            f"{series.format(sizes.users)} INSERT INTO data_c_user "
            f"SELECT i, {sizes.kind} || {_HASH}, 'user' || i || '@example.com', {when} FROM s",
        )
    if posts:
        _run(
            alias,
            "CREATE TABLE data_c_post (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, "
            "title varchar(200) NOT NULL, created_at datetime NOT NULL, "
            "author_id bigint NOT NULL)",
            f"{series.format(sizes.posts)} INSERT INTO data_c_post "
            f"SELECT i, 'Title of post ' || i, {when}, {sizes.author} FROM s",
            "CREATE INDEX data_c_post_created_at ON data_c_post (created_at)",
            "CREATE INDEX data_c_post_author_id ON data_c_post (author_id)",
        )
    _run(alias, "ANALYZE")
