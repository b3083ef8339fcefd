"""``xdbrel.atomic``: one block over several databases, the targets' side committed first.

A database that commits first can only be followed, never taken back. When it is the
targets', a failure before the others commit leaves intents behind, and the relay finishes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from django.db import connections, transaction

from xdbrel import placement, relations
from xdbrel.cascade import guard


@contextmanager
def atomic(*aliases: str, savepoint: bool = True, durable: bool = False) -> Iterator[None]:
    """Open a transaction on each of ``aliases``, or on every home of a crossing relation.

    Targets commit before sources, where databases point at each other the one in which a
    delete began; an error inside the block rolls all of them back.
    ``savepoint`` and ``durable`` are those of ``django.db.transaction.atomic``. Two
    databases never commit at one instant: between their commits a crash can fall, after
    which the relay finishes the cascades.
    """
    order = commit_order(aliases or _homes())
    opened = {}
    with ExitStack() as stack:
        for alias in reversed(order):
            # atomic() on a connection that cannot be made leaves a cache layer's state behind.
            connections[alias].ensure_connection()
            opened[alias] = transaction.atomic(using=alias, savepoint=savepoint, durable=durable)
            stack.enter_context(opened[alias])
        yield
        # All is well: from here on each is closed in the order that the deletes ask for.
        stack.pop_all()
    # Where databases point at each other, those come first in which something was deleted.
    order.sort(key=lambda alias: not guard.has_begun(alias))
    with ExitStack() as stack:
        for alias in reversed(order):
            stack.push(opened[alias])


def commit_order(aliases: Sequence[str]) -> list[str]:
    """Return ``aliases`` in the order of their commits: homes of targets before sources'.

    Where databases point at each other there is no such order, and the given one decides.
    """
    before: dict[str, set[str]] = {alias: set() for alias in aliases}
    for relation in relations.all_relations():
        if relation.crosses:
            for alias in before:
                if placement.same_home(alias, relation.source_home):
                    before[alias].update(
                        other
                        for other in before
                        if other != alias and placement.same_home(other, relation.target_home)
                    )
    ordered: list[str] = []
    remaining = list(before)
    while remaining:
        # Free of all others, or else in a circle that nothing outside has to precede.
        chosen = next(
            alias
            for alias in remaining
            if all(
                alias in _preceding(other, before, remaining)
                for other in _preceding(alias, before, remaining)
            )
        )
        ordered.append(chosen)
        remaining.remove(chosen)
    return ordered


def _preceding(alias: str, before: dict[str, set[str]], remaining: Sequence[str]) -> set[str]:
    """Return the aliases that must commit before ``alias``, directly or not."""
    found: set[str] = set()
    waiting = [alias]
    while waiting:
        for other in before[waiting.pop()].intersection(remaining) - found:
            found.add(other)
            waiting.append(other)
    return found


def _homes() -> list[str]:
    homes: dict[str, None] = {}
    for relation in relations.all_relations():
        if relation.crosses:
            homes[relation.target_home] = None
            homes[relation.source_home] = None
    return list(homes)
