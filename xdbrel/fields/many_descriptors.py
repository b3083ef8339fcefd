"""
Accessors of many-to-many relations that may cross databases.

In the example::

    class Post(Model):                      # lives in "blog"
        fans = CrossDBManyToManyField(User, related_name="favourites")

where ``User`` lives in "default", ``post.fans`` and ``user.favourites`` are
``CrossDBManyToManyDescriptor`` instances, whose managers are made by
``create_cross_db_many_manager()``. These are Django's own, with these differences: rows in
between are read and written where they live, and objects where they do; prefetching groups
the instances by database and takes them in chunks; added keys are verified where the field
says so. What joins the two databases in their querysets is ``xdbrel.query``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import F
from django.db.models.fields import related_descriptors as django_descriptors
from django.utils.functional import cached_property

from xdbrel import keys, placement
from xdbrel.caching import uncached
from xdbrel.compat import with_globals
from xdbrel.fields.descriptors import pinned, queryset_to_prefetch, unsliced
from xdbrel.fields.fetch import Groups, fetch
from xdbrel.fields.verify import is_known, known_to_exist, verify_keys
from xdbrel.placement import PlacedRouter


class CrossDBManyToManyDescriptor(
    django_descriptors.ManyToManyDescriptor  # type: ignore[type-arg]
):
    """
    Accessor to the related objects manager on either side of a many-to-many relation.

    In the example, ``Post.fans`` and ``User.favourites`` are such instances.
    """

    @cached_property
    def related_manager_cls(self) -> type[Any]:
        related: Any = self.rel.related_model if self.reverse else self.rel.model
        return create_cross_db_many_manager(
            related._default_manager.__class__, self.rel, reverse=self.reverse
        )


class _Router(PlacedRouter):
    """The router of one manager: what ``create()`` makes is written where its model lives.

    Django asks for the database of the instance, in which it creates the new object as well.
    """

    def __init__(self, through: type[models.Model], model: type[models.Model]) -> None:
        self.through = through
        self.model = model

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return super().db_for_write(self.through if model is self.through else self.model, **hints)


def create_cross_db_many_manager(superclass: Any, rel: Any, reverse: bool) -> type[Any]:
    """
    Create a manager for either side of a many-to-many relation.

    It is Django's, made by Django's own function, with a router that knows where rows in
    between and objects live when no router of the project speaks.
    """
    create: Any = with_globals(
        django_descriptors.create_forward_many_to_many_manager,
        router=_Router(rel.through, rel.related_model if reverse else rel.model),
        create_forward_many_to_many_manager=create_cross_db_many_manager,
    )
    base: Any = create(superclass, rel, reverse)

    class CrossDBManyRelatedManager(base):  # type: ignore[misc]
        _sets = False

        @property
        def _objects_home(self) -> str:
            return placement.home(self.model, instance=self.instance)

        def using(self, alias: str | None) -> models.QuerySet[Any]:
            if self._sets:
                # What set() compares with: it names the database of the rows in between.
                alias = self._objects_home
            queryset: models.QuerySet[Any] = super().using(alias)
            return queryset

        def _apply_rel_filters(self, queryset: Any) -> models.QuerySet[Any]:
            placed = pinned(self, unsliced(queryset))
            filtered: models.QuerySet[Any] = super()._apply_rel_filters(placed)
            return filtered

        def get_prefetch_querysets(
            self, instances: list[Any], querysets: Sequence[Any] | None = None
        ) -> tuple[Any, ...]:
            queryset = queryset_to_prefetch(querysets, super(base, self).get_queryset, instances)
            key = self.source_field
            attributes = [
                f"_prefetch_related_val_{one.attname}" for one in key.local_related_fields
            ]
            groups = Groups(instances, queryset, queryset._db or self._db)
            key_of_row, key_of_instance = groups.matching(
                lambda row: tuple(getattr(row, attribute) for attribute in attributes),
                key.get_foreign_related_value,
            )
            found = fetch(
                queryset,
                key,
                groups,
                key.get_foreign_related_value,
                narrow=lambda rows, some: self._of_instances(rows, some, attributes),
            )
            return found, key_of_row, key_of_instance, False, self.prefetch_cache_name, False

        def _of_instances(
            self, queryset: Any, instances: Sequence[models.Model], attributes: Sequence[str]
        ) -> models.QuerySet[Any]:
            """Return the rows of ``instances``, each with the key of the one that it is for."""
            narrowed: Any = django_descriptors._filter_prefetch_queryset(  # type: ignore[attr-defined]
                queryset._chain(), self.query_field_name, instances
            )
            query = narrowed.query
            # The join that the condition uses, as it uses those that were there before.
            joined = query.setup_joins(
                [self.query_field_name], query.get_meta(), query.get_initial_alias()
            ).joins
            table = self.source_field.model._meta.db_table
            (between,) = [one for one in joined if query.alias_map[one].table_name == table]
            for alias in joined:
                query.unref_alias(alias)
            columns = self.source_field.local_related_fields
            for column, attribute in zip(columns, attributes, strict=True):
                query.add_annotation(column.get_col(between), attribute)
            return narrowed  # type: ignore[no-any-return]

        def _build_remove_filters(self, removed_vals: Any) -> Any:
            """Let the database of the objects say which of them a manager's filters leave."""
            if isinstance(removed_vals, models.QuerySet) and removed_vals._has_filters():  # type: ignore[attr-defined]
                between, home = removed_vals.db, self._objects_home
                if not placement.same_home(between, home):
                    removed_vals = self._linked_among(removed_vals.using(home), between)
            return super()._build_remove_filters(removed_vals)

        def _linked_among(self, queryset: Any, between: str) -> set[Any]:
            """Return the keys of those in ``queryset`` that are linked with the instance."""
            key = self.target_field
            column = key.target_field
            rows = self.through._default_manager.using(between)
            found: set[Any] = set()
            with uncached():
                linked = rows.filter(
                    models.Q.create([(self.source_field_name, self.related_val)])
                ).values_list(key.attname, flat=True)
                size = keys.chunk_size(queryset.db, column)
                for chunk in keys.chunks(list(linked), size):
                    kept = queryset.filter(keys.KeyIn(F(column.attname), chunk))
                    found.update(kept.values_list(column.attname, flat=True))
            return found

        def _add_items(
            self, source_field_name: str, target_field_name: str, *objs: Any, **kwargs: Any
        ) -> None:
            found: tuple[Any, ...] = ()
            if rel.field.verify and objs and not is_known(self.target_field):
                found = (self.source_field, self.target_field)
                # The mirrored rows of a symmetrical relation have the same keys once more.
                if source_field_name == self.source_field_name:
                    added = self._get_target_ids(target_field_name, objs)
                    between = placement.home(self.through, instance=self.instance)
                    verify_keys(self.target_field, added, using=between)
            with uncached(), known_to_exist(*found):
                super()._add_items(source_field_name, target_field_name, *objs, **kwargs)

    for name in ("set", "set_base"):
        if hasattr(base, name):
            setattr(CrossDBManyRelatedManager, name, _comparing_at_home(base, name))
    return CrossDBManyRelatedManager


def _comparing_at_home(base: Any, name: str) -> Any:
    django_method = getattr(base, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = self._sets
        self._sets = True
        try:
            with uncached():
                return django_method(self, *args, **kwargs)
        finally:
            self._sets = before

    method.__name__ = name
    method.__doc__ = django_method.__doc__
    method.alters_data = True  # type: ignore[attr-defined]
    return method
