"""Querysets that prefetch across databases whenever they are evaluated.

A queryset turns rows into instances through its ``_iterable_class``, which its copies
keep and which ``values()`` and its like replace. A class derived from it, which holds
the lookups, is therefore all it takes: filters, slices, ``get()``, ``in_bulk()``,
``iterator()``, asynchronous iteration and ``Prefetch(queryset=…)`` go through it.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from typing import Any, TypeVar

from django.db import models
from django.db.models.query import ModelIterable, QuerySet
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE

from xdbrel import keys
from xdbrel.prefetch.instances import cheapest
from xdbrel.prefetch.lookups import Wanted
from xdbrel.prefetch.reading import Options
from xdbrel.prefetch.walk import walk

M = TypeVar("M", bound=models.Model)


class PrefetchingIterableType(type):
    """The class of the iterable classes, by which pickle knows how to make them again."""

    wrapped: type[ModelIterable[Any]]
    wanted: tuple[Wanted, ...]
    options: Options


def prefetching(
    queryset: QuerySet[M], wanted: tuple[Wanted, ...], options: Options
) -> QuerySet[M]:
    """Return a copy of ``queryset`` that fetches what is ``wanted`` when it is evaluated.

    Raises ``TypeError`` where the queryset gives no instances, and what
    ``QuerySet.prefetch_related()`` raises where that is not possible on it.
    """
    wrapped: Any = queryset._iterable_class
    if not issubclass(wrapped, ModelIterable):
        raise TypeError("Cannot call prefetch_cross_db() after .values() or .values_list()")
    # Django judges: querysets made by union(), names of a FilteredRelation.
    queryset.prefetch_related(*(one.lookup for one in wanted))
    copied: Any = queryset.all()
    if wanted:
        if isinstance(wrapped, PrefetchingIterableType) and wrapped.options == options:
            # One walk for all, so that lookups given one after the other share as well.
            wrapped, wanted = wrapped.wrapped, (*wrapped.wanted, *wanted)
        copied._iterable_class = prefetching_iterable(cheapest(wrapped), wanted, options)
    prefetching: QuerySet[M] = copied
    return prefetching


def prefetching_iterable(
    wrapped: type[ModelIterable[Any]], wanted: tuple[Wanted, ...], options: Options
) -> type[ModelIterable[Any]]:
    """Return a class that iterates as ``wrapped`` does and prefetches what is ``wanted``."""

    def init(
        self: Any, queryset: Any, chunked_fetch: bool = False, chunk_size: int | None = None
    ) -> None:
        size = GET_ITERATOR_CHUNK_SIZE if chunk_size is None else chunk_size
        super(made, self).__init__(queryset, chunked_fetch=chunked_fetch, chunk_size=size)
        # Only iterator() says how many at once. Everything else wants all of them.
        self.batch_size = chunk_size

    def iterate(self: Any) -> Iterator[Any]:
        instances = super(made, self).__iter__()
        if self.batch_size is None:
            batches: Any = [list(instances)]
        else:
            batches = keys.chunks(instances, self.batch_size)
        for batch in batches:
            walk(batch, wanted, options)
            yield from batch

    made: Any = PrefetchingIterableType(
        "PrefetchingIterable",
        (wrapped,),
        {
            "__init__": init,
            "__iter__": iterate,
            "__module__": __name__,
            "wrapped": wrapped,
            "wanted": wanted,
            "options": options,
        },
    )
    iterable: type[ModelIterable[Any]] = made
    return iterable


def _reduce(made: PrefetchingIterableType) -> tuple[Any, ...]:
    return prefetching_iterable, (made.wrapped, made.wanted, made.options)


copyreg.pickle(PrefetchingIterableType, _reduce)
