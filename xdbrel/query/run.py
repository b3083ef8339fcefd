"""One run of a query that spans: from the attempt to run it as it is to the end.

Owns the state of the execution, which lies with the connection, and the order of events. A
query is first run as Django would. Only if a table of it turns out to live elsewhere, while
it is compiled, is it compiled again in parts; what it needs is brought, and the statement
is run. Nothing is left behind. A query that is compiled but not run (``str(queryset.query)``)
stays as Django writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from django.db import connections, transaction

from xdbrel.caching import uncached
from xdbrel.conf import settings
from xdbrel.query.shipment import Shipment, drop_leftovers

STATE = "_xdbrel_run"
LEFTOVERS = "_xdbrel_leftovers"


class Spans(Exception):
    """Raised while a query is compiled that turns out to span databases."""


class Watch:
    """The state of a connection on which a query is run as it is."""

    active = False


class Run:
    """One execution of one query that spans."""

    active = True

    def __init__(self, root: Any) -> None:
        self.root = root
        self.using: str = root.connection.alias
        self.shipments: list[Shipment] = []
        #: For each SELECT that is being compiled, the innermost last: alias → its shipment.
        self.scopes: list[dict[str, Any]] = []
        self.budget: int = settings.MAX_SHIPPED_ROWS
        self.stack = ExitStack()

    def begin(self) -> None:
        """Start compiling."""
        self.shipments.clear()
        self.scopes.clear()

    def shipment_of(self, alias: str | None) -> Any:
        """Return the shipment that stands for an alias, as seen from the innermost SELECT."""
        for scope in reversed(self.scopes):
            if alias in scope:
                return scope[alias]
        return None

    def note(self, block: Any, strategy: str, reason: str) -> None:
        """Take note of a decision."""

    def ship(self, shipment: Shipment) -> None:
        """Take note of rows that the statement needs."""
        self.shipments.append(shipment)

    def load(self) -> None:
        """Bring what the statement needs."""
        if not self.shipments:
            return
        connection = connections[self.using]
        drop_before(self.using)
        if connection.vendor == "postgresql" and not connection.in_atomic_block:
            self.stack.enter_context(transaction.atomic(using=self.using))
        for shipment in self.shipments:
            shipment.load(self.using, self.budget)
            self.budget -= shipment.rows

    def end(self, failed: bool) -> None:
        """Drop what was brought."""
        connection = connections[self.using]
        if self.shipments and not (failed and connection.vendor == "postgresql"):
            left = drop_leftovers(self.using, self.shipments)
            connection.__dict__.setdefault(LEFTOVERS, []).extend(left)


WATCH = Watch()


def drop_before(using: str) -> None:
    """Drop what an earlier run could not."""
    state = connections[using].__dict__
    if state.get(LEFTOVERS):
        state[LEFTOVERS] = drop_leftovers(using, state[LEFTOVERS])


def execute(
    compiler: Any, django: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run ``django``, the compiler's own way to execute, wherever its tables live."""
    state = compiler.connection.__dict__
    before = state.get(STATE)
    state[STATE] = WATCH
    try:
        return django(*args, **kwargs)
    except Spans:
        pass
    finally:
        state[STATE] = before
    run = Run(compiler)
    state[STATE] = run
    try:
        with uncached():
            result = django(*args, **kwargs)
    except BaseException as error:
        run.end(failed=True)
        run.stack.__exit__(type(error), error, error.__traceback__)
        raise
    finally:
        state[STATE] = before
    if hasattr(result, "__next__") and not isinstance(result, (list, tuple)):
        return _until_read(run, result)
    run.end(failed=False)
    run.stack.close()
    return result


def _until_read(run: Run, result: Any) -> Iterator[Any]:
    try:
        yield from result
    except BaseException as error:
        run.end(failed=not isinstance(error, GeneratorExit))
        run.stack.__exit__(type(error), error, error.__traceback__)
        raise
    run.end(failed=False)
    run.stack.close()
