"""The cases of workload C and the ways to do each, as functions without arguments.

A way reads what a page or a report would. What it returns is made comparable afterwards,
outside of the time that is measured, by the case's own ``compared``.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction
from django.db.models import Count

from benchmarks.data_c.models import FdwPost, OnePost, PlainPost, Post, User

#: What is shown at once, and what of the busiest authors.
PAGE, TOP = 50, 20
#: Authors asked for at once where they are taken in order.
BATCH = 200

_PAGE = f"ORDER BY created_at LIMIT {PAGE}"


@dataclass(frozen=True)
class Case:
    """What is asked, and the ways to get it: name → function."""

    ways: dict[str, Callable[[], Any]]
    #: Makes what they return comparable.
    compared: Callable[[Any], Any]


def _joined() -> dict[str, Any]:
    """Return the managers for which the call is the same, by way."""
    ways = {"ours": Post.objects, "one": OnePost.objects}
    if {connections[alias].vendor for alias in connections} == {"postgresql"}:
        ways["fdw"] = FdwPost.objects
    return ways


def _called(call: Callable[[Any], Any]) -> dict[str, Callable[[], Any]]:
    return {name: (lambda objects=objects: call(objects)) for name, objects in _joined().items()}


def _page(prefix: str) -> Case:
    def plain(objects: Any) -> Any:
        found = objects.filter(author__username__startswith=prefix)
        return list(found.order_by("created_at")[:PAGE])

    def by_in() -> Any:
        found = PlainPost.objects.filter(author_id__in=_ids(prefix))
        return list(found.order_by("created_at")[:PAGE])

    def by_array() -> Any:
        condition, parameter = _among("posts", "author_id", _ids(prefix))
        return list(
            PlainPost.objects.raw(
                f"SELECT * FROM data_c_post WHERE {condition} {_PAGE}", parameter
            )
        )

    def by_table() -> Any:
        with _brought(["id"], prefix):
            return list(
                PlainPost.objects.raw(
                    f"SELECT data_c_post.* FROM data_c_post JOIN shipped "
                    f"ON shipped.id = author_id {_PAGE}"
                )
            )

    return Case(
        {**_called(plain), "array": by_array, "in": by_in, "table": by_table},
        lambda posts: [post.id for post in posts],
    )


def _count(prefix: str) -> Case:
    def plain(objects: Any) -> Any:
        return objects.filter(author__username__startswith=prefix).count()

    def by_in() -> Any:
        return PlainPost.objects.filter(author_id__in=_ids(prefix)).count()

    def by_array() -> Any:
        condition, parameter = _among("posts", "author_id", _ids(prefix))
        sql = f"SELECT count(*) FROM data_c_post WHERE {condition}"
        return _fetched("posts", sql, parameter)[0][0]

    def by_table() -> Any:
        with _brought(["id"], prefix):
            sql = "SELECT count(*) FROM data_c_post JOIN shipped ON shipped.id = author_id"
            return _fetched("posts", sql)[0][0]

    return Case({**_called(plain), "array": by_array, "in": by_in, "table": by_table}, int)


def _order(column: str) -> Case:
    def plain(objects: Any) -> Any:
        return list(objects.order_by(f"author__{column}")[:PAGE])

    def naive() -> Any:
        names = dict(User.objects.values_list("id", column))
        authors = PlainPost.objects.values_list("id", "author_id").iterator()
        first = heapq.nsmallest(PAGE, authors, key=lambda row: names[row[1]])
        found = PlainPost.objects.in_bulk([key for key, _ in first])
        return [found[key] for key, _ in first]

    def by_array() -> Any:
        """Users in their order, the posts of so many at a time."""
        page: list[Any] = []
        users = User.objects.order_by(column).values_list("id", flat=True)
        for start in itertools.count(0, BATCH):
            ranks = {key: rank for rank, key in enumerate(users[start : start + BATCH])}
            condition, parameter = _among("posts", "author_id", list(ranks))
            posts = PlainPost.objects.raw(
                f"SELECT * FROM data_c_post WHERE {condition}", parameter
            )
            page += sorted(posts, key=lambda post: ranks[post.author_id])
            if len(page) >= PAGE or len(ranks) < BATCH:
                return page[:PAGE]
        return page

    def by_table() -> Any:
        with _brought(["id", column]):
            return list(
                PlainPost.objects.raw(
                    f"SELECT data_c_post.* FROM data_c_post JOIN shipped "
                    f"ON shipped.id = author_id ORDER BY shipped.{column} LIMIT {PAGE}"
                )
            )

    return Case(
        {**_called(plain), "array": by_array, "in": naive, "table": by_table},
        # Which of an author's posts come first is open.
        lambda posts: [post.author_id for post in posts],
    )


def _group() -> Case:
    def plain(objects: Any) -> Any:
        return list(objects.values("author__username").annotate(n=Count("id")))

    def grouped() -> dict[Any, int]:
        found = PlainPost.objects.values_list("author_id").annotate(n=Count("*"))
        return dict(found.order_by())

    def named(counts: dict[Any, int], names: Iterable[Any]) -> Any:
        return [{"author__username": name, "n": counts[key]} for key, name in names]

    def by_in() -> Any:
        counts = grouped()
        users = User.objects.filter(id__in=list(counts))
        return named(counts, users.values_list("id", "username"))

    def by_array() -> Any:
        counts = grouped()
        return named(counts, _names(list(counts)))

    def by_table() -> Any:
        with _brought(["id", "username"]):
            rows = _fetched(
                "posts",
                "SELECT shipped.username, count(*) FROM data_c_post JOIN shipped "
                "ON shipped.id = author_id GROUP BY shipped.username",
            )
        return [{"author__username": name, "n": n} for name, n in rows]

    return Case(
        {**_called(plain), "array": by_array, "in": by_in, "table": by_table},
        lambda rows: sorted((row["author__username"], row["n"]) for row in rows),
    )


def _top() -> Case:
    def plain(objects: Any) -> Any:
        counted = objects.values("author__username").annotate(n=Count("id"))
        return list(counted.order_by("-n")[:TOP])

    def by_array() -> Any:
        # Which rows are counted is known from the index alone, unlike what their keys are.
        counts = PlainPost.objects.values_list("author_id").annotate(n=Count("*"))
        first = list(counts.order_by("-n")[:TOP])
        names = dict(_names([key for key, _ in first]))
        return [{"author__username": names[key], "n": n} for key, n in first]

    return Case(
        {**_called(plain), "array": by_array},
        # Which of those with as many come first is open.
        lambda rows: [row["n"] for row in rows if row["author__username"]],
    )


def _select_related() -> Case:
    def plain(objects: Any) -> Any:
        found = objects.select_related("author").order_by("created_at")[:PAGE]
        return [(post.id, post.author.username) for post in found]

    def by_in() -> Any:
        posts = list(PlainPost.objects.order_by("created_at")[:PAGE])
        users = User.objects.in_bulk({post.author_id for post in posts})
        return [(post.id, users[post.author_id].username) for post in posts]

    return Case({**_called(plain), "in": by_in}, list)


def cases() -> dict[str, Case]:
    """Return the cases by their names."""
    return {
        "page rare": _page("rare"),
        "page some": _page("some"),
        "page many": _page("many"),
        "page late": _page("late"),
        "page mute": _page("mute"),
        "order": _order("username"),
        "order sorted": _order("email"),
        "group": _group(),
        "top": _top(),
        "count rare": _count("rare"),
        "count some": _count("some"),
        "count many": _count("many"),
        "select_related": _select_related(),
    }


def _ids(prefix: str) -> list[int]:
    users = User.objects.filter(username__startswith=prefix)
    return list(users.values_list("id", flat=True))


def _names(keys: list[int]) -> list[tuple[int, str]]:
    condition, parameter = _among("default", "id", keys)
    return _fetched(
        "default", f"SELECT id, username FROM data_c_user WHERE {condition}", parameter
    )


def _among(alias: str, column: str, keys: list[int]) -> tuple[str, list[Any]]:
    """Return the condition that a column is among the keys, all of them one parameter."""
    vendor = connections[alias].vendor
    if vendor == "postgresql":
        # An array of smaller numbers would be searched from end to end.
        return f"{column} = ANY(%s::bigint[])", [keys]
    if vendor == "sqlite":
        return f"{column} IN (SELECT value FROM json_each(%s))", [json.dumps(keys)]
    table = "JSON_TABLE(%s, '$[*]' COLUMNS (k bigint PATH '$')) listed"
    return f"{column} IN (SELECT k FROM {table})", [json.dumps(keys)]


def _fetched(alias: str, sql: str, params: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


class _brought:
    """For a block, the users' ``columns`` in a temporary table beside the posts."""

    def __init__(self, columns: list[str], prefix: str = "") -> None:
        self.columns = ", ".join(columns)
        self.prefix = prefix
        self.atomic = transaction.atomic(using="posts")

    def __enter__(self) -> None:
        self.atomic.__enter__()
        connection = connections["posts"]
        types = ", ".join(
            f"{name} {'bigint' if name == 'id' else 'text'}" for name in self.columns.split(", ")
        )
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE shipped ({types})")
            if connection.vendor == "postgresql":
                self._copy(cursor)
                cursor.execute("ANALYZE shipped")
            else:
                rows = self._rows()
                marks = ", ".join(["%s"] * len(self.columns.split(",")))
                cursor.executemany(f"INSERT INTO shipped VALUES ({marks})", rows)

    def __exit__(self, *error: Any) -> None:
        # A rollback takes the table along.
        if error[0] is None:
            with connections["posts"].cursor() as cursor:
                cursor.execute("DROP TABLE shipped")
        self.atomic.__exit__(*error)

    def _copy(self, cursor: Any) -> None:
        with cursor.copy("COPY shipped FROM STDIN") as into:
            if connections["default"].vendor != "postgresql":
                for row in self._rows():
                    into.write_row(row)
                return
            where = f"WHERE username LIKE '{self.prefix}%'" if self.prefix else ""
            with (
                connections["default"].cursor() as users,
                users.copy(
                    f"COPY (SELECT {self.columns} FROM data_c_user {where}) TO STDOUT"
                ) as out,
            ):
                for block in out:
                    into.write(block)

    def _rows(self) -> Iterable[tuple[Any, ...]]:
        users = User.objects.filter(username__startswith=self.prefix)
        return users.values_list(*self.columns.split(", ")).iterator(chunk_size=10_000)
