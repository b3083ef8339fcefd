"""Several columns of a model as one key: a field without a column of its own.

Owns what ``CrossDBCompositeForeignKey`` compares: the tuple of its ``from_fields`` at the source
and, where the target's primary key is another, that of its ``to_fields`` at the target. To
queries it is what a ``CompositePrimaryKey`` is, and to instances an attribute that reads and
takes a tuple. How such tuples go into statements and into JSON is for ``xdbrel.keys``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models.fields.composite import CompositePrimaryKey


class CompositeKey(CompositePrimaryKey):
    """Columns of one table, in their order, as one key that is nobody's primary key."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names, serialize=False)
        self.primary_key = False

    def contribute_to_class(
        self, cls: type[models.Model], name: str, private_only: bool = False
    ) -> None:
        if getattr(self, "mti_inherited", False):
            # A copy of the parent's, whose model it keeps: the columns are in that table.
            cls._meta.add_field(self, private=True)
            return
        models.Field.contribute_to_class(self, cls, name, private_only=True)
        setattr(cls, self.attname, self.descriptor_class(self))

    def check(self, **kwargs: Any) -> list[Any]:
        # What is wrong with its columns is said of the relation.
        return []

    def get_pk_value_on_save(self, instance: models.Model) -> Any:
        return None


def of_columns(model: type[models.Model], names: Sequence[str]) -> Any:
    """Return the field of ``model`` that is these columns in one; it is made if there is none.

    That is the primary key where it is of the same columns in the same order.
    """
    pk: Any = model._meta.pk
    if isinstance(pk, CompositePrimaryKey) and tuple(pk.field_names) == tuple(names):
        return pk
    name = f"xdbrel_key_{'_'.join(names)}"
    # Not get_field(): while models are made, as those of a migration's state are one by one, it
    # would look for relations to this one, and others remember what they did not find yet.
    for one in (model, *model._meta.all_parents):
        for field in one._meta.private_fields:
            if field.name == name:
                return field
    made = CompositeKey(*names)
    made.contribute_to_class(model, name)
    return made
