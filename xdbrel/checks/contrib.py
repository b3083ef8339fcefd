"""Checks of Django's own apps and of generic relations, by what Django's documentation says.

https://docs.djangoproject.com/en/stable/topics/db/multi-db/#behavior-of-contrib-apps
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core import checks
from django.db import models

from xdbrel import placement
from xdbrel.checks.scope import Found, adoptable, check, home, is_resolved, models_of, parted
from xdbrel.fields.adoption import is_ours, why_not
from xdbrel.relations import handle_of

#: By app of Django's: the id of its finding, and what has to stay with it.
_RULES = {
    "auth": ("xdbrel.E040", "Users, groups and permissions are linked to content types"),
    "admin": ("xdbrel.E041", "The admin's log is linked to users and content types"),
    "flatpages": ("xdbrel.E042", "Flat pages are linked to sites"),
    "redirects": ("xdbrel.E042", "Redirects are linked to sites"),
}
#: Where relations can be adopted. Permissions are made for each database beside its content
#: types, and many-to-many tables join both sides.
_ADOPTABLE = {"xdbrel.E041", "xdbrel.E042"}


def is_ruled(model: type[models.Model]) -> bool:
    """Tell whether this module judges the plain relations of ``model``."""
    config = apps.app_configs.get(model._meta.app_label)
    return (
        config is not None and config.label in _RULES and config.name.startswith("django.contrib.")
    )


@check()
def check_contrib_apps(app_configs: Any = None, **kwargs: Any) -> Found:
    """E040, E041, E042: apps of Django's that its documentation wants in one database."""
    for model in models_of(app_configs):
        if model._meta.proxy or model._meta.auto_created or not is_ruled(model):
            continue
        check_id, reason = _RULES[model._meta.app_label]
        for field in _plain_fields(model):
            target: Any = field.remote_field.model
            homes = parted(model, target)
            if homes:
                apps_in_question = sorted({model._meta.app_label, target._meta.app_label})
                yield checks.Error(
                    f"{model._meta.label} lives in {homes[0]!r} and {target._meta.label} in "
                    f"{homes[1]!r}. {reason}, within one database.",
                    hint=f'Give {" and ".join(apps_in_question)} one home in XDBREL["HOMES"]'
                    + (
                        f", or name '{handle_of(field)}' in XDBREL[\"ADOPT\"]."
                        if check_id in _ADOPTABLE and why_not(field) is None
                        else "."
                    ),
                    obj=model,
                    id=check_id,
                )


@check()
def check_generic_relations(app_configs: Any = None, **kwargs: Any) -> Found:
    """W043, E044: generic relations away from the content types that they name."""
    if not apps.is_installed("django.contrib.contenttypes"):
        return
    from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
    from django.contrib.contenttypes.models import ContentType

    kept = home(ContentType)
    if kept is None:
        return
    for model in models_of(app_configs):
        here = None if model._meta.proxy else home(model)
        if here is None:
            continue
        for field in model._meta.private_fields:
            if field.model is not model or not isinstance(
                field, (GenericForeignKey, GenericRelation)
            ):
                continue
            if is_crossing(field):
                continue
            name = f"{model._meta.label}.{field.name}"
            remedy = _declared_anew(field)
            if isinstance(field, GenericRelation) and is_resolved(field):
                homes = parted(model, field.remote_field.model)
                if homes:
                    yield checks.Error(
                        f"{name} is a generic relation from {homes[0]!r} to "
                        f"{field.remote_field.model._meta.label} in {homes[1]!r}.",
                        hint=f"Give both models one home, {remedy}.",
                        obj=field,
                        id="xdbrel.E044",
                    )
                    continue
            if placement.same_home(here, kept):
                continue
            if placement.may_live(ContentType, here):
                yield checks.Warning(
                    f"{name} in {here!r} names content types by their key there, and they are "
                    f"in {kept!r} too: the same model may have another key in each.",
                    hint="Keep content types in one database, and the models with generic "
                    f"relations beside them, {remedy}.",
                    obj=field,
                    id="xdbrel.W043",
                )
            else:
                yield checks.Error(
                    f"{name} looks for content types in {here!r}, and they are in {kept!r}.",
                    hint=f"Give {model._meta.label} the home {kept!r}, {remedy}.",
                    obj=field,
                    id="xdbrel.E044",
                )


def _declared_anew(field: Any) -> str:
    """Return the last part of a hint: how to have a generic relation cross."""
    source = field.model if field.many_to_one else field.remote_field.model
    forward = field
    if source is not field.model and not isinstance(source, str):
        forward = next(
            filter(field._is_matching_generic_foreign_key, source._meta.private_fields), field
        )
    return f"{adoptable(forward)}or declare CrossDBGenericForeignKey and CrossDBGenericRelation"


def is_crossing(field: Any) -> bool:
    """Tell whether a generic relation's field is one of xdbrel's."""
    return any(hasattr(field, name) for name in ("crosses_generically", "is_followed_elsewhere"))


def _plain_fields(model: type[models.Model]) -> Iterator[Any]:
    for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
        if (
            isinstance(field, (models.ForeignKey, models.ManyToManyField))
            and not is_ours(field)
            and is_resolved(field)
        ):
            yield field
