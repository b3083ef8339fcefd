"""Model fields for relations between databases."""

from xdbrel.fields.composite import CrossDBCompositeForeignKey
from xdbrel.fields.foreign_key import CrossDBForeignKey, CrossDBOneToOneField

__all__ = ["CrossDBCompositeForeignKey", "CrossDBForeignKey", "CrossDBOneToOneField"]
