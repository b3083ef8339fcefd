"""The manager of a generic relation's reverse side: that of ``thing.notes`` in the example.

Owns which database it reads and writes, by which content type, and how it prefetches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.contenttypes import fields as django_generic

from xdbrel import content_types, placement
from xdbrel.compat import with_globals
from xdbrel.content_types import TypeId
from xdbrel.fields.descriptors import queryset_to_prefetch
from xdbrel.fields.fetch import Groups, fetch
from xdbrel.fields.generic.key import as_key_of
from xdbrel.placement import placed_router


class _NoTypes:
    """Stands in for ``ContentType`` where Django's manager asks for that of the target's alias."""

    objects: _NoTypes
    id = None

    def db_manager(self, using: str | None) -> _NoTypes:
        return self

    def get_for_model(self, target: Any, for_concrete_model: bool = True) -> _NoTypes:
        return self


_NO_TYPES = _NoTypes.objects = _NoTypes()


def create_generic_manager(superclass: Any, rel: Any) -> type[Any]:
    """Create a manager for the reverse side of a generic relation.

    It is Django's, made by Django's own function, with a router that knows where the
    sources live when no router of the project speaks.
    """
    make = with_globals(
        django_generic.create_generic_related_manager,
        router=placed_router,
        ContentType=_NO_TYPES,
        create_generic_related_manager=create_generic_manager,
    )
    base: Any = make(superclass, rel)

    class CrossDBGenericRelatedManager(base):  # type: ignore[misc]
        def __init__(self, instance: Any = None) -> None:
            super().__init__(instance)
            # Which database it is asked in, using() may still say.
            self.core_filters[f"{self.content_type_field_name}__pk"] = self._type_id(instance)

        @property
        def content_type(self) -> Any:
            """The content type that sources of the instance name at their home.

            Asked for when something is written: the accessor alone makes no query.
            """
            if "core_filters" not in vars(self):
                return _NO_TYPES
            source = placement.home(self.model, instance=self.instance)
            alias = content_types.alias_for(self._type_field, source)
            concrete = rel.field.for_concrete_model
            return content_types.of_model(self.instance, alias, concrete=concrete)

        @content_type.setter
        def content_type(self, value: Any) -> None:
            """Do nothing with what Django's manager has found."""

        @property
        def _type_field(self) -> Any:
            return self.model._meta.get_field(self.content_type_field_name)

        def _type_id(self, target: Any) -> TypeId:
            concrete = rel.field.for_concrete_model
            return TypeId(self._type_field, content_types.typed(target, concrete=concrete))

        def get_prefetch_querysets(
            self, instances: list[Any], querysets: Sequence[Any] | None = None
        ) -> tuple[Any, ...]:
            queryset = queryset_to_prefetch(querysets, super(base, self).get_queryset, instances)
            pinned = queryset._db or self._db
            column = self.model._meta.get_field(self.object_id_field_name)
            pk = instances[0]._meta.pk
            by_type: dict[TypeId, list[Any]] = {}
            for instance in instances:
                by_type.setdefault(self._type_id(instance), []).append(instance)
            rows: list[Any] = []
            type_of_row: dict[int, TypeId] = {}
            matching: dict[TypeId, Any] = {}
            generic = rel.field.generic
            for type_id, members in by_type.items():
                part = queryset.filter(**{f"{self.content_type_field_name}__pk": type_id})
                groups = Groups(members, part, pinned)
                matching[type_id] = groups.matching(
                    lambda row: (as_key_of(pk, getattr(row, column.attname)),),
                    lambda instance: (instance.pk,),
                )
                found = fetch(
                    part, column, groups, lambda instance: (as_key_of(column, instance.pk),)
                )
                type_of_row.update((id(row), type_id) for row in found)
                rows.extend(found)
                if generic is not None:
                    key_of_row, key_of_instance = matching[type_id]
                    owners = {key_of_instance(instance): instance for instance in members}
                    for row in found:
                        owner = owners.get(key_of_row(row))
                        if owner is not None and not generic.is_cached(row):
                            generic.set_cached_value(row, owner)
            result = queryset.all()
            result._result_cache = rows

            def key_of_row_of_any_type(row: Any) -> Any:
                type_id = type_of_row[id(row)]
                return type_id, *matching[type_id][0](row)

            def key_of_instance_of_any_type(instance: Any) -> Any:
                type_id = self._type_id(instance)
                return type_id, *matching[type_id][1](instance)

            return (
                result,
                key_of_row_of_any_type,
                key_of_instance_of_any_type,
                False,
                self.prefetch_cache_name,
                False,
            )

    return CrossDBGenericRelatedManager
