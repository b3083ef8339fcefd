"""What a trigger writes: the columns of an intent, each with its value in SQL.

Every column is named and none is left to a default: Django keeps its defaults in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from xdbrel.models import CascadeIntent


@dataclass(frozen=True)
class Row:
    """SQL for each field of an intent but its id. The defaults are what all backends share."""

    relation: str
    keys: str
    new_keys: str
    deletion: str
    attempts: str
    available_at: str
    claimed_by: str
    created_at: str
    source_alias: str = "''"
    cause: str = f"'{CascadeIntent.Cause.TRIGGER.value}'"
    status: str = f"'{CascadeIntent.Status.PENDING.value}'"
    last_error: str = "''"
    applied_at: str = "NULL"

    def values(self) -> str:
        """Return the values in the order of ``columns``."""
        return ", ".join(getattr(self, field.name) for field in fields(self))


def columns(quote: Callable[[str], str]) -> str:
    """Return the names of the columns, as ``INSERT`` lists them."""
    return ", ".join(quote(name) for name in column_names())


def column_names() -> list[str]:
    """Return the columns of the intents' table that a trigger writes."""
    names = {field.name: field.column or "" for field in CascadeIntent._meta.concrete_fields}
    return [names[field.name] for field in fields(Row)]
