"""The two functions that users call. What they do is in ``walk`` and ``querysets``."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, TypeVar, cast, overload

from asgiref.sync import sync_to_async
from django.db import connections, models
from django.db.models.manager import BaseManager
from django.db.models.query import Prefetch, QuerySet

from xdbrel.prefetch.lookups import normalized
from xdbrel.prefetch.querysets import prefetching
from xdbrel.prefetch.reading import Options
from xdbrel.prefetch.walk import walk

M = TypeVar("M", bound=models.Model)


@overload
def prefetch_cross_db(  # type: ignore[overload-overlap]
    instances_or_queryset: QuerySet[M],
    *lookups: str | Prefetch[Any],
    using: str | None = None,
    chunk_size: int | None = None,
) -> QuerySet[M]: ...
@overload
def prefetch_cross_db(
    instances_or_queryset: Iterable[M],
    *lookups: str | Prefetch[Any],
    using: str | None = None,
    chunk_size: int | None = None,
) -> list[M]: ...
def prefetch_cross_db(
    instances_or_queryset: QuerySet[M] | Iterable[M],
    *lookups: str | Prefetch[Any],
    using: str | None = None,
    chunk_size: int | None = None,
) -> QuerySet[M] | list[M]:
    """Fetch related objects in batches, whatever databases they are in.

    Takes the lookups of ``prefetch_related()``: names, paths (``"author__profile"``) and
    ``Prefetch`` objects. A step costs one query for each database and chunk of keys, and
    relations of one step to the same model share it.

    ``instances_or_queryset``
        A queryset (or manager): a copy is returned, still lazy, that prefetches whenever
        it is evaluated; ``iterator()`` prefetches batch by batch. Any other iterable of
        instances, of any model and from any database: they are filled at once, and the
        list of them is returned. What an instance has fetched before stays.
    ``using``
        Read related objects from this alias wherever their model may live there; all
        others, and those of a ``Prefetch`` queryset that names its own alias, are read
        where they would be without it.
    ``chunk_size``
        Most keys in one statement, where that is less than ``XDBREL["CHUNK_SIZE"]`` and
        what the database takes.

    Raises the errors of ``prefetch_related()``: ``AttributeError`` for a name that is not
    there, ``ValueError`` for one that cannot be prefetched or that is given twice with
    different querysets.
    """
    options = Options(using, chunk_size)
    wanted = normalized(lookups)
    if using is not None:
        # An unknown alias is an error now, not when a lazy queryset is evaluated.
        connections[using]
    if isinstance(instances_or_queryset, BaseManager):
        instances_or_queryset = cast("QuerySet[M]", instances_or_queryset.all())
    if isinstance(instances_or_queryset, QuerySet):
        return prefetching(instances_or_queryset, wanted, options)
    if isinstance(instances_or_queryset, models.Model):
        raise TypeError(
            f"prefetch_cross_db() takes a queryset or an iterable of instances, not a single "
            f"{type(instances_or_queryset).__name__}. Pass a list: [instance]."
        )
    instances = (
        instances_or_queryset
        if isinstance(instances_or_queryset, list)
        else list(instances_or_queryset)
    )
    walk(instances, wanted, options)
    return instances


@overload
async def aprefetch_cross_db(  # type: ignore[overload-overlap]
    instances_or_queryset: QuerySet[M],
    *lookups: str | Prefetch[Any],
    using: str | None = None,
    chunk_size: int | None = None,
) -> QuerySet[M]: ...
@overload
async def aprefetch_cross_db(
    instances_or_queryset: Iterable[M] | AsyncIterable[M],
    *lookups: str | Prefetch[Any],
    using: str | None = None,
    chunk_size: int | None = None,
) -> list[M]: ...
async def aprefetch_cross_db(
    instances_or_queryset: QuerySet[M] | Iterable[M] | AsyncIterable[M],
    *lookups: str | Prefetch[Any],
    using: str | None = None,
    chunk_size: int | None = None,
) -> QuerySet[M] | list[M]:
    """Do what ``prefetch_cross_db()`` does, from asynchronous code.

    Takes asynchronous iterables of instances as well. Of a queryset, the lazy copy is
    returned, to be evaluated with ``async for``.
    """
    if isinstance(instances_or_queryset, AsyncIterable) and not isinstance(
        instances_or_queryset, (QuerySet, Iterable)
    ):
        instances_or_queryset = [instance async for instance in instances_or_queryset]
    prefetch: Any = sync_to_async(prefetch_cross_db)
    filled: QuerySet[M] | list[M] = await prefetch(
        instances_or_queryset, *lookups, using=using, chunk_size=chunk_size
    )
    return filled
