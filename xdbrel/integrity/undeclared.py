"""Generic relations to models that do not declare their side: known by the rows alone.

A target with a ``CrossDBGenericRelation`` is in the registry. What else generic foreign
keys point at only their rows tell, so the sources' databases are asked: a scan has to find
what dangles there as well, though no delete is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models

from xdbrel import content_types, placement
from xdbrel.caching import uncached
from xdbrel.relations import Relation


def undeclared() -> list[Relation]:
    """Return the relations, by handle, that rows of generic foreign keys have beside those known.

    A content type whose model is not installed is left out: ``xdbrel_contenttypes`` shows it.
    Raises what the sources' databases raise.
    """
    found = []
    for field in _generic_fields():
        known = {key.related_model for key in field.declared_keys}
        found += [
            Relation(field.key_to(model))
            for model in _models_named(field)
            if model not in known and not model._meta.swapped
        ]
    return sorted(found, key=lambda relation: relation.handle)


def _generic_fields() -> Iterator[Any]:
    for model in apps.get_models():
        if model._meta.proxy or model._meta.swapped:
            continue
        for field in model._meta.private_fields:
            # A multi-table child's rows are its parent's, too.
            if getattr(field, "crosses_generically", False) and not hasattr(
                field, "mti_inherited"
            ):
                yield field


def _models_named(field: Any) -> Iterator[type[models.Model]]:
    """Yield the models that rows at home name."""
    using = placement.home(field.model)
    rows = field.model._base_manager.using(using).order_by()
    with uncached():
        numbers = list(rows.values_list(field.ct_field_name, flat=True).distinct())
    alias = content_types.alias_for(field.type_field, using)
    types = content_types.model()._default_manager.using(alias)
    with uncached():
        named = list(types.filter(pk__in=[number for number in numbers if number is not None]))
    for one in named:
        model = one.model_class()
        if model is not None:
            yield model
