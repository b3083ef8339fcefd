"""
Accessors of fields with ``masked=True``: sources of a deleted target are not shown.

Inside one database such sources are never seen: they go in the transaction that deletes
their target. Here some time passes until their cascade has been applied. In the example of
``descriptors``, had both fields been declared with ``masked=True``:

1. ``post.author``: ``MaskedForwardManyToOneDescriptor``;
2. ``profile.user``: ``MaskedForwardOneToOneDescriptor``;
3. ``user.profile``: ``MaskedReverseOneToOneDescriptor``;
4. ``user.posts``: ``MaskedReverseManyToOneDescriptor``.

Whether a target lives is asked in its home, past every cache: when a queryset of a reverse
manager is made, and when something that was fetched before is accessed. Prefetching asks once
for its whole batch, and what it has found is believed afterwards. Nothing is asked where
both ends share a home, and of a target that has not been saved yet.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import models
from django.db.models import F
from django.utils.functional import cached_property

from xdbrel import keys, placement
from xdbrel.caching import uncached
from xdbrel.compat import with_fetch_mode_of
from xdbrel.fields import descriptors
from xdbrel.fields.fetch import Groups

_LOOK = "xdbrel_look"
_FOUND = "xdbrel_found"


class Look:
    """A target was looked for by what is going on, as long as ``during`` is in use.

    Kept with the instance, which may be copied or pickled: a copy of a look is over.
    """

    def __init__(self, during: Any = None) -> None:
        self._during = None if during is None else weakref.ref(during)

    def is_on(self) -> bool:
        return self._during is not None and self._during() is not None

    def __reduce__(self) -> tuple[Any, ...]:
        return Look, ()


def living(field: Any, targets: Iterable[models.Model]) -> list[Any]:
    """Return those of ``targets`` that are not deleted, by one statement for each home and chunk.

    ``field`` is the relation that points at them.
    """
    targets = list(targets)
    column = field.target_field
    rows = field.remote_field.model._base_manager.all()
    rows._for_write = True
    groups = Groups(targets, rows)
    found: set[tuple[str, Any]] = set()
    left: set[int] = set()
    for alias, members in groups.by_alias.items():
        wanted: dict[Any, None] = {}
        for target in members:
            key = getattr(target, column.attname)
            if key is None or target._state.adding or not _crosses(field, target, alias):
                left.add(id(target))
            else:
                wanted[key] = None
        with uncached():
            for chunk in keys.chunks(wanted, keys.chunk_size(alias, column)):
                there = rows.using(alias).filter(keys.KeyIn(F(column.attname), chunk))
                found.update((alias, key) for key in there.values_list(column.attname, flat=True))
        left.update(
            id(target) for target in members if (alias, getattr(target, column.attname)) in found
        )
    return [target for target in targets if id(target) in left]


def _crosses(field: Any, target: models.Model, alias: str) -> bool:
    return not placement.same_home(placement.home(field.model, instance=target), alias)


def _is_looked_for(target: models.Model) -> bool:
    look = vars(target._state).get(_LOOK)
    return look is not None and look.is_on()


def _lives(field: Any, target: models.Model) -> bool:
    return _is_looked_for(target) or bool(living(field, [target]))


def _note_look(targets: Iterable[models.Model], during: Any) -> None:
    look = Look(during)
    for target in targets:
        setattr(target._state, _LOOK, look)


def _believe(rows: Iterable[models.Model]) -> None:
    for row in rows:
        setattr(row._state, _FOUND, True)


class MaskedForwardMixin:
    """Reads in the target's home, and looks again for what was fetched before."""

    field: Any

    def __get__(self, instance: models.Model | None, cls: type | None = None) -> Any:
        if instance is not None:
            held = self.field.get_cached_value(instance, default=None)
            if held is not None and not self._is_there(instance, held):
                self.field.set_cached_value(instance, None)
        return super().__get__(instance, cls)  # type: ignore[misc]

    def _is_there(self, instance: models.Model, held: models.Model) -> bool:
        field = self.field
        (key,) = field.get_local_related_value(instance)
        if key is None or held._state.adding:
            return True
        if vars(held._state).get(_FOUND) and field.get_foreign_related_value(held) == (key,):
            return True
        target, column = field.remote_field.model, field.target_field
        alias = placement.home(target, instance=instance)
        if placement.same_home(instance._state.db or placement.home(field.model), alias):
            return True
        with uncached():
            rows = target._base_manager.using(alias)
            return bool(rows.filter(keys.KeyIn(F(column.attname), [key])).exists())

    def get_queryset(
        self, *, instance: models.Model | None = None, **hints: Any
    ) -> models.QuerySet[Any]:
        target = self.field.remote_field.model
        given = {} if instance is None else {"instance": instance}
        alias = placement.home(target, instance=instance)
        rows = with_fetch_mode_of(target._base_manager.db_manager(alias, hints=given), instance)
        # Prefetching, too, is to read where targets are written.
        rows._for_write = True  # type: ignore[attr-defined]
        return rows

    def get_object(self, instance: models.Model) -> Any:
        with uncached():
            return super().get_object(instance)  # type: ignore[misc]

    def get_prefetch_querysets(
        self, instances: list[Any], querysets: Sequence[Any] | None = None
    ) -> tuple[Any, ...]:
        pinned = False
        if querysets:
            pinned = querysets[0]._db is not None
            querysets = [queryset._chain() for queryset in querysets]
            for queryset in querysets:
                queryset._for_write = True
        with uncached():
            found, *rest = super().get_prefetch_querysets(instances, querysets)  # type: ignore[misc]
            if pinned:
                # Perhaps to a replica.
                found._result_cache = living(self.field, found)
        _believe(found)
        return found, *rest


class MaskedForwardManyToOneDescriptor(
    MaskedForwardMixin, descriptors.CrossDBForwardManyToOneDescriptor
):
    """``Post.author`` of the example."""


class MaskedForwardOneToOneDescriptor(
    MaskedForwardMixin, descriptors.CrossDBForwardOneToOneDescriptor
):
    """``Profile.user`` of the example."""


class MaskedForwardManyToOneOrNoneDescriptor(
    descriptors.OrNoneMixin, MaskedForwardManyToOneDescriptor
):
    """``Post.author`` of the example, with ``dangling="none"`` besides."""


class MaskedForwardOneToOneOrNoneDescriptor(
    descriptors.OrNoneMixin, MaskedForwardOneToOneDescriptor
):
    """``Profile.user`` of the example, with ``dangling="none"`` besides."""


class MaskedReverseOneToOneDescriptor(descriptors.CrossDBReverseOneToOneDescriptor):
    """``User.profile`` of the example."""

    def __get__(self, instance: Any, cls: type | None = None) -> Any:
        if instance is not None:
            held = self.related.get_cached_value(instance, default=None)
            if (
                held is not None
                and not vars(held._state).get(_FOUND)
                and not _lives(self.related.field, instance)
            ):
                self.related.set_cached_value(instance, None)
        return super().__get__(instance, cls)

    def get_queryset(
        self, *, instance: models.Model | None = None, **hints: Any
    ) -> models.QuerySet[Any]:
        queryset = super().get_queryset(instance=instance, **hints)
        if instance is not None and not _lives(self.related.field, instance):
            return queryset.none()
        return queryset

    def get_prefetch_querysets(
        self, instances: list[Any], querysets: Sequence[Any] | None = None
    ) -> tuple[Any, ...]:
        there = living(self.related.field, instances)
        batch = Batch()
        _note_look(there or instances, batch)
        found, *rest = _of_the_living(super().get_prefetch_querysets, there, instances, querysets)
        _believe(found)
        return found, *rest


class MaskedReverseManyToOneDescriptor(descriptors.CrossDBReverseManyToOneDescriptor):
    """``User.posts`` of the example, whose manager is made by ``create_masked_manager()``."""

    @cached_property
    def related_manager_cls(self) -> type[Any]:
        return create_masked_manager(self.rel.related_model._default_manager.__class__, self.rel)


def create_masked_manager(superclass: Any, rel: Any) -> type[Any]:
    """Create a manager like that of ``descriptors``, which shows nothing of a deleted target.

    What writes sees them all, so that it does what it does without masking.
    """
    base: Any = descriptors.create_cross_db_manager(superclass, rel)

    class MaskedRelatedManager(base):  # type: ignore[misc]
        _shows_all = False

        def _apply_rel_filters(self, queryset: Any) -> models.QuerySet[Any]:
            filtered: models.QuerySet[Any] = super()._apply_rel_filters(queryset)
            if self._shows_all or _lives(self.field, self.instance):
                return filtered
            return filtered.none()

        def get_prefetch_querysets(
            self, instances: list[Any], querysets: Sequence[Any] | None = None
        ) -> tuple[Any, ...]:
            there = living(self.field, instances)
            found, *rest = _of_the_living(
                super().get_prefetch_querysets, there, instances, querysets
            )
            # Django goes on to ask the manager of each instance for its queryset, and holds
            # what was found meanwhile.
            _note_look(instances, found)
            return found, *rest

    for name in ("create", "get_or_create", "update_or_create", "remove", "clear", "set"):
        if hasattr(base, name):
            setattr(MaskedRelatedManager, name, _showing_all(base, name))
    return MaskedRelatedManager


class Batch:
    """What a look lasts for, where nothing else does."""


class _Gone:
    """The key, while prefetching, of an instance that nothing is to be found for."""


def _of_the_living(
    get: Callable[..., tuple[Any, ...]],
    there: list[Any],
    instances: list[Any],
    querysets: Sequence[Any] | None,
) -> tuple[Any, ...]:
    """Return what ``get`` does, with nothing found for those who are not ``there``."""
    found, key_of_row, key_of_instance, *rest = get(there or instances, querysets)
    if not there:
        found = found.none()
    is_there = {id(instance) for instance in there}

    def key(instance: Any) -> Any:
        return key_of_instance(instance) if id(instance) in is_there else _Gone

    return found, key_of_row, key, *rest


def _showing_all(base: Any, name: str) -> Any:
    django_method = getattr(base, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = self._shows_all
        self._shows_all = True
        try:
            return django_method(self, *args, **kwargs)
        finally:
            self._shows_all = before

    method.__name__ = name
    method.__doc__ = django_method.__doc__
    method.alters_data = True  # type: ignore[attr-defined]
    return method
