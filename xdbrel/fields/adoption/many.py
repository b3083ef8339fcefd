"""Many-to-many relations, adopted: ``flatpages.FlatPage.sites``.

The keys of an automatic model in between are adopted along with the relation. Those of a model
that the other app has declared have handles of their own, to be named beside it.
"""

from __future__ import annotations

from typing import Any

from django.db import models

from xdbrel.fields.adoption import keys
from xdbrel.fields.adoption.keys import AdoptedMixin
from xdbrel.fields.many_descriptors import CrossDBManyToManyDescriptor
from xdbrel.fields.many_to_many import CrossDBManyToManyField
from xdbrel.fields.through import place


class AdoptedManyToManyField(AdoptedMixin, CrossDBManyToManyField):
    """A ``ManyToManyField`` of another app that crosses."""

    declared_path = "django.db.models.ManyToManyField"


ADOPTED: dict[type[Any], type[Any]] = {models.ManyToManyField: AdoptedManyToManyField}


def adopt(field: Any) -> None:
    """Change a plain many-to-many relation into a crossing one."""
    reverse = field.remote_field
    field.declared_constraint = reverse.db_constraint
    field.__class__ = AdoptedManyToManyField
    field.verify, field.through_home = False, None
    reverse.db_constraint = False
    through = reverse.through
    if through._meta.auto_created:
        for key in through._meta.local_fields:
            if type(key) in keys.ADOPTED:
                keys.adopt(key)
        place(through, field)
    setattr(field.model, field.name, CrossDBManyToManyDescriptor(reverse, reverse=False))
    if not reverse.hidden:
        setattr(
            reverse.model._meta.concrete_model,
            reverse.accessor_name,
            CrossDBManyToManyDescriptor(reverse, reverse=True),
        )
