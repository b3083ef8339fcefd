"""What joins instances to their related rows: one link for each single-column relation.

Owns the facts that ``steps`` fetches by: which column of which model holds the keys,
which attribute of an instance does, and where either keeps what was fetched. Relations
whose accessors do something of their own have no link; Django's prefetch protocol,
which they implement, is followed for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models.fields import related_descriptors as django_descriptors

from xdbrel.fields import descriptors


@dataclass(frozen=True, slots=True)
class Link:
    """A relation, seen from the instances that it is followed from.

    ``column`` is the field of ``model`` by which rows are found, ``row_attr(model)`` the
    attribute that holds its value on instances of ``model`` or of a child of it, and
    ``key_attr`` the attribute of the instance. ``cache_name`` is where the instance keeps
    what it is related to, ``back`` where a row keeps the instance. ``rows(instance)``
    gives every row.
    """

    model: type[models.Model]
    column: models.Field[Any, Any]
    row_attr: Callable[[type[models.Model]], str]
    key_attr: str
    single: bool
    cache_name: str
    back: str | None
    crosses: bool
    rows: Callable[[models.Model], models.QuerySet[Any]]


def link_of(model: type[models.Model], descriptor: Any) -> Link | None:
    """Return the link of the relation that ``descriptor`` gives access to on ``model``."""
    if _is_plain(
        descriptor,
        django_descriptors.ForwardManyToOneDescriptor,
        descriptors.CrossDBForwardManyToOneDescriptor,
    ):
        return _forward(descriptor)
    if _is_plain(
        descriptor,
        django_descriptors.ReverseOneToOneDescriptor,
        descriptors.CrossDBReverseOneToOneDescriptor,
    ):
        return _reverse(
            model,
            descriptor.related,
            lambda instance: _all(descriptor.get_queryset(instance=instance)),
        )
    # Its managers are made from its class, so no subclass is known to be as plain.
    if type(descriptor) in (
        django_descriptors.ReverseManyToOneDescriptor,
        descriptors.CrossDBReverseManyToOneDescriptor,
    ):
        return _reverse(
            model,
            descriptor.rel,
            lambda instance: default_manager_class(descriptor.rel).get_queryset(
                descriptor.__get__(instance)
            ),
        )
    return None


def default_manager_class(rel: Any) -> Any:
    """Return the class that the related managers of ``rel`` are derived from."""
    return rel.related_model._default_manager.__class__


def key_attname(model: type[models.Model], field: models.Field[Any, Any]) -> str:
    """Return the attribute that holds the value of ``field`` on instances of ``model``.

    The primary key of a parent model is a child's own one: the rule of Django's
    ``ForeignObject.get_instance_value_for_fields()``.
    """
    if field.primary_key:
        link = model._meta.get_ancestor_link(field.model)
        if not link or link.primary_key or link.model._meta.abstract:
            pk: models.Field[Any, Any] = model._meta.pk
            return pk.attname
    return field.attname


def _is_plain(descriptor: Any, *kinds: type[Any]) -> bool:
    """Tell whether ``descriptor`` prefetches as one of ``kinds`` does, or is a subclass's."""
    return isinstance(descriptor, kinds[0]) and all(
        any(getattr(type(descriptor), name) is getattr(kind, name) for kind in kinds)
        for name in ("get_queryset", "get_prefetch_querysets", "is_cached")
    )


def _forward(descriptor: Any) -> Link | None:
    field = descriptor.field
    if not isinstance(field, models.ForeignKey):
        return None
    remote_field: Any = field.remote_field
    target = field.target_field
    return Link(
        model=remote_field.model,
        column=target,
        row_attr=lambda model: key_attname(model, target),
        key_attr=field.attname,
        single=True,
        cache_name=field.cache_name,
        back=None if remote_field.multiple else remote_field.cache_name,
        crosses=_crosses(field),
        rows=lambda instance: _all(descriptor.get_queryset(instance=instance)),
    )


def _reverse(
    model: type[models.Model],
    rel: Any,
    rows: Callable[[models.Model], models.QuerySet[Any]],
) -> Link | None:
    field = rel.field
    if not isinstance(field, models.ForeignKey):
        return None
    return Link(
        model=rel.related_model,
        column=field,
        row_attr=lambda model: field.attname,
        key_attr=key_attname(model, field.target_field),
        single=not rel.multiple,
        cache_name=rel.cache_name,
        back=field.cache_name,
        crosses=_crosses(field),
        rows=rows,
    )


def _crosses(field: models.Field[Any, Any]) -> bool:
    return bool(getattr(field, "crosses_databases", False))


def _all(queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Return the rows in no order: there is one for each key."""
    queryset = queryset.all()
    queryset.query.clear_ordering()
    return queryset
