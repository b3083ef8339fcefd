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

from xdbrel import content_types, keys
from xdbrel.cascade.graph import concrete
from xdbrel.content_types import alias_for
from xdbrel.moving import edges
from xdbrel.query.places import stands


def generically(
    generic: Any, targets: models.QuerySet[Any], using: str, *, whole: bool = False
) -> Iterator[Q]:
    """Yield what holds for the rows whose generic key means one of these targets, if any can.

    ``whole`` tells that the targets are all of their table.
    """
    meta = targets.model._meta
    types = type_ids(generic, targets.model, using)
    key: Any = generic.model._meta.get_field(generic.fk_field)
    if not types or len(meta.pk_fields) > 1:
        return
    held, own = keys.key_field(key), keys.key_field(meta.pk)
    if not edges.may_hold(held, own):
        return
    condition = Q(**{f"{type_field(generic).attname}__in": types})
    # Without a type for them, UUIDs are spelled otherwise in their own column than in a text.
    spelled = isinstance(own, models.UUIDField) and not isinstance(held, models.UUIDField)
    if whole or (spelled and not connections[using].features.has_native_uuid_field):
        yield condition
        return
    inside = targets.order_by().annotate(xdbrel_key=Cast("pk", held)).values("xdbrel_key")
    yield condition & Q(**{f"{generic.fk_field}__in": inside})


def type_field(generic: Any) -> Any:
    """Return the field that names the content type of a generic foreign key."""
    return generic.model._meta.get_field(generic.ct_field)


def type_ids(generic: Any, target: type[models.Model], using: str) -> list[Any]:
    """Return the ids by which rows on ``using`` name a table's model.

    Those of its proxies are among them where the generic foreign key tells these apart.
    """
    known = ids_of_types(alias_for(type_field(generic), using))
    named = [target, *(_proxies(target) if not generic.for_concrete_model else ())]
    found = (known.get((one._meta.app_label, one._meta.model_name)) for one in named)
    return [one for one in found if one is not None]


def _proxies(model: type[models.Model]) -> list[type[models.Model]]:
    return [one for one in apps.get_models() if one._meta.proxy and concrete(one) is model]


def ids_of_types(using: str) -> dict[tuple[str, str | None], Any]:
    """Return the ids of the content types in a database, by their natural keys."""
    if not content_types.installed() or not stands(content_types.model(), using):
        return {}
    rows: Any = models.QuerySet(content_types.model(), using=using).order_by()
    return {(app, name): pk for app, name, pk in rows.values_list("app_label", "model", "pk")}
