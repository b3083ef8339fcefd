"""Generic relations, as a move meets them: content types of two databases, and who is meant.

Owns what of them is a condition or an id. What they refuse is for ``refusals``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db.models import Q
from django.db.models.functions import Cast

from xdbrel import keys
from xdbrel.moving import edges
from xdbrel.query.places import stands


def generically(
    generic: Any, targets: models.QuerySet[Any], using: str, *, whole: bool = False
) -> Iterator[Q]:
    """Yield what holds for the rows whose generic key means one of these targets, if any can.

    ``whole`` tells that the targets are all of their table.
    """
    meta = targets.model._meta
    type_id = content_types(using).get((meta.app_label, meta.model_name))
    key: Any = generic.model._meta.get_field(generic.fk_field)
    content_type: Any = generic.model._meta.get_field(generic.ct_field)
    if type_id is None or len(meta.pk_fields) > 1:
        return
    held, own = keys.key_field(key), keys.key_field(meta.pk)
    if not edges.may_hold(held, own):
        return
    condition = Q(**{content_type.attname: type_id})
    # Without a type for them, UUIDs are spelled otherwise in their own column than in a text.
    spelled = isinstance(own, models.UUIDField) and not isinstance(held, models.UUIDField)
    if whole or (spelled and not connections[using].features.has_native_uuid_field):
        yield condition
        return
    inside = targets.order_by().annotate(xdbrel_key=Cast("pk", held)).values("xdbrel_key")
    yield condition & Q(**{f"{generic.fk_field}__in": inside})


def content_types(using: str) -> dict[tuple[str, str | None], Any]:
    """Return the ids of the content types in a database, by their natural keys."""
    if not apps.is_installed("django.contrib.contenttypes"):
        return {}
    # It declares a model, and cannot be imported where it is not installed.
    from django.contrib.contenttypes.models import ContentType

    if not stands(ContentType, using):
        return {}
    rows: Any = models.QuerySet(ContentType, using=using).order_by()
    return {(app, name): pk for app, name, pk in rows.values_list("app_label", "model", "pk")}
