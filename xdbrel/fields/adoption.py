"""Plain relations of other people's apps, made crossing ones by name: ``XDBREL["ADOPT"]``.

A project can declare its own fields anew; not those of an app that it installs, as the admin's
log with its user. Owns the change of such a field, which the app's ``ready()`` asks for, into
one of ``foreign_key``, in place. Migrations must not learn of it, since they would be written
into that other app: what an adopted field says to them is what was declared. That no
constraint is made for it is for ``constraints``; that names are right, for ``checks``.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.fields import reverse_related

from xdbrel.conf import settings
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


#: By Django's own classes, which are the only ones whose behaviour is known.
_ADOPTED: dict[type[Any], type[Any]] = {
    models.ForeignKey: AdoptedForeignKey,
    models.OneToOneField: AdoptedOneToOneField,
}
_REVERSE: dict[type[Any], type[Any]] = {
    reverse_related.ManyToOneRel: rels.ManyToOneRel,
    reverse_related.OneToOneRel: rels.OneToOneRel,
}


def adopt_all() -> None:
    """Adopt the relations that ``XDBREL["ADOPT"]`` names. Called by the app's ``ready()``.

    What cannot be adopted stays as it is, and a check says so.
    """
    for handle in settings.ADOPT:
        field = named(handle)
        if field is not None and why_not(field) is None:
            _adopt(field)


def named(handle: str) -> Any:
    """Return the field with the handle ``app_label.Model.field``; ``None`` if there is none."""
    label, _, name = handle.rpartition(".")
    try:
        field = apps.get_model(label)._meta.get_field(name)
    except (LookupError, ValueError, FieldDoesNotExist):
        return None
    return field if isinstance(field, models.Field) and field.name == name else None


def why_not(field: Any) -> str | None:
    """Return why a plain relation cannot be adopted; ``None`` where it can, or is already."""
    kind = type(field)
    if kind in _ADOPTED.values():
        return None
    if getattr(field, "crosses_databases", False):
        return f"it is a {kind.__name__} as it stands"
    if kind not in _ADOPTED:
        return f"it is a {kind.__name__}, neither a ForeignKey nor a OneToOneField"
    if field.remote_field.parent_link:
        return "it links a child to its parent, whose tables are joined in every query"
    return None


def _adopt(field: Any) -> None:
    if type(field) not in _ADOPTED:
        return
    # Every model has a copy of a field that an abstract parent declares, so this one is the
    # model's alone.
    field.declared_constraint = field.db_constraint
    field.__class__ = _ADOPTED[type(field)]
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
