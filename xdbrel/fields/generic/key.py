"""One kind of target of a generic foreign key, as a relation like any other.

In the example, notes may be about things and about much else. ``Note.about[Thing]`` is the
part of that relation that leads to things: its sources are the notes whose content type
says so, its key is their object id, its targets are things. ``GenericKey`` has what cascades
and scans ask of a foreign key's field; ``ReverseKey`` shows it to Django's ``Collector``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from xdbrel.content_types import TypeId
from xdbrel.fields.on_delete import CrossDBOnDelete
from xdbrel.fields.rels import CrossDBRelMixin


def as_key_of(column: Any, value: Any) -> Any:
    """Return ``value`` as a key of ``column``; None where it can be none."""
    if value is None:
        return None
    try:
        return column.to_python(value)
    except (ValidationError, ValueError, TypeError, ArithmeticError):
        return None


class GenericKeyRel(CrossDBRelMixin):
    """The reverse side of a ``GenericKey``."""

    parent_link = False
    multiple = True
    hidden = True
    limit_choices_to: Any = None

    def __init__(self, field: GenericKey, model: type[models.Model], policy: Any) -> None:
        self.field = field
        self.model = model
        self.policy = policy

    @property
    def related_model(self) -> type[models.Model]:
        model: type[models.Model] = self.field.model
        return model

    @property  # type: ignore[misc]
    def on_delete(self) -> Any:
        # Inside one database Django follows the GenericRelation by itself.
        return models.DO_NOTHING if self._django_acts() else CrossDBOnDelete(self.policy)


class GenericKey:
    """The part of a generic foreign key that leads to one model's rows.

    It is no field of the source: Django knows it by ``name`` alone, which leads queries
    from the source to the target by way of the target's ``CrossDBGenericRelation``.
    """

    crosses_databases = True
    is_generic = True
    is_relation = True
    many_to_one = True
    many_to_many = one_to_one = one_to_many = False
    concrete = True
    unique = primary_key = False
    null = False
    verify = masked = False
    dangling = "none"
    on_update = models.DO_NOTHING

    def __init__(self, generic: Any, target: type[models.Model], policy: Any) -> None:
        self.generic = generic
        self.model: type[models.Model] = generic.model
        self.name = name_of(generic.name, target)
        self.remote_field = GenericKeyRel(self, target, policy)

    @property
    def policy(self) -> Any:
        """What becomes of the sources of a deleted target."""
        return self.remote_field.policy

    @property
    def related_model(self) -> type[models.Model]:
        model: type[models.Model] = self.remote_field.model
        return model

    @property
    def target_field(self) -> Any:
        """The target's primary key."""
        return self.remote_field.model._meta.pk

    @cached_property
    def key_column(self) -> Any:
        """The source's field that holds the keys."""
        return self.model._meta.get_field(self.generic.fk_field)

    @property
    def attname(self) -> str:
        name: str = self.key_column.attname
        return name

    @property
    def column(self) -> Any:
        return self.key_column.column

    @property
    def db_index(self) -> bool:
        return bool(self.key_column.db_index)

    @property
    def local_related_fields(self) -> tuple[Any, ...]:
        return (self.key_column,)

    @property
    def foreign_related_fields(self) -> tuple[Any, ...]:
        return (self.target_field,)

    @property
    def condition(self) -> models.Q:
        """Which rows of the source's model are sources of this relation."""
        return models.Q(
            **{self.generic.ct_field_name: TypeId(self.generic.type_field, self.related_model)}
        )

    def held(self, wanted: Iterable[Any]) -> list[Any]:
        """Return keys of targets as the source's column holds them; what it cannot is left out."""
        own = (as_key_of(self.key_column, key) for key in wanted)
        return [key for key in own if key is not None]

    def get_local_related_value(self, instance: models.Model) -> tuple[Any, ...]:
        return (as_key_of(self.target_field, getattr(instance, self.attname)),)

    def get_foreign_related_value(self, instance: models.Model) -> tuple[Any, ...]:
        return (getattr(instance, self.target_field.attname),)

    def set_cached_value(self, instance: models.Model, value: Any) -> None:
        self.generic.set_cached_value(instance, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GenericKey):
            return NotImplemented
        return (self.model, self.name) == (other.model, other.name)

    def __hash__(self) -> int:
        return hash((self.model, self.name))

    def __str__(self) -> str:
        return f"{self.model._meta.label}.{self.name}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def name_of(generic: str, target: type[models.Model]) -> str:
    """Return the name of the part of a generic relation that leads to ``target``."""
    return f"{generic}[{target._meta.label}]"


class UnknownEnd:
    """The end of a relation whose model Django does not know yet: its graph leaves it out."""

    model = ""


class ReverseKey:
    """Shows a ``GenericKey`` to Django's ``Collector``, among the target's private fields.

    Deleting follows the relations that were created automatically and lead from one to many.
    Such relations are not among a model's ``fields``, which are asked for much that this has not.
    """

    auto_created = True
    is_relation = one_to_many = True
    one_to_one = many_to_one = many_to_many = False
    concrete = editable = serialize = False
    hidden = True
    remote_field = UnknownEnd
    column = None

    def __init__(self, model: type[models.Model], field: GenericKey) -> None:
        self.model = model
        self.field = field
        self.name = self.attname = f"{field.model._meta.label}.{field.name}+"

    @property
    def related_model(self) -> type[models.Model]:
        return self.field.model

    @property
    def on_delete(self) -> Any:
        return self.field.remote_field.on_delete

    def get_attname(self) -> str:
        return self.attname

    def is_cached(self, instance: models.Model) -> bool:
        return False

    def contribute_to_class(self, cls: type[models.Model], name: str, **kwargs: Any) -> None:
        """Do nothing: a child of the target's gets its own with its ``GenericRelation``."""

    def __deepcopy__(self, memo: dict[int, Any]) -> ReverseKey:
        return self


class SourceTarget:
    """Lets a source be asked for the target of one kind, as the admin's tree of objects does."""

    def __init__(self, generic: Any) -> None:
        self.generic = generic

    def __get__(self, instance: Any, cls: type | None = None) -> Any:
        return self if instance is None else getattr(instance, self.generic.name)
