"""Generic relations, adopted: ``taggit.TaggedItem.content_object``.

The forward side is what is named. Every ``GenericRelation`` that leads to it is adopted along
with it, in whichever app: what one of them would leave behind when its object is deleted,
nobody else would look for. The content type is a foreign key, with a handle of its own.

Importing this module needs django.contrib.contenttypes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.db import models

from xdbrel.fields.generic.foreign_key import (
    CrossDBGenericForeignKey,
    CrossDBGenericForeignKeyDescriptor,
)
from xdbrel.fields.generic.relation import (
    CrossDBGenericRel,
    CrossDBGenericRelation,
    CrossDBReverseGenericManyToOneDescriptor,
    declare,
)


class AdoptedGenericForeignKey(CrossDBGenericForeignKey):
    """A ``GenericForeignKey`` of another app that crosses."""


#: No migration knows of these fields, so nothing has to be said to one.
ADOPTED: dict[type[Any], type[Any]] = {GenericForeignKey: AdoptedGenericForeignKey}


def adopt(field: Any) -> None:
    """Change a plain generic foreign key into a crossing one, and what leads back to it."""
    for copy in _copies(field):
        copy.__class__ = AdoptedGenericForeignKey
        copy._keys = {}
        setattr(copy.model, copy.attname, CrossDBGenericForeignKeyDescriptor(copy))
    for relation in list(_leading_to(field)):
        relation.__class__ = CrossDBGenericRelation
        reverse = relation.remote_field
        reverse.__class__ = CrossDBGenericRel
        setattr(relation.model, relation.name, CrossDBReverseGenericManyToOneDescriptor(reverse))
        declare(relation.model, reverse.model, field=relation)


def _copies(field: Any) -> Iterator[Any]:
    """Yield a field and its copies: models that inherit from one with rows have one each."""
    for model in _models():
        if issubclass(model, field.model):
            for found in model._meta.private_fields:
                if type(found) is GenericForeignKey and found.name == field.name:
                    yield found


def _leading_to(field: Any) -> Iterator[Any]:
    for model in _models():
        for found in model._meta.private_fields:
            if (
                type(found) is GenericRelation
                and not isinstance(found.remote_field.model, str)
                and issubclass(found.remote_field.model, field.model)
                and found.content_type_field_name == field.ct_field
                and found.object_id_field_name == field.fk_field
            ):
                yield found


def _models() -> list[type[models.Model]]:
    return apps.get_models(include_auto_created=True)
