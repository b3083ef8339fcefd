"""Rows that become one because they are equal: by which of their columns.

Owns the question whether it matters how the home of a text that was brought compares it. It
does where rows are grouped by that text, or are distinct by it, and nothing beside it keeps
each row apart in any case.
"""

from __future__ import annotations

from typing import Any

from django.db.models.aggregates import Aggregate
from django.db.models.expressions import Col

from xdbrel.query.blocks import Block


class Merged:
    """Rows of a query, or values of an aggregate, that are one where all ``columns`` are equal.

    ``base`` is the alias of the query's own table.
    """

    def __init__(self, columns: list[Any], base: str | None = None) -> None:
        #: The tables each of whose rows has a value of its own among the columns.
        self.unique = {
            one.alias
            for one in columns
            if isinstance(one, Col) and one.target.unique and not one.target.null
        }
        self.base = base

    @classmethod
    def of(cls, query: Any) -> Merged | None:
        """Return what merges rows of ``query``; ``None`` if nothing does."""
        base = next(iter(query.alias_map), None)
        columns = [*query.select, *query.annotation_select.values()]
        if query.default_cols and query.model is not None:
            # Among all columns of the model is its key.
            columns.append(query.model._meta.pk.get_col(base))
        if query.group_by is not None:
            return cls(columns if query.group_by is True else list(query.group_by), base)
        return cls(columns, base) if query.distinct and not query.distinct_fields else None

    @classmethod
    def within(cls, aggregate: Aggregate) -> Merged | None:
        """Return what merges values inside an aggregate."""
        return cls([]) if getattr(aggregate, "distinct", False) else None

    def by(self, column: Col, block: Block) -> bool:
        """Tell whether rows become one by a column of ``block``."""
        one_each = block.key is not None and self.base in self.unique
        return not (one_each or column.alias in self.unique)

    def apart(self, block: Block) -> list[Any]:
        """Return the columns of ``block`` that say by which of its rows no others become one.

        What belongs to two rows of the query's own table does not where the key of these is
        among the columns.
        """
        if block.join is None or self.base not in self.unique:
            return []
        outside, inside = block.join
        return [inside] if outside.alias == self.base else []
