"""The querysets that related managers keep their prefetched rows in.

Django makes a manager, a queryset and a filter for every instance, which is most of
what a reverse prefetch costs it. They differ in the instance alone, so one is made for
each database that instances come from, and the others are copies of it.

This leans on how a related manager prepares its queryset: the filter on the instance is
kept in ``_deferred_filter`` until the query is looked at. ``_shared()`` compares, and
where that does not hold, because a manager does something of its own or Django has
changed, each instance's manager is asked, as Django does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models
from django.db.models.manager import BaseManager

from xdbrel.prefetch.links import default_manager_class


def keep(
    instances: Iterable[models.Model],
    keys: Iterable[Any],
    rows: Mapping[Any, list[Any]],
    accessor: str,
    field: models.ForeignKey[Any, Any],
    given: models.QuerySet[Any] | None,
) -> None:
    """Put ``rows[key]`` where the manager ``accessor`` of each instance looks for them.

    ``field`` is the foreign key of the rows, ``given`` the queryset of a ``Prefetch``.
    """
    alike = given is not None or (
        default_manager_class(field.remote_field).get_queryset is BaseManager.get_queryset
    )
    templates: dict[str | None, dict[str, Any] | None] = {}
    name, cache_name = field.name, field.remote_field.cache_name
    for instance, key in zip(instances, keys, strict=True):
        origin = instance._state.db
        if key is None:
            shared = None
        elif origin in templates:
            shared = templates[origin]
        else:
            shared = _shared(_queryset_of(instance, accessor, given), instance, key, field)
            templates[origin] = shared = shared if alike else None
        if shared is None:
            queryset = _queryset_of(instance, accessor, given)
        else:
            # Copying __dict__ is what _clone() comes to: class and attributes.
            queryset = object.__new__(shared["class"])
            queryset.__dict__ = {
                **shared["state"],
                "_query": shared["query"].clone(),
                "_hints": {**shared["hints"], "instance": instance},
                "_deferred_filter": (False, (), {name: instance}),
                "_known_related_objects": {field: {key: instance}},
            }
            if shared["has_mode"]:
                queryset._fetch_mode = instance._state.fetch_mode
        queryset._result_cache = rows.get(key, [])
        # What the rows prefetch themselves is part of the work at hand.
        queryset._prefetch_done = True
        instance.__dict__.setdefault("_prefetched_objects_cache", {})[cache_name] = queryset


def _queryset_of(instance: Any, accessor: str, given: Any) -> Any:
    manager = getattr(instance, accessor)
    if given is not None:
        return manager._apply_rel_filters(given._chain())
    return manager.get_queryset()


def _shared(
    queryset: Any, instance: models.Model, key: Any, field: models.ForeignKey[Any, Any]
) -> dict[str, Any] | None:
    """Return what the querysets of other instances share with this one's, if it is plain."""
    state = queryset.__dict__
    if (
        state.get("_deferred_filter") != (False, (), {field.name: instance})
        or state.get("_known_related_objects") != {field: {key: instance}}
        or state.get("_hints", {}).get("instance") is not instance
        or state.get("_result_cache") is not None
    ):
        return None
    return {
        "class": type(queryset),
        "state": state,
        "query": queryset._query,
        "hints": queryset._hints,
        "has_mode": "_fetch_mode" in state,
    }
