"""Foreign keys, adopted: ``admin.LogEntry.user``."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.fields import reverse_related

from xdbrel.fields import rels
from xdbrel.fields.foreign_key import CrossDBForeignKey, CrossDBOneToOneField


class AdoptedMixin:
    """An adopted field deconstructs to the field that its app declared."""

    declared_path: str
    #: Whether its app wants a constraint.
    declared_constraint = True

    def __init__(self, *args: Any, db_constraint: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.declared_constraint = db_constraint

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()  # type: ignore[misc]
        if not self.declared_constraint:
            kwargs["db_constraint"] = False
        return name, self.declared_path, args, kwargs


class AdoptedForeignKey(AdoptedMixin, CrossDBForeignKey):
    """A ``ForeignKey`` of another app that crosses."""

    declared_path = "django.db.models.ForeignKey"


class AdoptedOneToOneField(AdoptedMixin, CrossDBOneToOneField):
    """A ``OneToOneField`` of another app that crosses."""

    declared_path = "django.db.models.OneToOneField"


ADOPTED: dict[type[Any], type[Any]] = {
    models.ForeignKey: AdoptedForeignKey,
    models.OneToOneField: AdoptedOneToOneField,
}
_REVERSE: dict[type[Any], type[Any]] = {
    reverse_related.ManyToOneRel: rels.ManyToOneRel,
    reverse_related.OneToOneRel: rels.OneToOneRel,
}


def adopt(field: Any) -> None:
    """Change a plain relation of one column into a crossing one."""
    # Every model has a copy of a field that an abstract parent declares, so this one is the
    # model's alone.
    field.declared_constraint = field.db_constraint
    field.__class__ = ADOPTED[type(field)]
    field.db_constraint = False
    field.verify, field.masked = False, False
    field.dangling, field.on_update = "raise", models.PROTECT
    reverse = field.remote_field
    policy = vars(reverse).pop("on_delete")
    reverse.__class__ = _REVERSE[type(reverse)]
    reverse.on_delete = policy
    _show(field)


def _show(field: Any) -> None:
    """Put the accessors in place, as ``ForeignObject.contribute_to_…class()`` do."""
    setattr(field.model, field.name, field.forward_related_accessor_class(field))
    target = field.remote_field.model
    if not isinstance(target, str) and not field.remote_field.hidden:
        setattr(
            target._meta.concrete_model,
            field.remote_field.accessor_name,
            field.related_accessor_class(field.remote_field),
        )
