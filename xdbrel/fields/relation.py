"""What the fields of one column and those of several have in common.

Owns what a key without a target row means (``dangling``), and the marks by which the rest of
xdbrel knows a relation. How a field reads is in ``descriptors``, how it deletes in ``on_delete``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import models
from django.db.models.fields.mixins import NOT_PROVIDED

from xdbrel import placement
from xdbrel.exceptions import describe_keys
from xdbrel.relations import handle_of


class CrossDBRelationMixin:
    """Goes in front of one of Django's relational fields."""

    #: The mark by which ``xdbrel.relations`` knows the fields.
    crosses_databases = True

    name: str
    model: type[models.Model]
    remote_field: Any
    dangling: str
    get_local_related_value: Callable[[models.Model], tuple[Any, ...]]

    @property
    def policy(self) -> Callable[..., None]:
        """The ``on_delete`` that was declared."""
        policy: Callable[..., None] = self.remote_field.policy
        return policy

    def _refuse_dangling(self, dangling: str) -> None:
        if dangling not in ("raise", "none"):
            raise ValueError(
                f'{type(self).__name__}: dangling must be "raise" or "none", not {dangling!r}.'
            )

    def key_of(self, instance: models.Model) -> Any:
        """Return the key that ``instance`` holds: a value, or a tuple where it has several."""
        key = self.get_local_related_value(instance)
        return key[0] if len(key) == 1 else key

    def has_key(self, instance: models.Model) -> bool:
        """Tell whether ``instance`` holds a key, whether or not a target row has it."""
        return None not in self.get_local_related_value(instance)

    def dangling_error(self, instance: models.Model) -> Exception:
        """Return the error that reading this instance's dangling key raises."""
        handle = handle_of(self)  # type: ignore[arg-type]
        target = self.remote_field.model
        alias = placement.read_alias(target, instance=instance)
        error: Exception = getattr(self.model, self.name).RelatedObjectDoesNotExist(
            f"{handle}: {describe_keys([self.key_of(instance)])} "
            f"has no {target._meta.label} in database {alias!r}. The target was deleted or "
            f'never existed; "manage.py xdbrel_scan {handle}" lists such keys.'
        )
        return error

    def get_cached_value(self, instance: models.Model, default: Any = NOT_PROVIDED) -> Any:
        """Return what was fetched before; prefetching stores None for a dangling key.

        Such a None is told here from an empty relation's, so that access after prefetch
        does what plain access does. Whoever gives a default asks what is there, no more.
        """
        value = super().get_cached_value(instance, default)  # type: ignore[misc]
        if (
            value is None
            and default is NOT_PROVIDED
            and self.dangling == "raise"
            and self.has_key(instance)
        ):
            raise self.dangling_error(instance)
        return value


def public_path(path: str) -> str:
    """Return the path by which migrations import a field: the package's own."""
    return "xdbrel." + path.rpartition(".")[2] if path.startswith("xdbrel.fields.") else path
