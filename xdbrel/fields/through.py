"""The model between the sides of a ``CrossDBManyToManyField`` that names none of its own.

Owns how that model is made, and where its manager looks. It is what Django makes, with
relations of ours for keys, so that everything which follows relations follows both. Where it
lives is for ``placement``: with the model that declares the field, or at ``through_home``.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.fields.related import lazy_related_operation, resolve_relation
from django.db.models.utils import make_model_tuple
from django.utils.translation import gettext_lazy as _

from xdbrel import placement
from xdbrel.fields.foreign_key import CrossDBForeignKey


class ThroughManager(models.Manager[Any]):
    """The manager of an automatic model in between: it looks where that model lives.

    Routers that name models one by one do not know this one. ``through_home`` is the
    field's; a migration notes it with the model, whose table it places for good.
    """

    def __init__(self, through_home: str | None = None) -> None:
        super().__init__()
        self.through_home = through_home
        self.use_in_migrations = through_home is not None

    def deconstruct(self) -> Any:
        as_manager, _, queryset_path, args, kwargs = super().deconstruct()
        return as_manager, "xdbrel.fields.ThroughManager", queryset_path, args, kwargs

    @property
    def db(self) -> str:
        return self.get_queryset().db

    def get_queryset(self) -> models.QuerySet[Any]:
        queryset = super().get_queryset()
        if self._db is None:
            instance = self._hints.get("instance")  # type: ignore[attr-defined]
            alias = placement.pin(self.model, instance=instance)
            if alias is not None:
                queryset = queryset.using(alias)
        return queryset


class ForeignKey(CrossDBForeignKey):
    """A key of the model in between. Nobody declared it, and Django's errors spell out the class
    of a field: it has the name of what would stand there without us."""

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "xdbrel.CrossDBForeignKey", args, kwargs


def _save(self: Any, *args: Any, using: str | None = None, **kwargs: Any) -> None:
    """``Model.save()``: a new row goes where the model lives, whatever routers know of it."""
    model = type(self)
    if using is None and not self._state.db and placement.pin(model) is not None:
        using = placement.home(model)
    models.Model.save(self, *args, using=using, **kwargs)


def create_through_model(field: Any, klass: type[models.Model]) -> type[models.Model]:
    """Create the model between ``klass``, which declares ``field``, and the field's target.

    It is that of Django's ``create_many_to_many_intermediary_model()``: the same name, table,
    columns and constraint of uniqueness, so that changing one field into the other is a matter
    of foreign key constraints alone.
    """

    def set_managed(model: Any, related: Any, through: Any) -> None:
        through._meta.managed = model._meta.managed or related._meta.managed

    to_model = resolve_relation(klass, field.remote_field.model)
    name = f"{klass._meta.object_name}_{field.name}"
    lazy_related_operation(set_managed, klass, to_model, name)

    to = make_model_tuple(to_model)[1]
    from_ = klass._meta.model_name or ""
    if to == from_:
        to, from_ = f"to_{to}", f"from_{from_}"
    names = {"from": from_, "to": to}

    def key(model: Any) -> ForeignKey:
        return ForeignKey(
            model,
            on_delete=models.CASCADE,
            related_name=f"{name}+",
            db_tablespace=field.db_tablespace or None,
            verify=field.verify,
        )

    meta = type(
        "Meta",
        (),
        {
            "db_table": field._get_m2m_db_table(klass._meta),
            "auto_created": klass,
            "app_label": klass._meta.app_label,
            "db_tablespace": klass._meta.db_tablespace,
            "unique_together": (from_, to),
            "verbose_name": _("%(from)s-%(to)s relationship") % names,
            "verbose_name_plural": _("%(from)s-%(to)s relationships") % names,
            "apps": klass._meta.apps,
        },
    )
    through: Any = type(
        name,
        (models.Model,),
        {
            "Meta": meta,
            "__module__": klass.__module__,
            "objects": ThroughManager(field.through_home),
            "save": _save,
            from_: key(klass),
            to: key(to_model),
        },
    )
    # Not in the body of the class: a field that stands there becomes one of its own.
    through.made_by = field
    made: type[models.Model] = through
    return made


def place(through: Any, field: Any) -> None:
    """Let a model that Django has made for ``field`` live where one that is made here would."""
    through._meta.local_managers.clear()
    through.add_to_class("objects", ThroughManager(field.through_home))
    through._meta._expire_cache()
    through.save = _save
    through.made_by = field
