"""What Django alone says: the models of ``parted`` with Django's own fields, in one database.

Each model has a twin of the same name whose relations are Django's own, and nothing of xdbrel
knows the twins: they are in no app that is installed, but in a registry of their own.

Django's foreign keys are of one column. Where the parted models compare several, the twins
compare a single one that holds all of them, as text (``Written``), and that is NULL where any of
them is. So what is expected of relations over several columns is what Django says of any foreign
key. Queries name it as they name the key of the parted side: ``spot_key=key(1, 'a')``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps.registry import Apps
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.migrations.state import AppConfigStub

from tests.apps.parted.routers import WHOLE
from tests.oracle.graph import BY_NAME, MODELS
from xdbrel import (
    CrossDBCompositeForeignKey,
    CrossDBForeignKey,
    CrossDBGenericForeignKey,
    CrossDBGenericRelation,
    CrossDBManyToManyField,
    CrossDBOneToOneField,
)

OWN: dict[type[Any], type[Any]] = {
    CrossDBForeignKey: models.ForeignKey,
    CrossDBOneToOneField: models.OneToOneField,
    CrossDBManyToManyField: models.ManyToManyField,
    CrossDBGenericForeignKey: GenericForeignKey,
    CrossDBGenericRelation: GenericRelation,
}
#: Of databases that are several, nothing that Django's own fields would know.
_OPTIONS = {"through_home", "from_fields", "to_fields"}


class Written(models.CharField):
    """The values of several columns, as text."""


class OfSeveral(models.ForeignKey):
    """A foreign key to a ``Written``."""

    def get_attname(self) -> str:
        return f"{self.name}_key"


def written(*values: Any) -> str:
    """Return a key of several columns as a ``Written`` holds it."""
    return json.dumps(values)


def _name_of(names: Iterable[str]) -> str:
    return f"written_{'_'.join(names)}"


def _own(field: Any) -> Any:
    """Return Django's own field for one of the parted models."""
    _, _, args, kwargs = field.deconstruct()
    kwargs = {name: value for name, value in kwargs.items() if name not in _OPTIONS}
    if "to" in kwargs and kwargs["to"].startswith("parted."):
        kwargs["to"] = kwargs["to"].replace("parted.", f"{WHOLE}.")
    kind = OWN.get(type(field), type(field))
    if kind is models.ManyToManyField:
        if field.remote_field.through._meta.auto_created:
            kwargs.pop("through", None)
            kwargs["db_constraint"] = False
        else:
            kwargs["through"] = kwargs["through"].replace("parted.", f"{WHOLE}.")
    elif type(field) in (CrossDBForeignKey, CrossDBOneToOneField):
        kwargs["db_constraint"] = False
    elif isinstance(field, CrossDBCompositeForeignKey):
        names = tuple(field.to_fields)
        return OfSeveral(**kwargs, to_field=_name_of(names), null=field.null, db_constraint=False)
    return kind(*args, **kwargs)


def _fields(model: type[models.Model]) -> Iterator[tuple[str, Any]]:
    meta = model._meta
    for field in (*meta.local_fields, *meta.local_many_to_many, *meta.private_fields):
        known = type(field) in OWN or isinstance(field, CrossDBCompositeForeignKey)
        if known or type(field).__module__.startswith("django."):
            yield field.name, _own(field)
    for names in _keys(model):
        yield _name_of(names), Written(max_length=50, unique=True)


def _keys(model: type[models.Model]) -> set[tuple[str, ...]]:
    """Return the columns of ``model`` that relations of parted models compare together."""
    return {
        tuple(field.to_fields)
        for source in MODELS
        for field in source._meta.local_fields
        if isinstance(field, CrossDBCompositeForeignKey) and field.related_model is model
    }


def _twin(model: type[models.Model]) -> None:
    meta = type("Meta", (), {"app_label": WHOLE, "apps": APPS})
    # An automatic key is made by itself.
    found = {name: field for name, field in _fields(model) if not field.auto_created}
    type(model.__name__, (models.Model,), {"Meta": meta, "__module__": __name__, **found})


APPS = Apps([AppConfigStub(WHOLE)])
APPS.register_model("contenttypes", ContentType)
for _model in MODELS:
    if not _model._meta.auto_created:
        _twin(_model)
#: Twins by the name that both have.
TWINS: dict[str, Any] = {
    model.__name__: model for model in APPS.get_models(include_auto_created=True)
}


def complete(instance: models.Model) -> models.Model:
    """Let a twin hold in one column what it holds in several."""
    model = BY_NAME[type(instance).__name__]
    for field in instance._meta.concrete_fields:
        if isinstance(field, OfSeveral):
            names = model._meta.get_field(field.name).from_fields
        elif isinstance(field, Written):
            names = field.name.removeprefix("written_").split("_")
        else:
            continue
        values = tuple(getattr(instance, name) for name in names)
        setattr(instance, field.attname, None if None in values else written(*values))
    return instance
