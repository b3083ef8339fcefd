"""
Accessors of the relations that may cross databases.

In the example::

    class Post(Model):                      # lives in "blog"
        author = CrossDBForeignKey(User, related_name="posts", on_delete=CASCADE)

    class Profile(Model):                   # lives in "shop"
        user = CrossDBOneToOneField(User, related_name="profile", on_delete=CASCADE)

where ``User`` lives in "default", there are four accessors:

1. ``post.author``: ``CrossDBForwardManyToOneDescriptor``;
2. ``profile.user``: ``CrossDBForwardOneToOneDescriptor``;
3. ``user.profile``: ``CrossDBReverseOneToOneDescriptor``;
4. ``user.posts``: ``CrossDBReverseManyToOneDescriptor``, whose manager is made by
   ``create_cross_db_manager()``.

They are Django's own, with two differences: they look in the home of the model at the
other end, and they batch by database. They hook in through Django's prefetch and fetch
mode protocols; what a dangling key means is the field's to say (``dangling``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from django.db import models, transaction
from django.db.models.fields import related_descriptors as django_descriptors
from django.utils.functional import cached_property

from xdbrel import placement
from xdbrel.compat import with_fetch_mode_of, with_globals
from xdbrel.fields.fetch import Groups, KeyOf, fetch
from xdbrel.placement import placed_router
from xdbrel.relations import assignments, is_composite


def only_queryset(querysets: Sequence[Any] | None) -> Any:
    if not querysets:
        return None
    if len(querysets) != 1:
        raise ValueError(
            "querysets argument of get_prefetch_querysets() should have a length of 1."
        )
    return querysets[0]


def queryset_to_prefetch(
    querysets: Sequence[Any] | None, own: Callable[[], Any], instances: Sequence[models.Model]
) -> Any:
    """Return what a related manager prefetches: the queryset that it is given, or its own."""
    given = only_queryset(querysets)
    queryset = given if given is not None else own()
    queryset._add_hints(instance=instances[0])
    return queryset


def unsliced(queryset: Any) -> Any:
    """Return a queryset that can be filtered still.

    A Prefetch's own may be sliced, and its rows are there already. Django's has lost its limits
    by now; this one is used again for the next chunk.
    """
    if queryset.query.is_sliced:
        queryset = queryset._chain()
        queryset.query.clear_limits()
    return queryset


def pinned(manager: Any, queryset: Any) -> Any:
    """Return the queryset of a related manager, in the database where its model lives."""
    if manager._db is None and queryset._db is None:
        alias = placement.pin(manager.model, instance=manager.instance)
        if alias is not None:
            return queryset.using(alias)
    return queryset


def placed_queryset(
    model: type[models.Model], instance: models.Model | None
) -> models.QuerySet[Any]:
    """Return every row of ``model`` in the database where those related to it live."""
    hints = {} if instance is None else {"instance": instance}
    # _base_manager: a default manager may hide rows.
    manager = model._base_manager.db_manager(placement.pin(model, instance=instance), hints=hints)
    return with_fetch_mode_of(manager, instance)


def _remember(
    rows: Iterable[models.Model],
    key_of_row: KeyOf,
    instances: Iterable[models.Model],
    key_of_instance: KeyOf,
    way_back: Any,
) -> None:
    """Cache on each row the instance that it was fetched for, under ``way_back``.

    A row whose key no instance spells alike (collations) is nobody's.
    """
    by_key = {key_of_instance(instance): instance for instance in instances}
    for row in rows:
        instance = by_key.get(key_of_row(row))
        if instance is not None:
            way_back.set_cached_value(row, instance)


class CrossDBForwardManyToOneDescriptor(
    django_descriptors.ForwardManyToOneDescriptor  # type: ignore[type-arg]
):
    """
    Accessor to the related object on the forward side of a many-to-one relation.

    In the example, ``Post.author`` is a ``CrossDBForwardManyToOneDescriptor`` instance.
    """

    __set__ = with_globals(
        django_descriptors.ForwardManyToOneDescriptor.__set__, router=placed_router
    )

    def get_queryset(
        self, *, instance: models.Model | None = None, **hints: Any
    ) -> models.QuerySet[Any]:
        return placed_queryset(self.field.remote_field.model, instance)

    def get_prefetch_querysets(
        self, instances: list[Any], querysets: Sequence[Any] | None = None
    ) -> tuple[Any, ...]:
        given = only_queryset(querysets)
        queryset: Any = given if given is not None else self.get_queryset(instance=instances[0])
        queryset._add_hints(instance=instances[0])
        groups = Groups(instances, queryset, given._db if given is not None else None)
        key_of_row, key_of_instance = groups.matching(
            self.field.get_foreign_related_value, self.field.get_local_related_value
        )
        # One row for each key: order means nothing.
        queryset = queryset.all()
        queryset.query.clear_ordering()
        found = fetch(
            queryset, self.field.target_field, groups, self.field.get_local_related_value
        )
        remote_field = self.field.remote_field
        if not remote_field.multiple:
            _remember(found, key_of_row, instances, key_of_instance, remote_field)
        return found, key_of_row, key_of_instance, True, self.field.cache_name, False

    def get_object(self, instance: models.Model) -> Any:
        try:
            return super().get_object(instance)
        except self.field.remote_field.model.DoesNotExist as error:
            raise self.field.dangling_error(instance) from error


class CrossDBForwardOneToOneDescriptor(
    django_descriptors.ForwardOneToOneDescriptor,  # type: ignore[type-arg]
    CrossDBForwardManyToOneDescriptor,
):
    """
    Accessor to the related object on the forward side of a one-to-one relation.

    In the example, ``Profile.user`` is a ``CrossDBForwardOneToOneDescriptor`` instance.
    """


class CrossDBForwardCompositeDescriptor(CrossDBForwardManyToOneDescriptor):
    """
    Accessor to the related object on the forward side of a relation over several columns.

    Had ``Post.author`` of the example been a ``CrossDBCompositeForeignKey``, it would be a
    ``CrossDBForwardCompositeDescriptor`` instance. To take the object away clears the columns
    that may be NULL, and leaves those alone that may belong to another relation as well.
    """

    def __set__(self, instance: models.Model, value: Any) -> None:
        kept: dict[str, Any] = {}
        if value is None:
            cleared = self.field.columns_to_clear
            kept = {
                column.attname: getattr(instance, column.attname)
                for column in self.field.local_related_fields
                if column not in cleared
            }
        super().__set__(instance, value)
        for attname, held in kept.items():
            setattr(instance, attname, held)


class OrNoneMixin:
    """The forward accessor of a field with ``dangling="none"``: a dangling key reads None."""

    field: Any

    def __get__(self, instance: models.Model | None, cls: type | None = None) -> Any:
        try:
            return super().__get__(instance, cls)  # type: ignore[misc]
        except self.field.remote_field.model.DoesNotExist:
            if instance is None or not self.field.has_key(instance):
                raise
            self.field.set_cached_value(instance, None)
            return None


class CrossDBForwardManyToOneOrNoneDescriptor(OrNoneMixin, CrossDBForwardManyToOneDescriptor):
    """``Post.author`` of the example, had it been declared with ``dangling="none"``."""


class CrossDBForwardOneToOneOrNoneDescriptor(OrNoneMixin, CrossDBForwardOneToOneDescriptor):
    """``Profile.user`` of the example, had it been declared with ``dangling="none"``."""


class CrossDBForwardCompositeOrNoneDescriptor(OrNoneMixin, CrossDBForwardCompositeDescriptor):
    """The same, declared with ``dangling="none"``."""


class CrossDBReverseOneToOneDescriptor(
    django_descriptors.ReverseOneToOneDescriptor  # type: ignore[type-arg]
):
    """
    Accessor to the related object on the reverse side of a one-to-one relation.

    In the example, ``User.profile`` is a ``CrossDBReverseOneToOneDescriptor`` instance.
    """

    __set__ = with_globals(
        django_descriptors.ReverseOneToOneDescriptor.__set__, router=placed_router
    )

    def get_queryset(
        self, *, instance: models.Model | None = None, **hints: Any
    ) -> models.QuerySet[Any]:
        return placed_queryset(self.related.related_model, instance)

    def get_prefetch_querysets(
        self, instances: list[Any], querysets: Sequence[Any] | None = None
    ) -> tuple[Any, ...]:
        given = only_queryset(querysets)
        queryset: Any = given if given is not None else self.get_queryset(instance=instances[0])
        queryset._add_hints(instance=instances[0])
        field = self.related.field
        groups = Groups(instances, queryset, given._db if given is not None else None)
        key_of_row, key_of_instance = groups.matching(
            field.get_local_related_value, field.get_foreign_related_value
        )
        queryset = queryset.all()
        queryset.query.clear_ordering()
        found = fetch(queryset, field, groups, field.get_foreign_related_value)
        _remember(found, key_of_row, instances, key_of_instance, field)
        return found, key_of_row, key_of_instance, True, self.related.cache_name, False


class CrossDBReverseManyToOneDescriptor(
    django_descriptors.ReverseManyToOneDescriptor  # type: ignore[type-arg]
):
    """
    Accessor to the related objects manager on the reverse side of a many-to-one relation.

    In the example, ``User.posts`` is a ``CrossDBReverseManyToOneDescriptor`` instance.
    """

    @cached_property
    def related_manager_cls(self) -> type[Any]:
        return create_cross_db_manager(self.rel.related_model._default_manager.__class__, self.rel)


def _window_over(columns: Sequence[str], expression: Any, **options: Any) -> models.Window:
    """Return the window that the options ask for, parted by several columns instead."""
    return models.Window(expression, **{**options, "partition_by": list(map(models.F, columns))})


def create_cross_db_manager(superclass: Any, rel: Any) -> type[Any]:
    """
    Create a manager for the reverse side of a many-to-one relation.

    It is Django's, made by Django's own function, with a router that knows where the
    sources live when no router of the project speaks.
    """
    base: Any = _create_manager(superclass, rel)

    class CrossDBRelatedManager(base):  # type: ignore[misc]
        def _apply_rel_filters(self, queryset: Any) -> models.QuerySet[Any]:
            placed = pinned(self, unsliced(queryset))
            filtered: models.QuerySet[Any] = super()._apply_rel_filters(placed)
            return filtered

        def get_prefetch_querysets(
            self, instances: list[Any], querysets: Sequence[Any] | None = None
        ) -> tuple[Any, ...]:
            queryset = queryset_to_prefetch(querysets, super(base, self).get_queryset, instances)
            field = self.field
            groups = Groups(instances, queryset, queryset._db or self._db)
            key_of_row, key_of_instance = groups.matching(
                field.get_local_related_value, field.get_foreign_related_value
            )
            found = fetch(
                queryset,
                field,
                groups,
                field.get_foreign_related_value,
                narrow=self._window if queryset.query.is_sliced else None,
            )
            _remember(
                [row for row in found if not field.is_cached(row)],
                key_of_row,
                instances,
                key_of_instance,
                field,
            )
            cache_name = field.remote_field.cache_name
            return found, key_of_row, key_of_instance, False, cache_name, False

        if is_composite(rel.field):
            # No UPDATE can name the relation: it has no column.

            def add(self, *objs: Any, bulk: bool = True) -> None:
                if not bulk:
                    super().add(*objs, bulk=False)
                    return
                self._check_fk_val()
                self._remove_prefetched_objects()
                alias = placed_router.db_for_write(self.model, instance=self.instance)
                for obj in objs:
                    if not isinstance(obj, self.model):
                        raise TypeError(
                            f"{self.model._meta.object_name!r} instance expected, got {obj!r}"
                        )
                    if obj._state.adding or obj._state.db != alias:
                        raise ValueError(
                            f"{obj!r} instance isn't saved. Use bulk=False or save the object "
                            f"first."
                        )
                    setattr(obj, self.field.name, self.instance)
                rows = self.model._base_manager.using(alias)
                rows.filter(pk__in={obj.pk for obj in objs}).update(
                    **assignments(self.field, self.field.get_foreign_related_value(self.instance))
                )

            add.alters_data = True  # type: ignore[attr-defined]

            def _clear(self, queryset: Any, bulk: bool) -> None:
                self._remove_prefetched_objects()
                alias = placed_router.db_for_write(self.model, instance=self.instance)
                queryset = queryset.using(alias)
                if bulk:
                    queryset.update(**assignments(self.field, None))
                    return
                with transaction.atomic(using=alias, savepoint=False):
                    for obj in queryset:
                        setattr(obj, self.field.name, None)
                        obj.save(
                            update_fields=[column.name for column in self.field.columns_to_clear]
                        )

        def _window(
            self, queryset: Any, instances: Sequence[models.Model]
        ) -> models.QuerySet[Any]:
            """Slice per instance, as Django does: by a window over each one's rows."""
            narrow = django_descriptors._filter_prefetch_queryset  # type: ignore[attr-defined]
            if is_composite(self.field):
                # Django's names the relation there, which has no column.
                columns = [column.attname for column in self.field.local_related_fields]
                narrow = with_globals(narrow, Window=partial(_window_over, columns))
            narrowed: models.QuerySet[Any] = narrow(queryset._chain(), self.field.name, instances)
            return narrowed

    return CrossDBRelatedManager


_create_manager = with_globals(
    django_descriptors.create_reverse_many_to_one_manager,
    router=placed_router,
    create_reverse_many_to_one_manager=create_cross_db_manager,
)
