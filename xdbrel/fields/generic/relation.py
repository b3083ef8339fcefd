"""The reverse side of a generic relation: ``Thing.notes`` of the example.

Owns how queries join it, and what a delete finds by it. Its manager is in ``manager``.
"""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.fields import (
    GenericRel,
    GenericRelation,
    ReverseGenericManyToOneDescriptor,
)
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.fields.related import lazy_related_operation
from django.db.models.lookups import Exact, In
from django.db.models.sql.where import AND, WhereNode
from django.utils.functional import cached_property

from xdbrel import content_types, placement
from xdbrel.content_types import TypeId
from xdbrel.fields.generic.key import ReverseKey, name_of
from xdbrel.fields.generic.manager import create_generic_manager
from xdbrel.fields.on_delete import CrossDBOnDelete
from xdbrel.keys import key_field


class CrossDBGenericRel(GenericRel):
    """What ``CrossDBGenericRelation`` knows of its other end."""

    @property
    def attname(self) -> str:
        """The name by which queries find the way from source to target; see ``GenericKey``."""
        field: Any = self.field
        return name_of(field.generic.name if field.generic else "", field.typed_model)


class CrossDBGenericRelation(GenericRelation):
    """The reverse of a ``CrossDBGenericForeignKey``, on a model in any database.

    Takes what ``GenericRelation`` takes. Deleting an object deletes those that are related to
    it, in their own database, as ``on_delete=CASCADE`` of a ``CrossDBForeignKey`` does.
    """

    rel_class = CrossDBGenericRel

    def contribute_to_class(  # type: ignore[override]
        self, cls: type[models.Model], name: str, **kwargs: Any
    ) -> None:
        super().contribute_to_class(cls, name, **kwargs)
        rel: Any = self.remote_field
        setattr(cls, self.name, CrossDBReverseGenericManyToOneDescriptor(rel))
        if not cls._meta.abstract:
            lazy_related_operation(declare, cls, self.remote_field.model, field=self)

    def deconstruct(self) -> Any:
        target = self.remote_field.model
        kwargs: dict[str, Any] = {"to": target if isinstance(target, str) else target._meta.label}
        if self.object_id_field_name != "object_id":
            kwargs["object_id_field"] = self.object_id_field_name
        if self.content_type_field_name != "content_type":
            kwargs["content_type_field"] = self.content_type_field_name
        if not self.for_concrete_model:
            kwargs["for_concrete_model"] = False
        if self.remote_field.related_query_name:
            kwargs["related_query_name"] = self.remote_field.related_query_name
        if self.remote_field.limit_choices_to:
            kwargs["limit_choices_to"] = self.remote_field.limit_choices_to
        return self.name, f"xdbrel.{type(self).__name__}", [], kwargs

    @property
    def generic(self) -> Any:
        """The generic foreign key of the model at the other end; None where it has none."""
        source: Any = self.remote_field.model
        if isinstance(source, str):
            return None
        for field in source._meta.private_fields:
            if self._is_matching_generic_foreign_key(field):  # type: ignore[attr-defined]
                return field
        return None

    @property
    def typed_model(self) -> type[models.Model]:
        """The model whose content type the related rows name."""
        return content_types.typed(self.model, concrete=self.for_concrete_model)

    @property
    def type_id(self) -> TypeId:
        """The expression for the content type that the related rows name."""
        field = self.remote_field.model._meta.get_field(self.content_type_field_name)
        return TypeId(field, self.typed_model)

    @property
    def is_followed_elsewhere(self) -> bool:
        """Whether deleting an object is followed in another database."""
        generic = self.generic
        if not getattr(generic, "crosses_generically", False):
            return False
        key = generic.key_to(self.typed_model)
        return isinstance(key.remote_field.on_delete, CrossDBOnDelete)

    def get_content_type(self) -> Any:
        """Return the content type of this field's model that rows at home name."""
        field: Any = self.remote_field.model._meta.get_field(self.content_type_field_name)
        return content_types.of_model(
            self.typed_model, content_types.alias_for(field, None), concrete=False
        )

    def get_extra_restriction(self, alias: str | None, remote_alias: str | None) -> WhereNode:
        field: Any = self.remote_field.model._meta.get_field(self.content_type_field_name)
        lookup = field.get_lookup("exact")(field.get_col(remote_alias), self.type_id)
        return WhereNode([lookup], connector=AND)

    def bulk_related_objects(self, objs: Any, using: str = DEFAULT_DB_ALIAS) -> Any:
        """Return what is related to ``objs`` in the database ``using``, for Django to delete.

        What is related elsewhere follows by an intent, as that of any crossing relation.
        """
        source = self.remote_field.model
        if not placement.same_home(placement.home(source, instance=next(iter(objs), None)), using):
            return []
        return source._base_manager.db_manager(using).filter(
            **{
                f"{self.content_type_field_name}__pk": self.type_id.at(using),
                f"{self.object_id_field_name}__in": [obj.pk for obj in objs],
            }
        )


class _TargetLookup:
    """Compares objects, or keys, with the target's primary key.

    Django takes both for what the *source's* primary key is named and is able to hold.
    """

    def __init__(self, lhs: Any, rhs: Any) -> None:
        lhs = lhs.target.get_col(lhs.alias, key_field(lhs.target))
        if isinstance(rhs, models.Model):
            rhs = rhs.pk
        elif isinstance(rhs, (list, tuple, set, frozenset)):
            rhs = [value.pk if isinstance(value, models.Model) else value for value in rhs]
        super().__init__(lhs, rhs)  # type: ignore[call-arg]


@CrossDBGenericRelation.register_lookup
class TargetExact(_TargetLookup, Exact):
    """``Note.objects.filter(thing=thing)``, by its ``related_query_name``."""


@CrossDBGenericRelation.register_lookup
class TargetIn(_TargetLookup, In):
    """``Note.objects.filter(thing__in=[thing])``, by its ``related_query_name``."""


class CrossDBReverseGenericManyToOneDescriptor(ReverseGenericManyToOneDescriptor):
    """
    Accessor to the manager of the objects that are related by a generic relation.

    In the example, ``Thing.notes`` is a ``CrossDBReverseGenericManyToOneDescriptor`` instance.
    """

    @cached_property
    def related_manager_cls(self) -> type[Any]:
        return create_generic_manager(self.rel.model._default_manager.__class__, self.rel)


def declare(model: Any, source: Any, field: CrossDBGenericRelation) -> None:
    """Let deletes of ``model`` follow the relation, once both models are known."""
    generic = field.generic
    if not getattr(generic, "crosses_generically", False):
        return
    # A row of a multi-table child takes its parent's along, and so what was said of that.
    for declared in (model, *model._meta.all_parents):
        if declared is not model and not _declares(declared, field):
            continue
        key = generic.declare(content_types.typed(declared, concrete=field.for_concrete_model))
        if all(getattr(known, "field", None) is not key for known in model._meta.private_fields):
            model._meta.private_fields.append(ReverseKey(declared, key))
    model._meta._expire_cache()


def _declares(parent: Any, field: CrossDBGenericRelation) -> bool:
    return any(
        isinstance(known, CrossDBGenericRelation)
        and known.name == field.name
        and known.remote_field.model is field.remote_field.model
        for known in parent._meta.private_fields
    )
