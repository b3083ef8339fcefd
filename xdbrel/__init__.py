"""Relations between Django models that live in different databases.

Every public name is here or in a module named by the documentation; nothing else is API.
Importing this package needs no ``django.setup()``.
"""

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
