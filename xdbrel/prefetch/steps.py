"""One step: from objects of one class to what a branch relates them to.

Owns the fetching and the matching. Steps that read the same column of the same model
are fetched together. Which branches there are is for ``lookups``, in what order they
are taken for ``walk``, and what joins both sides for ``links``.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db import connections, models
from django.db.models.manager import BaseManager
from django.db.models.query import prefetch_related_objects
from django.utils.functional import cached_property

from xdbrel import keys
from xdbrel.conf import settings
from xdbrel.fields import descriptors
from xdbrel.prefetch import results
from xdbrel.prefetch.links import Link, link_of
from xdbrel.prefetch.lookups import Branch
from xdbrel.prefetch.reading import Options, by_alias, read, values


@dataclass(eq=False, slots=True)
class Step:
    """Objects of one class, and a branch to follow from them.

    ``link`` is how to fetch it, ``prefetcher`` what implements Django's protocol; where
    there is neither, the attribute is only followed.
    """

    branch: Branch
    objects: list[Any]
    model: type[Any]
    descriptor: Any
    prefetcher: Any
    link: Link | None
    #: The lookups that the queryset of the rows brought along.
    brought: tuple[Any, ...] = ()
    waiting: list[Any] = field(default_factory=list)

    @property
    def given(self) -> Any:
        """The queryset of the ``Prefetch`` that ends here."""
        querysets = self.branch.querysets
        return querysets[0] if querysets else None

    def share(self) -> Hashable:
        """Return what the steps that can share their statements have in common."""
        if self.link is None or self.given is not None:
            return id(self)
        mode = getattr(self.objects[0]._state, "fetch_mode", None)
        return (self.link.model, self.link.column, self.link.single, self.link.crosses, mode)

    def unfetched(self) -> list[Any]:
        """Return the objects that have nothing of this branch yet."""
        name = self.branch.to
        if self.branch.as_attr:
            if isinstance(getattr(self.model, name, None), cached_property):
                return [obj for obj in self.objects if name not in obj.__dict__]
            return [obj for obj in self.objects if not hasattr(obj, name)]
        if self.link is not None and self.link.single:
            name = self.link.cache_name
            return [obj for obj in self.objects if name not in obj._state.fields_cache]
        if hasattr(self.prefetcher, "is_cached"):
            return [obj for obj in self.objects if not self.prefetcher.is_cached(obj)]
        return [
            obj
            for obj in self.objects
            if name not in obj.__dict__.get("_prefetched_objects_cache", ())
        ]

    def reached(self) -> list[Any]:
        """Return what the objects are related to, each object once."""
        found: list[Any] = []
        through, to = self.branch.through, self.branch.to
        if self.link is not None and self.link.single and not self.branch.as_attr:
            name = self.link.cache_name
            cached = [obj._state.fields_cache.get(name) for obj in self.objects]
            return list({id(row): row for row in cached if row is not None}.values())
        for obj in self.objects:
            prefetched: Any = getattr(obj, "_prefetched_objects_cache", ())
            if self.branch.as_attr:
                related = getattr(obj, to, None)
            elif through in prefetched:
                related = list(prefetched[through])
            else:
                try:
                    related = getattr(obj, through)
                except ObjectDoesNotExist:
                    continue
            if related is None:
                continue
            # Not any iterable: a model may define __iter__().
            if isinstance(related, list):
                found.extend(related)
            else:
                found.append(related)
        return list({id(related): related for related in found}.values())


def step_of(objects: list[Any], branch: Branch) -> Step:
    """Return the step along ``branch`` from ``objects``, which are of one class.

    Raises Django's errors: ``AttributeError`` where there is no such attribute,
    ``ValueError`` where it cannot be prefetched but a lookup asks for that, or where a
    field has the name of ``to_attr``.
    """
    first = objects[0]
    model = first.__class__
    descriptor = getattr(model, branch.through, None)
    if descriptor is None and not hasattr(first, branch.through):
        raise AttributeError(
            f"Cannot find '{branch.through}' on {model.__name__} object, '{branch.given}' is "
            f"an invalid parameter to prefetch_cross_db()"
        )
    prefetcher = link = None
    if hasattr(descriptor, "get_prefetch_querysets"):
        prefetcher = descriptor
    elif descriptor is not None:
        # Related managers know their instance: the accessor gives one for each.
        accessed = getattr(first, branch.through)
        prefetcher = accessed if hasattr(accessed, "get_prefetch_querysets") else None
    if prefetcher is None and branch.asked is not None:
        raise ValueError(
            f"'{branch.given}' does not resolve to an item that supports prefetching - "
            f"this is an invalid parameter to prefetch_cross_db()."
        )
    if branch.as_attr and _has_field(model, branch.to):
        raise ValueError(
            f"to_attr={branch.to} conflicts with a field on the {model.__name__} model."
        )
    if prefetcher is not None and (branch.querysets is None or len(branch.querysets) == 1):
        link = link_of(model, descriptor)
    step = Step(branch, objects, model, descriptor, prefetcher, link)
    if step.given is not None and step.given.query.is_sliced:
        # A slice for each instance: the protocol's implementations know how.
        step.link = None
    return step


def fetch(steps: list[Step], options: Options) -> None:
    """Fetch what these steps, all of one ``share()``, relate their objects to."""
    for step in steps:
        step.waiting = step.unfetched() if step.prefetcher is not None else []
    steps = [step for step in steps if step.waiting]
    if not steps:
        return
    if steps[0].link is None:
        _fetch_by_protocol(steps[0], options)
    else:
        _fetch_by_link(steps, steps[0].link, options)


@dataclass(slots=True)
class _Part:
    """The objects of a step whose related rows are in one database, and their keys."""

    step: Step
    link: Link
    objects: list[Any]
    keys: list[Any]


def _fetch_by_link(steps: list[Step], link: Link, options: Options) -> None:
    first = steps[0].waiting[0]
    given = steps[0].given
    queryset: Any = link.rows(first) if given is None else given._chain()
    # In place would change the hints of the project's own queryset.
    queryset._hints = {**queryset._hints, "instance": first}
    pinned = (given._db if given is not None else None) or options.alias_for(queryset.model)
    parts: dict[str, list[_Part]] = {}
    for step in steps:
        step.brought = queryset._prefetch_related_lookups
        own = step.link or link
        parted = by_alias(step.waiting, queryset, pinned, crosses=own.crosses)
        for alias, objects in parted.items():
            found = values(objects, step.model, own.key_attr)
            parts.setdefault(alias, []).append(_Part(step, own, objects, found))
    for alias, of_alias in parts.items():
        wanted = dict.fromkeys(chain.from_iterable(part.keys for part in of_alias))
        wanted.pop(None, None)
        rows = read(queryset, link.column, wanted, alias, options)
        row_keys = values(rows, queryset.model, link.row_attr(queryset.model))
        if link.single:
            _match_one(of_alias, wanted, rows, row_keys)
        else:
            _match_many(of_alias, wanted, rows, row_keys, given)


def _match_one(
    parts: Iterable[_Part], wanted: Mapping[Any, Any], rows: list[Any], row_keys: list[Any]
) -> None:
    # Of several rows of one key the first counts: reversed, it is written last.
    found = dict(zip(reversed(row_keys), reversed(rows), strict=True))
    # A database may compare keys by another rule than Python (a collation that ignores
    # case, a number given as text). Then what has no match is left for plain access.
    exact = found.keys() <= wanted.keys()
    get = found.get
    for part in parts:
        pairs: Iterable[tuple[Any, Any]] = zip(part.objects, part.keys, strict=True)
        if part.step.branch.as_attr:
            to = part.step.branch.to
            for obj, key in pairs:
                setattr(obj, to, get(key))
        else:
            if not exact:
                pairs = [(obj, key) for obj, key in pairs if key is None or key in found]
            cache_name = part.link.cache_name
            for obj, key in pairs:
                obj._state.fields_cache[cache_name] = get(key)
        if part.link.back is not None:
            back = part.link.back
            owners = dict(zip(part.keys, part.objects, strict=True))
            for key, row in found.items():
                if key in owners:
                    row._state.fields_cache[back] = owners[key]


def _match_many(
    parts: Iterable[_Part],
    wanted: Mapping[Any, Any],
    rows: list[Any],
    row_keys: list[Any],
    given: models.QuerySet[Any] | None,
) -> None:
    of_key: dict[Any, list[Any]] = {key: [] for key in wanted}
    owners: dict[Any, Any] = {}
    for part in parts:
        owners.update(zip(part.keys, part.objects, strict=True))
        back = part.link.back
    exact = True
    for key, row in zip(row_keys, rows, strict=True):
        mine = of_key.get(key)
        if mine is None:
            exact = False
            continue
        mine.append(row)
        cache = row._state.fields_cache
        if back not in cache:
            cache[back] = owners[key]
    for part in parts:
        branch = part.step.branch
        if branch.as_attr:
            for obj, key in zip(part.objects, part.keys, strict=True):
                setattr(obj, branch.to, of_key.get(key, []))
        elif exact:
            foreign_key: Any = part.link.column
            results.keep(part.objects, part.keys, of_key, branch.through, foreign_key, given)


def _fetch_by_protocol(step: Step, options: Options) -> None:
    """Let Django fetch the step, in chunks, for the instances of each database in turn."""
    lookup = step.branch.alone()
    generic = getattr(step.prefetcher, "field", None)
    queryset: Any = lookup.queryset
    if queryset is None and isinstance(step.prefetcher, BaseManager):
        queryset = step.prefetcher.model._default_manager.all()
    if queryset is not None:
        steered = options.steered(queryset)
        if steered is not queryset:
            lookup.queryset = steered
    if options.using is not None and getattr(generic, "crosses_generically", False):
        lookup = _steered(lookup, step, generic, options)
    of_origin: dict[str | None, list[Any]] = {}
    for obj in step.waiting:
        of_origin.setdefault(obj._state.db, []).append(obj)
    for origin, objects in of_origin.items():
        limit = None if origin is None else connections[origin].features.max_query_params
        size = options.most(min(settings.CHUNK_SIZE, limit or settings.CHUNK_SIZE))
        for chunk in keys.chunks(objects, size):
            once: Any = copy.copy(lookup)
            if once.queryset is not None:
                once.queryset = once.queryset._chain()
            prefetch_related_objects(chunk, once)


def _steered(lookup: Any, step: Step, generic: Any, options: Options) -> Any:
    """Return a lookup by which each model's targets are read from the alias of the call.

    Which models there are, only the instances say.
    """
    # Whoever has such a key has content types installed.
    from django.contrib.contenttypes.prefetch import GenericPrefetch

    querysets = [options.steered(queryset) for queryset in step.branch.querysets or ()]
    given = {generic.typed(queryset.model) for queryset in querysets}
    first = step.waiting[0]
    querysets += [
        descriptors.placed_queryset(model, first).using(alias)
        for model in generic.models_of(step.waiting)
        if generic.typed(model) not in given and (alias := options.alias_for(model)) is not None
    ]
    return GenericPrefetch(lookup.prefetch_through, querysets, lookup.to_attr)


def _has_field(model: type[Any], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
