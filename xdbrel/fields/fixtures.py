"""Natural keys of targets that live elsewhere, when fixtures are loaded.

Owns a patch of Django's deserializers. They look a natural key up in the database that
they load into, which for a relation of ours is the source's; the target is in its own
home, and no hook stands between. Every other field is read as before. What is loaded is not
verified (``verify=True``): targets may come later.
"""

from __future__ import annotations

from typing import Any

from django.core.serializers import base, xml_serializer
from django.db import models

from xdbrel import placement
from xdbrel.fields.verify import known_to_exist

_xml: Any = xml_serializer.Deserializer
_deserialize_fk_value = base.deserialize_fk_value
_deserialize_m2m_values = base.deserialize_m2m_values
_save = base.DeserializedObject.save
_handle_fk_field_node = _xml._handle_fk_field_node
_handle_m2m_field_node = _xml._handle_m2m_field_node


def install() -> None:
    """Let fixtures find targets in their homes. Called by the app's ``ready()``."""
    base.deserialize_fk_value = deserialize_fk_value
    base.deserialize_m2m_values = deserialize_m2m_values
    base.DeserializedObject.save = save  # type: ignore[method-assign]
    _xml._handle_fk_field_node = handle_fk_field_node
    _xml._handle_m2m_field_node = handle_m2m_field_node


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


def deserialize_m2m_values(
    field: models.ManyToManyField[Any, Any],
    field_value: Any,
    using: str | None,
    handle_forward_references: bool,
) -> Any:
    """``django.core.serializers.base.deserialize_m2m_values()``, in the targets' home."""
    return _deserialize_m2m_values(
        field, field_value, _lookup_alias(field, using), handle_forward_references
    )


def handle_fk_field_node(self: Any, node: Any, field: models.ForeignKey[Any, Any]) -> Any:
    """The XML deserializer's own way to do the same: it looks in ``self.db``."""
    return _elsewhere(_handle_fk_field_node, self, node, field)


def handle_m2m_field_node(self: Any, node: Any, field: models.ManyToManyField[Any, Any]) -> Any:
    """The XML deserializer's own way for many-to-many relations."""
    return _elsewhere(_handle_m2m_field_node, self, node, field)


def save(self: Any, save_m2m: bool = True, using: str | None = None, **kwargs: Any) -> None:
    """``DeserializedObject.save()``, whose many-to-many keys are taken as they are."""
    meta = self.object._meta
    keys: list[Any] = []
    for name in self.m2m_data or ():
        through: Any = meta.get_field(name).remote_field.through
        keys += through._meta.local_fields
    with known_to_exist(*keys):
        _save(self, save_m2m=save_m2m, using=using, **kwargs)


def _elsewhere(handle: Any, deserializer: Any, node: Any, field: Any) -> Any:
    loaded_into = deserializer.db
    deserializer.db = _lookup_alias(field, loaded_into)
    try:
        return handle(deserializer, node, field)
    finally:
        deserializer.db = loaded_into


def _lookup_alias(field: Any, using: str | None) -> str | None:
    """Return ``using`` where the target may live there too (``loaddata --database``)."""
    ours = getattr(field, "crosses_databases", False) or getattr(field, "leads_by_through", False)
    if not ours:
        return using
    target = field.remote_field.model
    if using is not None and placement.may_live(target, using):
        return using
    return placement.home(target)
