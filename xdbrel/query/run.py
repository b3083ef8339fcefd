"""One run of a query that spans: from the attempt to run it as it is to the end.

Owns the state of the execution, which lies with the connection, and the order of events. A
query is first run as Django would. Only if a table of it turns out to live elsewhere, while
it is compiled, is it compiled again in parts; what it needs is brought, and the statement
is run. Nothing is left behind. A query that is compiled but not run (``str(queryset.query)``)
stays as Django writes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import OperationalError, ProgrammingError, connections
from django.db.models.sql import UpdateQuery
from django.db.models.sql.constants import MULTI, SINGLE

from xdbrel.caching import uncached
from xdbrel.conf import settings
from xdbrel.query import answers, raw
from xdbrel.query.shipment import (
    Shipment,
    drop_leftovers,
    finish,
    is_read_on,
    renamed,
    within,
)
from xdbrel.query.state import STATE
from xdbrel.query.stitch import Answered
from xdbrel.query.streaming import buffered

LEFTOVERS = "_xdbrel_leftovers"
OBSERVED = "_xdbrel_observed"
#: The attribute of a query that has a limit of its own.
BUDGET = "xdbrel_max_shipped_rows"


class Spans(Exception):
    """Raised while a query is compiled that turns out to span databases."""


class Run:
    """One execution of one query that spans."""

    kind = "parted"
    active = True

    def __init__(self, root: Any, *, dry: bool = False) -> None:
        self.root = root
        self.using: str = root.connection.alias
        #: Whether it ends with the plan.
        self.dry = dry
        #: Whether the rows themselves may be the answer, without a statement that gives them.
        self.takes_rows = True
        self.shipments: list[Shipment] = []
        #: The decisions: block, strategy, reason, rows.
        self.steps: list[tuple[Any, str, str, int | None]] = []
        #: For each SELECT that is being compiled, the innermost last: alias → its shipment.
        self.scopes: list[dict[str, Any]] = []
        self.budget: int = getattr(root.query, BUDGET, None) or settings.MAX_SHIPPED_ROWS
        self.sql = ""

    @contextmanager
    def on_connection(self) -> Iterator[None]:
        """Let the connection's queries be compiled for this run."""
        state = connections[self.using].__dict__
        before = state.get(STATE)
        state[STATE] = self
        try:
            yield
        finally:
            state[STATE] = before

    def begin(self) -> None:
        """Start compiling."""
        self.shipments.clear()
        self.steps.clear()
        self.scopes.clear()

    def shipment_of(self, alias: str | None) -> Any:
        """Return the shipment that stands for an alias, as seen from the innermost SELECT."""
        for scope in reversed(self.scopes):
            if alias in scope:
                return scope[alias]
        return None

    def note(self, block: Any, strategy: str, reason: str, rows: int | None = None) -> None:
        """Take note of a decision."""
        self.steps.append((block, strategy, reason, rows))

    def ship(self, shipment: Shipment) -> None:
        """Take note of rows that the statement needs."""
        self.shipments.append(shipment)

    def load(self, compiled: Any) -> Any:
        """Bring what the statement needs; return it, with what comes inside it in front."""
        if not self.shipments or self.dry:
            return compiled
        if connections[self.using].vendor == "postgresql":
            compiled = self._each_once(compiled)
        drop_before(self.using)
        for shipment in self.shipments:
            began = time.perf_counter()
            shipment.load(self.using, self.budget)
            shipment.seconds = time.perf_counter() - began
            self.budget -= shipment.rows
        return within(compiled, self.shipments)

    def _each_once(self, compiled: Any) -> Any:
        """Return the statement with one name for what it needs twice, and bring that once.

        A subquery that stands in GROUP BY and in HAVING is compiled for each, and PostgreSQL
        takes it for two unless they are alike to the letter. MariaDB and MySQL let no temporary
        table be read twice in one statement.
        """
        known: dict[Any, Shipment] = {}
        for shipment in list(self.shipments):
            alike = [one for one in self.shipments if one.may_be(shipment)]
            if len(alike) < 2:
                continue
            first = known.setdefault(shipment.statement(), shipment)
            if first is not shipment:
                first.keys += [key for key in shipment.keys if key not in first.keys]
                compiled = renamed(compiled, shipment.table, first.table)
                self.shipments.remove(shipment)
        return compiled

    def end(self, failed: bool) -> None:
        """Drop what was brought."""
        left = finish(self.using, self.shipments, failed)
        if left:
            # Not connections[using]: the one who throws a result away may be another thread.
            self.root.connection.__dict__.setdefault(LEFTOVERS, []).extend(left)


@contextmanager
def observed(using: str) -> Iterator[list[Run]]:
    """Yield a list that takes the runs of the block's queries on ``using``."""
    state = connections[using].__dict__
    before = state.get(OBSERVED)
    seen: list[Run] = []
    state[OBSERVED] = seen
    try:
        yield seen
    finally:
        state.pop(OBSERVED)
        if before is not None:
            state[OBSERVED] = before


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
    pristine = compiler.query
    if isinstance(pristine, UpdateQuery) and len(pristine.alias_map) > 1:
        # Compiling it moves its conditions into a subquery, each time anew.
        pristine = pristine.clone()
    # A compiler as the state says that its query is run as it is, and watched.
    state[STATE] = compiler
    try:
        if not compiler.spans_already():
            return django(*args, **kwargs)
    except Spans:
        pass
    except (OperationalError, ProgrammingError) as error:
        raw.refuse(error, pristine, compiler.connection.alias)
        raise
    finally:
        state[STATE] = before
    compiler.query = pristine
    in_parts = partial(_execute_in_parts, compiler, django, args, kwargs)
    if before is not None:
        # It decides what another statement of this connection does.
        return in_parts()
    return answers.answer(compiler, _result_type(args, kwargs), in_parts)


def _execute_in_parts(
    compiler: Any, django: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run ``django`` with what lives elsewhere brought."""
    state, pristine = compiler.connection.__dict__, compiler.query
    compiler.take_apart()
    run = Run(compiler)
    run.takes_rows = compiler.takes_rows and _result_type(args, kwargs) in (MULTI, SINGLE)
    if OBSERVED in state:
        state[OBSERVED].append(run)
    try:
        with uncached(), run.on_connection(), buffered(compiler.connection):
            result = django(*args, **kwargs)
    except (OperationalError, ProgrammingError) as error:
        run.end(failed=True)
        raw.refuse(error, pristine, run.using)
        raise
    except Answered as answered:
        run.end(failed=False)
        return _as_result(compiler, answered.rows, _result_type(args, kwargs))
    except BaseException:
        run.end(failed=True)
        raise
    if hasattr(result, "__next__") and is_read_on(run.using, run.shipments):
        return _until_read(run, result)
    run.end(failed=False)
    return result


def _result_type(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs.get("result_type", MULTI)


def _as_result(compiler: Any, rows: list[tuple[Any, ...]], result_type: Any) -> Any:
    """Return rows as ``execute_sql()`` does; their values are what their databases gave."""
    compiler.take_as_converted()
    if result_type == SINGLE:
        return rows[0] if rows else None
    return [rows]


def _until_read(run: Run, result: Any) -> Iterator[Any]:
    try:
        yield from result
    except BaseException as error:
        run.end(failed=not isinstance(error, GeneratorExit))
        raise
    run.end(failed=False)
