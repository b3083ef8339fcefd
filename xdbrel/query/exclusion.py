"""What is excluded along a relation over several columns, against its direction.

Django turns ``exclude()`` by what many rows hold into a subquery, which it ties to the row
outside by the first of the relation's columns alone. No hook stands between, so this module,
and no other, replaces the method that begins such a subquery; to xdbrel's own relations it adds
the other columns, and leaves everybody else's as they are.
"""

from __future__ import annotations

from typing import Any

from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import ResolvedOuterRef
from django.db.models.sql import Query
from django.db.models.sql.where import AND

from xdbrel.relations import is_composite

_django_trim_start = Query.trim_start


def install() -> None:
    """Let ``exclude()`` compare every column from now on."""
    Query.trim_start = _trim_start  # type: ignore[method-assign]


def _trim_start(self: Any, names_with_path: Any) -> tuple[str, bool]:
    prefix, contains_louter = _django_trim_start(self, names_with_path)
    field = next(
        path.join_field.field for _, paths in names_with_path for path in paths if path.m2m
    )
    if is_composite(field) and getattr(field, "crosses_databases", False):
        before = prefix.rpartition(LOOKUP_SEP)[0]
        others = zip(self.select[1:], field.foreign_related_fields[1:], strict=True)
        for column, target in others:
            name = LOOKUP_SEP.join(filter(None, (before, target.name)))
            equal = column.target.get_lookup("exact")
            self.where.add(equal(column, ResolvedOuterRef(name)), AND)
    return prefix, contains_louter
