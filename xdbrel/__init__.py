"""Relations between Django models that live in different databases.

Every public name is here or in a module named by the documentation; nothing else is API.
Importing this package needs no ``django.setup()``, and no django.contrib.contenttypes:
``CrossDBGenericForeignKey`` and ``CrossDBGenericRelation``, which do, are imported when they
are first asked for, and a star does not ask for them.
"""

from typing import TYPE_CHECKING, Any

from xdbrel.cascade.atomic import atomic
from xdbrel.cascade.preview import DeletionPlan, plan_delete
from xdbrel.fields import (
    CrossDBCompositeForeignKey,
    CrossDBForeignKey,
    CrossDBManyToManyField,
    CrossDBOneToOneField,
)
from xdbrel.moving.entry import move
from xdbrel.moving.result import MoveResult
from xdbrel.prefetch import aprefetch_cross_db, prefetch_cross_db
from xdbrel.query.explain import QueryPlan, explain_cross_db, max_shipped_rows

if TYPE_CHECKING:
    from xdbrel.fields.generic import CrossDBGenericForeignKey as CrossDBGenericForeignKey
    from xdbrel.fields.generic import CrossDBGenericRelation as CrossDBGenericRelation

__version__ = "0.1.0"

__all__ = [
    "CrossDBCompositeForeignKey",
    "CrossDBForeignKey",
    "CrossDBManyToManyField",
    "CrossDBOneToOneField",
    "DeletionPlan",
    "MoveResult",
    "QueryPlan",
    "aprefetch_cross_db",
    "atomic",
    "explain_cross_db",
    "max_shipped_rows",
    "move",
    "plan_delete",
    "prefetch_cross_db",
]


_GENERIC = ("CrossDBGenericForeignKey", "CrossDBGenericRelation")


def __getattr__(name: str) -> Any:
    if name in _GENERIC:
        from xdbrel.fields import generic

        return getattr(generic, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_GENERIC})
