"""What a query that spans does, told to people: ``queryset.explain_cross_db()``.

Owns the plan's record and its reading. The decisions are taken as when the query is run, so
that the bounded reads they rest on do happen; nothing is brought, and the query itself is
run, only with ``analyze=True``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, models

from xdbrel import placement
from xdbrel.caching import uncached
from xdbrel.query import run as runs
from xdbrel.query import statistics
from xdbrel.query.stitch import Answered

#: As much of a statement as a line of the text shows.
WIDTH = 300


@dataclass(frozen=True)
class Statement:
    """One statement: where it ran, what it was, and how long it took in seconds."""

    alias: str
    sql: str
    seconds: float


@dataclass
class Step:
    """One decision: what of the query comes from where, how and why.

    ``strategy`` is ``"native"`` (nothing has to come), ``"push"``, ``"keys"``, ``"reduce"``,
    ``"probe"``, ``"top"``, ``"stitch"``, ``"ship"`` or ``"run"``, the statement that is left in
    the end. docs/queries.md says what each of them is.
    ``estimated`` and ``rows`` count what came, ``seconds`` is the time it took; ``None``
    where that is not known.
    """

    alias: str
    strategy: str
    label: str
    reason: str
    sql: str = ""
    estimated: int | None = None
    rows: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        figures = []
        if self.rows is not None:
            figures.append(f"{self.rows} rows")
        elif self.estimated is not None:
            figures.append(f"about {self.estimated} rows")
        if self.seconds is not None:
            figures.append(f"{self.seconds * 1000:.1f} ms")
        told = f"{self.strategy:<7} {self.alias}: {self.label}: {self.reason}"
        if figures:
            told += f" ({', '.join(figures)})"
        if self.sql:
            sql = " ".join(self.sql.split())
            told += f"\n        {sql if len(sql) <= WIDTH else sql[:WIDTH] + ' …'}"
        return told


@dataclass
class QueryPlan:
    """How a query is run whose tables live in several databases.

    ``using`` is the alias that runs it, ``steps`` what happens in their order, and
    ``statements`` every statement that was run to find out, on every alias.
    """

    using: str
    steps: list[Step] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)

    @property
    def spans(self) -> bool:
        """Whether the query needs more than its own database."""
        return any(step.strategy != "native" for step in self.steps)

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def explain_cross_db(queryset: models.QuerySet[Any], *, analyze: bool = False) -> QueryPlan:
    """Return how ``queryset`` is run across databases.

    With ``analyze`` it is run, and the plan holds the rows that came and the time it took.
    Without, only the reads by which the plan is made are run. Raises what running it would
    raise: ``QueryTooLarge``, ``NotSupportedError``.
    """
    using = queryset.db
    plan = QueryPlan(using)
    queryset = queryset._chain()  # type: ignore[attr-defined]
    with _recorded(plan.statements):
        run = _analyzed(queryset, plan) if analyze else _planned(queryset, plan)
    if run is None or not (run.steps or run.shipments):
        label = queryset.model._meta.label
        reason = f"every table of the query is in {using!r}"
        if plan.steps:
            plan.steps[-1].strategy, plan.steps[-1].reason = "native", reason
        else:
            plan.steps.append(Step(using, "native", label, reason))
        return plan
    plan.steps[:0] = [_told(*step) for step in run.steps]
    return plan


def _planned(queryset: models.QuerySet[Any], plan: QueryPlan) -> Any:
    compiler: Any = queryset.query.get_compiler(using=plan.using)
    compiler.take_apart()
    run = runs.Run(compiler, dry=True)
    sql = ""
    with uncached(), run.on_connection(), suppress(EmptyResultSet, Answered):
        sql, _ = compiler.as_sql()
    for shipment in run.shipments:
        sources = shipment.query()
        step = Step(shipment.home, "ship", shipment.label, shipment.reason)
        try:
            step.sql, params = sources.get_compiler(using=shipment.home).as_sql()
        except EmptyResultSet:
            step.estimated = 0
        else:
            step.estimated = statistics.estimate(step.sql, params, shipment.home)
        plan.steps.append(step)
    label = queryset.model._meta.label
    if sql:
        plan.steps.append(Step(plan.using, "run", label, "what is left of the query", sql))
    return run


def _analyzed(queryset: models.QuerySet[Any], plan: QueryPlan) -> Any:
    label = queryset.model._meta.label
    with uncached(), runs.observed(plan.using) as seen:
        began = time.perf_counter()
        rows = len(queryset)
        seconds = time.perf_counter() - began
    if not seen:
        plan.steps.append(Step(plan.using, "native", label, "", rows=rows, seconds=seconds))
        return None
    run = seen[0]
    for shipment in run.shipments:
        plan.steps.append(
            Step(
                shipment.home,
                "ship",
                shipment.label,
                shipment.reason,
                _last_sql(plan.statements, shipment.home),
                rows=shipment.rows,
                seconds=shipment.seconds,
            )
        )
    if run.sql:
        reason = "what is left of the query"
        step = Step(plan.using, "run", label, reason, run.sql, rows=rows, seconds=seconds)
    else:
        # The rows that the other steps read are the answer.
        step = Step(plan.using, "stitch", label, "put together", rows=rows, seconds=seconds)
    plan.steps.append(step)
    return run


def _told(block: Any, strategy: str, reason: str, rows: int | None) -> Step:
    return Step(block.home, strategy, block.label, reason, rows=rows)


def _last_sql(statements: list[Statement], alias: str) -> str:
    found = [one.sql for one in statements if one.alias == alias]
    return found[-1] if found else ""


@contextmanager
def _recorded(statements: list[Statement]) -> Iterator[None]:
    """Record what is run on every alias."""

    def recorder(alias: str) -> Any:
        def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            began = time.perf_counter()
            try:
                return execute(sql, params, many, context)
            finally:
                statements.append(Statement(alias, sql, time.perf_counter() - began))

        return record

    with ExitStack() as stack:
        for alias in connections:
            if placement.is_configured(alias):
                stack.enter_context(connections[alias].execute_wrapper(recorder(alias)))
        yield


def max_shipped_rows(queryset: models.QuerySet[Any], rows: int) -> models.QuerySet[Any]:
    """Return the queryset with a limit of its own in place of ``XDBREL["MAX_SHIPPED_ROWS"]``.

    ``rows`` is the most that it may bring out of other databases.
    """
    clone: models.QuerySet[Any] = queryset._chain()  # type: ignore[attr-defined]
    setattr(clone.query, runs.BUDGET, rows)
    return clone
