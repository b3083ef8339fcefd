"""Natural keys of targets that live elsewhere, when fixtures are loaded.

Owns a patch of Django's deserializers. They look a natural key up in the database that
they load into, which for a relation of ours is the source's; the target is in its own
home, and no hook stands between. Every other field is read as before.
"""

from __future__ import annotations

from typing import Any

from django.core.serializers import base, xml_serializer
from django.db import models

from xdbrel import placement

_xml: Any = xml_serializer.Deserializer
_deserialize_fk_value = base.deserialize_fk_value
_handle_fk_field_node = _xml._handle_fk_field_node


def install() -> None:
    """Let fixtures find targets in their homes. Called by the app's ``ready()``."""
    base.deserialize_fk_value = deserialize_fk_value
    _xml._handle_fk_field_node = handle_fk_field_node


def deserialize_fk_value(
    field: models.ForeignKey[Any, Any],
    field_value: Any,
    using: str | None,
    handle_forward_references: bool,
) -> Any:
    """``django.core.serializers.base.deserialize_fk_value()``, in the target's home."""
    return _deserialize_fk_value(
        field, field_value, _lookup_alias(field, using), handle_forward_references
    )


def handle_fk_field_node(self: Any, node: Any, field: models.ForeignKey[Any, Any]) -> Any:
    """The XML deserializer's own way to do the same: it looks in ``self.db``."""
    loaded_into = self.db
    self.db = _lookup_alias(field, loaded_into)
    try:
        return _handle_fk_field_node(self, node, field)
    finally:
        self.db = loaded_into


def _lookup_alias(field: models.ForeignKey[Any, Any], using: str | None) -> str | None:
    """Return ``using`` where the target may live there too (``loaddata --database``)."""
    if not getattr(field, "crosses_databases", False):
        return using
    target = field.remote_field.model
    if using is not None and placement.may_live(target, using):
        return using
    return placement.home(target)
