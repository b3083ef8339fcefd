"""Model fields for relations between databases."""

from xdbrel.fields.foreign_key import CrossDBForeignKey, CrossDBOneToOneField

__all__ = ["CrossDBForeignKey", "CrossDBOneToOneField"]
