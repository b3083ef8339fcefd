"""Transactions at one end of a move.

Owns what stands around a write: whose rows an error speaks of, what may follow, and when a
database looks at its constraints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import DatabaseError, connections, transaction

from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.exceptions import WriteFailed
from xdbrel.moving.parts import Part, own_writes


@contextmanager
def writing(part: Part, alias: str) -> Iterator[None]:
    """Open a transaction; say of which table's rows a database error speaks."""
    try:
        with transaction.atomic(using=alias):
            yield
    except DatabaseError as error:
        raise WriteFailed(part.label, alias, error) from error


@contextmanager
def changing(carrier: Carrier, part: Part, alias: str) -> Iterator[None]:
    """Open a transaction that may change rows and delete them, and let nothing follow."""
    with writing(part, alias), own_writes(alias, captured=carrier.captured[alias]):
        yield


@contextmanager
def together(carrier: Carrier, group: Sequence[Part], alias: str) -> Iterator[None]:
    """Let the rows of a group be written in one transaction, where they need each other."""
    if not carrier.plan.is_knot(group):
        yield
        return
    with writing(group[0], alias), unwatched(alias):
        yield


@contextmanager
def unwatched(alias: str) -> Iterator[None]:
    """Let a database that cannot wait for the end of a transaction not look at constraints."""
    connection = connections[alias]
    if connection.features.can_defer_constraint_checks:
        yield
        return
    with connection.constraint_checks_disabled():
        yield
