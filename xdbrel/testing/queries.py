"""Statements counted by database, and the assertion that there are as many as expected.

What begins, ends or marks a transaction is no query here, so that a count is the same
inside the transactions of a ``TestCase`` and without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from django.db import connections

from xdbrel.testing.reach import may_use

#: What Django sends through a cursor of these; SQLite is told to BEGIN that way.
_OF_TRANSACTIONS = ("BEGIN", "SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")


class QueryCount(Mapping[str, int]):
    """How many statements each database was sent, by alias; 0 where there were none.

    ``statements`` has their SQL by alias, placeholders as they were sent. One
    ``executemany()`` is one statement.
    """

    def __init__(self) -> None:
        self.statements: dict[str, list[str]] = {alias: [] for alias in connections}

    def __getitem__(self, alias: str) -> int:
        return len(self.statements[alias])

    def __iter__(self) -> Iterator[str]:
        return iter(self.statements)

    def __len__(self) -> int:
        return len(self.statements)

    def __repr__(self) -> str:
        return f"<QueryCount: {dict(self)}>"

    def _note(
        self,
        alias: str,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        if not str(sql).startswith(_OF_TRANSACTIONS):
            self.statements[alias].append(str(sql))
        return execute(sql, params, many, context)


@contextmanager
def count_queries() -> Iterator[QueryCount]:
    """Count the statements that the block sends over this thread's connections."""
    count = QueryCount()
    with ExitStack() as wrappers:
        # What is sent to make a connection is nobody's query.
        for alias in filter(may_use, connections):
            wrappers.enter_context(connections[alias].execute_wrapper(partial(count._note, alias)))
        yield count


@contextmanager
def assert_queries(
    expected: Mapping[str, int] | None = None, /, **by_alias: int
) -> Iterator[QueryCount]:
    """Fail unless the block sends each database as many statements as expected.

    ``assert_queries(default=1, blog=2)``; an alias that is no Python name goes into a
    mapping: ``assert_queries({"read-replica": 1})``. Aliases that are not named must be sent
    nothing. The failure lists the statements of the databases that are not as expected.
    """
    wanted = {**(expected or {}), **by_alias}
    for alias in wanted:
        # Raises ConnectionDoesNotExist: an alias that nobody has would never be sent anything.
        connections[alias]
    with count_queries() as count:
        yield count
    wrong = [alias for alias in count if count[alias] != wanted.get(alias, 0)]
    if wrong:
        told = ", ".join(
            f"{alias} was sent {count[alias]}, expected {wanted.get(alias, 0)}" for alias in wrong
        )
        lines = [f"Queries are not as expected: {told}."]
        for alias in wrong:
            statements = count.statements[alias]
            lines += [f"{alias}:", *(f"  {n}. {sql}" for n, sql in enumerate(statements, 1))]
            if not statements:
                lines.append("  (none)")
        raise AssertionError("\n".join(lines))
