"""What is excluded along a relation over several columns, against its direction.

Django turns ``exclude()`` by what many rows hold into a subquery, which it ties to the row
outside by the first of the relation's columns alone. No hook stands between, so this module,
and no other, replaces the method that begins such a subquery; to xdbrel's own relations it adds
the other columns, and leaves everybody else's as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        before = prefix.split(LOOKUP_SEP)[:-1]
        steps = [paths for _, paths in names_with_path[: len(before)]]
        first, *others = _held(before, steps, field.foreign_related_fields)
        prefix = first
        for column, name in zip(self.select[1:], others, strict=True):
            equal = column.target.get_lookup("exact")
            self.where.add(equal(column, ResolvedOuterRef(name)), AND)
    return prefix, contains_louter


def _held(before: list[str], steps: list[Any], columns: Sequence[Any]) -> list[str]:
    """Return the names of the columns outside, of the first table on the way that has them all.

    A key that is NULL in part equals none, whichever table is asked for it.
    """
    while before:
        paths = steps.pop()
        info = paths[-1]
        pairs = {target: source for source, target in info.join_field.related_fields}
        if len(paths) > 1 or not info.direct or not pairs.keys() >= {*columns}:
            break
        columns = [pairs[column] for column in columns]
        before = before[:-1]
    return [LOOKUP_SEP.join([*before, column.name]) for column in columns]
