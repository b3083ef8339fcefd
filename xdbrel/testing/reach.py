"""The databases that the running test may use: Django's test cases forbid all others."""

from __future__ import annotations

from django.db import connections
from django.test.testcases import (  # type: ignore[attr-defined]
    DatabaseOperationForbidden,
)


def may_use(alias: str) -> bool:
    """Tell whether the running test may query ``alias`` (``databases`` of its class or mark)."""
    try:
        with connections[alias].cursor():
            return True
    except DatabaseOperationForbidden:
        return False
