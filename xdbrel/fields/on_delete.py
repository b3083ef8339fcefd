"""What a crossing relation shows Django as its ``on_delete``.

Owns the stand-in for a policy, nothing of the work: the work is ``xdbrel.cascade``'s,
which announces itself here once every model is loaded (fields load before models do).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import models

from xdbrel.exceptions import NotInstalled
from xdbrel.relations import handle_of

#: ``(policy, collector, field, sub_objs, using)``; set by the app's ``ready()``.
collect: Callable[[Any, Any, Any, Any, str], None] | None = None


class ClearColumns:
    """``SET_NULL`` for a relation of several columns: those that may be NULL become it.

    It equals ``SET_NULL``, for those who ask.
    """

    lazy_sub_objs = True
    __name__ = "SET_NULL"

    def __call__(self, collector: Any, field: Any, sub_objs: Any, using: str) -> None:
        for column in field.columns_to_clear:
            collector.add_field_update(column, None, sub_objs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClearColumns) or other is models.SET_NULL

    def __hash__(self) -> int:
        return hash(models.SET_NULL)


class CascadeRows:
    """``CASCADE`` for a relation of several columns.

    Where constraints cannot be deferred (MariaDB), Django's own first lets sources hold no key,
    by writing to a column that there is not. No constraint is in the way of these. It equals
    ``CASCADE``, for those who ask.
    """

    __name__ = "CASCADE"

    def __call__(self, collector: Any, field: Any, sub_objs: Any, using: str) -> None:
        never_null: Any = _NeverNull(field)
        models.CASCADE(collector, never_null, sub_objs, using)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CascadeRows) or other is models.CASCADE

    def __hash__(self) -> int:
        return hash(models.CASCADE)


class _NeverNull:
    """A field that is taken not to be ``null``."""

    null = False

    def __init__(self, field: Any) -> None:
        self._field = field

    def __getattr__(self, name: str) -> Any:
        return getattr(self._field, name)


class CrossDBOnDelete:
    """A policy of Django's, carried over to the sources' own database.

    Django's ``Collector`` calls it while it collects, with a queryset of the sources on
    the *target's* alias. ``lazy_sub_objs`` keeps that queryset from being evaluated.
    It equals the policy that it carries, for those who ask ``on_delete == SET_NULL``,
    and it is not identical with it, so that nothing is deleted in the target's database.
    """

    lazy_sub_objs = True

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def __call__(self, collector: Any, field: Any, sub_objs: Any, using: str) -> None:
        if collect is None:
            raise NotInstalled(handle_of(field))
        collect(self.policy, collector, field, sub_objs, using)

    @property
    def __name__(self) -> str:
        name: str = self.policy.__name__
        return name

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CrossDBOnDelete):
            return bool(self.policy == other.policy)
        return bool(self.policy == other)

    def __hash__(self) -> int:
        return hash(self.policy)

    def __repr__(self) -> str:
        return f"<CrossDBOnDelete: {self.__name__}>"
