"""Model fields for relations between databases."""

from xdbrel.fields.composite import CrossDBCompositeForeignKey
from xdbrel.fields.foreign_key import CrossDBForeignKey, CrossDBOneToOneField
from xdbrel.fields.many_to_many import CrossDBManyToManyField
from xdbrel.fields.through import ThroughManager

__all__ = [
    "CrossDBCompositeForeignKey",
    "CrossDBForeignKey",
    "CrossDBManyToManyField",
    "CrossDBOneToOneField",
    "ThroughManager",
]
