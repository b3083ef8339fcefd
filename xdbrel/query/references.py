"""What an expression refers to: the tables of its query, and of the queries around it.

Owns the walk through Django's expressions, conditions and subqueries. What it cannot look
into (raw SQL) it reports as such, so that nothing is moved that might need it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models.expressions import Col, RawSQL
from django.db.models.sql import Query
from django.db.models.sql.where import ExtraWhere, NothingNode

#: Stands for whatever raw SQL may mention.
ANYTHING = "*"


def columns(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield the alias and the field of every column that ``node`` mentions.

    Columns of a subquery's own tables are left out; what it takes from outside is not. Raw
    SQL yields ``(ANYTHING, None)``.
    """
    if node is None or isinstance(node, (str, bytes, int, float, bool)):
        return
    if isinstance(node, Col):
        if node.alias is not None:
            yield node.alias, node.target
    elif isinstance(node, (RawSQL, ExtraWhere)):
        yield ANYTHING, None
    elif isinstance(node, Query):
        own = set(node.alias_map)
        for alias, field in _of_query(node):
            if alias not in own:
                yield alias, field
    elif hasattr(node, "query_object"):  # SubqueryConstraint, which Django 5.2 still has
        yield from ((node.alias, name) for name in node.columns)
        yield from columns(node.query_object)
    elif hasattr(node, "sources") and hasattr(node, "targets"):  # MultiColSource
        for target in node.targets:
            yield node.alias, target
    elif hasattr(node, "get_cols"):  # ColPairs
        for col in node.get_cols():
            yield from columns(col)
    elif hasattr(node, "resolved_condition"):  # FilteredRelation
        yield from columns(node.resolved_condition)
    elif hasattr(node, "children"):
        for child in node.children:
            yield from columns(child)
    elif isinstance(node, (list, tuple)):
        for part in node:
            yield from columns(part)
    elif hasattr(node, "get_source_expressions"):
        for part in node.get_source_expressions():
            yield from columns(part)
        right = getattr(node, "rhs", None)
        if hasattr(right, "get_source_expressions") or isinstance(right, (list, tuple)):
            yield from columns(right)
        inner = getattr(node, "query", None)  # what a subquery holds
        if inner is not None and inner is not node:
            yield from columns(inner)
    elif hasattr(node, "query"):  # a queryset
        yield from columns(node.query)
    elif hasattr(node, "as_sql") and not isinstance(node, NothingNode):
        # It writes SQL of its own.
        yield ANYTHING, None


def aliases(node: Any) -> set[str]:
    """Return the aliases that ``node`` mentions; ``ANYTHING`` among them if that is unknown."""
    return {alias for alias, _ in columns(node)}


def _of_query(query: Any) -> Iterator[tuple[str, Any]]:
    yield from columns(query.where)
    yield from columns(list(query.annotations.values()))
    yield from columns(list(query.select))
    if isinstance(query.group_by, tuple):
        yield from columns(list(query.group_by))
    for entry in query.alias_map.values():
        yield from columns(getattr(entry, "filtered_relation", None))
    yield from columns([part for part in query.order_by if not isinstance(part, str)])
    for part in query.combined_queries:
        yield from columns(part)
    if query.extra or query.extra_tables or query.extra_order_by:
        yield ANYTHING, None
