"""Fetching the other end of a relation for many instances at once.

Owns the batched query behind Django's prefetch protocol: instances are grouped by the
database that each one's related rows live in, keys go out in chunks that the database
takes, and the rows come back as one queryset that is already evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from django.db import models
from django.db.models import F, Q

from xdbrel import keys, placement
from xdbrel.compat import join_peers

KeyOf = Callable[[models.Model], tuple[Any, ...]]
Narrow = Callable[[models.QuerySet[Any], Sequence[models.Model]], models.QuerySet[Any]]


class Groups:
    """Instances by the alias where the rows of a queryset that are related to them live.

    ``pinned`` is the alias that the user named (``Prefetch(queryset=….using(alias))``).
    Instances of one ``_state.db`` go together: their routers' hint is one of them.
    """

    def __init__(
        self,
        instances: Iterable[models.Model],
        queryset: models.QuerySet[Any],
        pinned: str | None = None,
    ) -> None:
        # select_for_update() marks its queryset so: it reads where rows are written.
        place = placement.home if queryset._for_write else placement.read_alias  # type: ignore[attr-defined]
        self.alias_by_origin: dict[str | None, str] = {}
        self.by_alias: dict[str, list[models.Model]] = {}
        for instance in instances:
            origin = instance._state.db
            alias = self.alias_by_origin.get(origin)
            if alias is None:
                alias = pinned or place(queryset.model, instance=instance)
                self.alias_by_origin[origin] = alias
            self.by_alias.setdefault(alias, []).append(instance)

    def matching(self, key_of_row: KeyOf, key_of_instance: KeyOf) -> tuple[KeyOf, KeyOf]:
        """Return the two functions by which rows and instances are brought together.

        The same key in two databases is two different rows, so the alias joins the key
        where there is more than one.
        """
        if len(self.by_alias) <= 1:
            return key_of_row, key_of_instance
        alias_by_origin = self.alias_by_origin

        def row(obj: models.Model) -> tuple[Any, ...]:
            return (obj._state.db, *key_of_row(obj))

        def instance(obj: models.Model) -> tuple[Any, ...]:
            return (alias_by_origin[obj._state.db], *key_of_instance(obj))

        return row, instance


def fetch(
    queryset: models.QuerySet[Any],
    column: models.Field[Any, Any],
    groups: Groups,
    key_of_instance: KeyOf,
    *,
    narrow: Narrow | None = None,
) -> models.QuerySet[Any]:
    """Return ``queryset``, evaluated, with the rows whose ``column`` is an instance's key.

    ``narrow(queryset, instances)`` replaces the condition on keys where a plain one does
    not do (a sliced queryset); each instance is one parameter to it. The queryset's own
    ``prefetch_related()`` is left for the caller, as Django's protocol wants it.
    """
    # What filter() refuses is refused, though the condition is added beneath it.
    queryset._not_support_combined_queries("filter")  # type: ignore[attr-defined]
    if narrow is None and queryset.query.is_sliced:
        raise TypeError("Cannot filter a query once a slice has been taken.")
    parts = []
    for alias, instances in groups.by_alias.items():
        by_key: dict[Any, models.Model] = {}
        for instance in instances:
            key = key_of_instance(instance)
            if None not in key:
                by_key.setdefault(key[0] if len(key) == 1 else key, instance)
        size = keys.chunk_size(alias, column, listed=narrow is not None)
        for chunk in keys.chunks(by_key, size):
            part = queryset.using(alias)
            if narrow is not None:
                part = narrow(part, [by_key[key] for key in chunk])
            else:
                # As Django's own prefetching does: joins that are there are used again.
                part.query.add_q(Q(keys.KeyIn(F(column.attname), chunk)), reuse_all=True)
            part._prefetch_related_lookups = ()  # type: ignore[attr-defined]
            parts.append(list(part))
    rows = list(chain.from_iterable(parts))
    if len(parts) > 1:
        join_peers(rows, queryset)
    result = queryset.all()
    result._result_cache = rows
    return result
