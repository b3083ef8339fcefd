"""Reading rows by their keys: from which database, in which chunks.

Owns the choice of the alias for each instance's related rows, and the statements. What
the rows are to the instances is for ``steps``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db import models, router
from django.db.models import F, Q
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute

from xdbrel import keys, placement
from xdbrel.compat import join_peers
from xdbrel.prefetch.instances import cheapest


@dataclass(frozen=True, slots=True)
class Options:
    """How to read. ``using`` and ``chunk_size`` are those of ``prefetch_cross_db()``."""

    using: str | None = None
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, not {self.chunk_size!r}.")

    def most(self, size: int) -> int:
        """Return the lower of ``size`` and what the caller allows."""
        return size if self.chunk_size is None else min(size, self.chunk_size)

    def alias_for(self, model: type[models.Model]) -> str | None:
        """Return the alias that the caller named, where ``model`` may live there."""
        if self.using is not None and placement.may_live(model, self.using):
            return self.using
        return None

    def steered(self, queryset: Any) -> Any:
        """Return a queryset on the alias that the caller named, if it names none of its own."""
        alias = None if queryset._db is not None else self.alias_for(queryset.model)
        return queryset if alias is None else queryset.using(alias)


def by_alias(
    objects: list[Any], queryset: models.QuerySet[Any], pinned: str | None, *, crosses: bool
) -> dict[str, list[Any]]:
    """Return ``objects`` by the alias where the rows of ``queryset`` that are theirs are read.

    ``pinned`` is an alias that was named. Otherwise a relation of xdbrel asks
    ``placement``, and any other Django's router; a queryset with ``select_for_update()``
    is read where it is written. Objects of one database go together: the routers' hint is
    one of them.
    """
    if pinned is not None:
        return {pinned: objects}
    first: dict[str | None, Any] = {}
    for instance in objects:
        origin = instance._state.db
        if origin not in first:
            first[origin] = instance
    for_write = queryset._for_write  # type: ignore[attr-defined]
    alias_of: Callable[..., str]
    if crosses:
        alias_of = placement.home if for_write else placement.read_alias
    else:
        alias_of = router.db_for_write if for_write else router.db_for_read
    aliases = {
        origin: alias_of(queryset.model, instance=instance) for origin, instance in first.items()
    }
    if len(set(aliases.values())) == 1:
        return {next(iter(aliases.values())): objects}
    parted: dict[str, list[Any]] = {}
    for instance in objects:
        parted.setdefault(aliases[instance._state.db], []).append(instance)
    return parted


def read(
    queryset: Any,
    column: models.Field[Any, Any],
    wanted: Iterable[Any],
    alias: str,
    options: Options,
) -> list[Any]:
    """Return the rows of ``queryset`` on ``alias`` whose ``column`` is one of ``wanted``.

    The queryset's own ``prefetch_related()`` is left for the caller.
    """
    queryset._not_support_combined_queries("filter")
    parts = []
    size = options.most(keys.chunk_size(alias, column))
    for chunk in keys.chunks(wanted, size):
        part: Any = queryset.using(alias)
        # As Django's own prefetching does: joins that are there are used again.
        part.query.add_q(Q(keys.KeyIn(F(column.attname), chunk)), reuse_all=True)
        part._prefetch_related_lookups = ()
        part._iterable_class = cheapest(part._iterable_class)
        parts.append(list(part))
    rows = list(chain.from_iterable(parts))
    if len(parts) > 1:
        join_peers(rows, queryset)
    return rows


def values(objects: Sequence[Any], model: type[models.Model], attname: str) -> list[Any]:
    """Return the attribute of each object; ``model`` is what they are instances of.

    A loaded field is in the instance's ``__dict__``, and the descriptor of a foreign key,
    which is a data descriptor, would make of each access a call.
    """
    if type(getattr(model, attname, None)) in (DeferredAttribute, ForeignKeyDeferredAttribute):
        try:
            return [instance.__dict__[attname] for instance in objects]
        except KeyError:
            # Deferred: the descriptor loads it, by the instance's fetch mode.
            pass
    return [getattr(instance, attname) for instance in objects]
