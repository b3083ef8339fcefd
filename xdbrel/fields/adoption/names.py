"""Which fields ``XDBREL["ADOPT"]`` names, and which of them can be adopted.

By Django's own classes, which are the only ones whose behaviour is known.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist

from xdbrel.conf import settings
from xdbrel.fields.adoption import keys, many

_KINDS = "ForeignKey, OneToOneField, ManyToManyField or GenericForeignKey"


def adopt_all() -> None:
    """Adopt the relations that ``XDBREL["ADOPT"]`` names. Called by the app's ``ready()``.

    What cannot be adopted stays as it is, and a check says so.
    """
    for handle in settings.ADOPT:
        field = named(handle)
        if field is not None and why_not(field) is None:
            _adopt(field)


def named(handle: str) -> Any:
    """Return the field with the handle ``app_label.Model.field``; ``None`` if there is none."""
    label, _, name = handle.rpartition(".")
    try:
        field = apps.get_model(label)._meta.get_field(name)
    except (LookupError, ValueError, FieldDoesNotExist):
        return None
    is_reverse = field.auto_created and not field.concrete
    return None if is_reverse or field.name != name else field


def why_not(field: Any) -> str | None:
    """Return why a plain relation cannot be adopted; ``None`` where it can, or is already."""
    kind = type(field)
    if any(kind in module.ADOPTED.values() for module in _modules()):
        return None
    if is_ours(field):
        return f"it is a {kind.__name__} as it stands"
    if field.one_to_many and not field.concrete:
        return f"it is a {kind.__name__}; name the GenericForeignKey that it leads to"
    if not any(kind in module.ADOPTED for module in _modules()):
        return f"it is a {kind.__name__}, not a {_KINDS}"
    if getattr(field.remote_field, "parent_link", False):
        return "it links a child to its parent, whose tables are joined in every query"
    return None


def _adopt(field: Any) -> None:
    for module in _modules():
        if type(field) in module.ADOPTED:
            module.adopt(field)
            return


def is_ours(field: Any) -> bool:
    """Tell whether a field is one of xdbrel's, by the mark of its kind."""
    marks = ("crosses_databases", "leads_by_through", "crosses_generically")
    return any(getattr(field, mark, False) for mark in marks)


def _modules() -> list[ModuleType]:
    """Return the modules that adopt fields, each with its classes."""
    if not apps.is_installed("django.contrib.contenttypes"):
        return [keys, many]
    from xdbrel.fields.adoption import generic

    return [keys, many, generic]
