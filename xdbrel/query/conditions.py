"""Which conditions of a query belong to one block alone.

Owns the parting of a WHERE. A condition stands in a *positive* place if only AND and OR
lie above it: there, what is not true counts as false, so that it may be replaced by "the
row is among those for which it is true", which the block's own database says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models.sql.where import AND, OR, NothingNode, WhereNode

from xdbrel.query import references
from xdbrel.query.blocks import Block


def take(where: Any, block: Block) -> tuple[Any, list[Any]]:
    """Return the rest of ``where``, and what of it every row of ``block`` has to fulfil."""
    if not isinstance(where, WhereNode) or where.negated or where.connector != AND:
        return (None, [where]) if where is not None and belongs(where, block) else (where, [])
    rest, taken = [], []
    for child in where.children:
        left, found = take(child, block)
        taken += found
        if left is not None:
            rest.append(left)
    return (WhereNode(rest) if rest else None), taken


def replace(where: Any, block: Block, by: Callable[[Any], Any]) -> Any:
    """Return ``where`` with ``by`` of what belongs to ``block`` in positive places."""
    if belongs(where, block):
        return by(where)
    if not isinstance(where, WhereNode) or where.negated or where.connector not in (AND, OR):
        return where
    own = [child for child in where.children if belongs(child, block)]
    if not own:
        return WhereNode([replace(child, block, by) for child in where.children], where.connector)
    rest = [replace(child, block, by) for child in where.children if child not in own]
    return WhereNode([by(WhereNode(own, where.connector)), *rest], where.connector)


def replace_anywhere(where: Any, block: Block, by: Callable[[Any], Any]) -> Any:
    """Return ``where`` with ``by`` of what belongs to ``block``, at any place."""
    if belongs(where, block):
        return by(where)
    if not isinstance(where, WhereNode):
        return where
    children = [replace_anywhere(child, block, by) for child in where.children]
    return WhereNode(children, where.connector, where.negated)


def belongs(node: Any, block: Block) -> bool:
    """Tell whether ``node`` mentions columns of ``block``, and nothing else."""
    if isinstance(node, NothingNode):
        return False
    if getattr(node, "contains_over_clause", False) or getattr(node, "contains_aggregate", False):
        return False
    mentioned = references.aliases(node)
    return bool(mentioned) and mentioned <= block.aliases


def mentions_any(nodes: Sequence[Any], blocks: Sequence[Block]) -> bool:
    """Tell whether ``nodes`` mention columns of any of the blocks."""
    return any(mentions(nodes, block) for block in blocks)


def mentions(nodes: Sequence[Any], block: Block) -> list[tuple[str, Any]]:
    """Return the columns of ``block`` that ``nodes`` mention; all may be, if raw SQL is there."""
    aliases = block.aliases
    return [
        (alias, column)
        for node in nodes
        for alias, column in references.columns(node)
        if alias in aliases or alias == references.ANYTHING
    ]
