"""Which strategy is right for a relation. The strategies themselves are in ``strategies``."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections, models

from xdbrel.integrity.ends import End
from xdbrel.integrity.exceptions import UnknownStrategy, UnsuitableStrategy
from xdbrel.integrity.strategies import STRATEGIES

#: Targets below so many rows are listed at once, whatever the sources' number.
PLENTY = 1_000_000

#: With fewer sources than one in so many targets, looking each up costs less than the gaps.
RARE = 50


@dataclass(frozen=True)
class Choice:
    """A strategy's name, and in one sentence why, with the figures that decided."""

    strategy: str
    reason: str


def choose(source: End, target: End) -> Choice:
    """Return the strategy for these ends.

    Gaps for integer keys, unless the database's statistics say that a few sources stand
    against very many targets; merge for everything else.
    """
    if not (source.is_integer and target.is_integer):
        return Choice("merge", "keys are not integers")
    targets = row_estimate(target.model, target.using)
    if targets is not None and targets >= PLENTY:
        rows = row_estimate(source.model, source.using)
        if rows is not None and rows * RARE < targets:
            return Choice("merge", f"about {rows} sources against {targets} targets")
    return Choice("gaps", "integer keys")


def validate(name: str, source: End, target: End) -> str:
    """Return ``name``, the user's own choice; ``UnknownStrategy`` and ``UnsuitableStrategy``."""
    if name not in STRATEGIES:
        raise UnknownStrategy(name, STRATEGIES)
    if name == "gaps" and not (source.is_integer and target.is_integer):
        raise UnsuitableStrategy(
            source.relation.handle,
            name,
            f"needs integer keys, and {target.model._meta.label}.{target.field.name} is not one",
            "Use 'merge', or name none.",
        )
    return name


def row_estimate(model: type[models.Model], using: str) -> int | None:
    """Return how many rows the database's statistics say the table has; None if they do not."""
    connection = connections[using]
    table = model._meta.db_table
    if connection.vendor == "postgresql":
        statement = "SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)"
        params = [connection.ops.quote_name(table)]
    elif connection.vendor == "mysql":
        statement = (
            "SELECT table_rows FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_name = %s"
        )
        params = [table]
    else:
        return None
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        row = cursor.fetchone()
    # PostgreSQL says -1 of a table that was never analyzed.
    return None if row is None or row[0] is None or row[0] < 0 else int(row[0])
