"""How many queries each database answers while a page is made."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import connections


@contextmanager
def counted_queries() -> Iterator[dict[str, int]]:
    """Count the statements of the block, by alias; what is yielded grows as they run."""
    counts: dict[str, int] = {}

    def counting(alias: str) -> Callable[..., Any]:
        def wrapper(
            execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
        ) -> Any:
            counts[alias] = counts.get(alias, 0) + 1
            return execute(sql, params, many, context)

        return wrapper

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(counting(connection.alias)))
        yield counts
