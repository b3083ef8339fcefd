"""Facts about what hangs on a model: who can veto its deletion, who needs instances.

Owns the reading of policies. Nothing here touches a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import models
from django.db.models import F, Q, signals

from xdbrel.compat import deletion_relations, is_database_level
from xdbrel.fields.on_delete import CascadeRows
from xdbrel.keys import KeyIn
from xdbrel.relations import is_composite

#: Policies that can neither refuse a delete nor do what xdbrel does not know.
_COMPLIANT = (models.CASCADE, models.SET_NULL, models.SET_DEFAULT, models.DO_NOTHING)


def concrete(model: type[models.Model]) -> type[models.Model]:
    """Return the model whose table holds the rows: itself, or what a proxy stands for."""
    return model._meta.concrete_model or model


def policy_of(field: Any) -> Any:
    """Return the ``on_delete`` that was declared on a relation's field."""
    return getattr(field.remote_field, "policy", field.remote_field.on_delete)


def is_idle(policy: Any) -> bool:
    """Tell whether a policy leaves the sources alone: nothing, or the database, acts."""
    return policy is models.DO_NOTHING or is_database_level(policy)


def is_set(policy: Any) -> bool:
    """Tell whether a policy gives the sources another key and does nothing else."""
    return policy in (models.SET_NULL, models.SET_DEFAULT) or (
        getattr(policy, "__module__", "") == "django.db.models.deletion"
        and getattr(policy, "__name__", "") == "set_on_delete"
    )


def can_veto(policy: Any) -> bool:
    """Tell whether a policy may refuse: PROTECT, RESTRICT or a project's own callable."""
    return not (policy in _COMPLIANT or is_database_level(policy) or is_set(policy))


def relations_to(model: type[models.Model]) -> Iterator[Any]:
    """Yield the fields of the relations that point at ``model`` and that deleting follows."""
    for related in deletion_relations(model):
        yield related.field


def carry_out(policy: Any, collector: Any, field: Any, sources: Any, using: str) -> None:
    """Call a policy as a ``Collector`` does: with sources, or with a query where it wants one."""
    if policy is models.CASCADE and is_composite(field):
        policy = CascadeRows()
    if getattr(policy, "lazy_sub_objs", False) or sources:
        policy(collector, field, sources, using)


def holding(field: Any, target_keys: Sequence[Any]) -> Q:
    """Return the condition for the sources that hold one of a chunk of keys."""
    if getattr(field, "is_generic", False):
        return Q(KeyIn(F(field.attname), field.held(target_keys)), field.condition)
    return Q(KeyIn(F(field.attname), target_keys))


def key_held(field: Any, source: models.Model) -> Any:
    """Return the key that a source holds, as its target has it."""
    if getattr(field, "is_generic", False):
        return field.get_local_related_value(source)[0]
    return getattr(source, field.attname)


def has_key(field: Any) -> bool:
    """Tell whether sources of ``field`` are found by keys: a ``ForeignObject`` names columns."""
    return not is_composite(field) or bool(getattr(field, "crosses_databases", False))


def has_listeners(model: type[models.Model]) -> bool:
    """Tell whether anybody listens to the deletion of ``model``'s instances."""
    return bool(
        signals.pre_delete.has_listeners(model) or signals.post_delete.has_listeners(model)
    )


def has_generic_sources(model: type[models.Model]) -> bool:
    """Tell whether deleting ``model`` follows something like a generic relation on the spot.

    Those of xdbrel that lead to another database are among ``relations_to(model)``.
    """
    return any(
        hasattr(field, "bulk_related_objects")
        and not getattr(field, "is_followed_elsewhere", False)
        for field in model._meta.private_fields
    )


def reaches_veto(model: type[models.Model]) -> bool:
    """Tell whether deleting a ``model`` may come upon a policy that can refuse."""
    return any(can_veto(policy_of(field)) for field in _reachable(model))


def reaches_restrict(model: type[models.Model]) -> bool:
    """Tell whether deleting a ``model`` may come upon a RESTRICT."""
    return any(policy_of(field) is models.RESTRICT for field in _reachable(model))


def goes_further(model: type[models.Model]) -> bool:
    """Tell whether deleting a ``model`` may come upon a relation between databases."""
    return any(getattr(field, "crosses_databases", False) for field in _reachable(model))


def _reachable(model: type[models.Model]) -> Iterator[Any]:
    """Yield the fields of the relations that deleting a ``model`` may follow."""
    seen: set[type[models.Model]] = set()
    waiting = [model]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for field in relations_to(current):
            policy = policy_of(field)
            yield field
            if not is_idle(policy) and not is_set(policy):
                waiting.append(field.model)
        for private in current._meta.private_fields:
            if hasattr(private, "bulk_related_objects"):
                waiting.append(private.related_model)
