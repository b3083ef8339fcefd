"""Generic relations between databases: the target's model decides which one.

In the example::

    class Note(Model):                                   # lives in "blog"
        content_type = CrossDBForeignKey(ContentType, on_delete=CASCADE)
        object_id = PositiveBigIntegerField()
        about = CrossDBGenericForeignKey("content_type", "object_id")

    class Thing(Model):                                  # lives in "default"
        notes = CrossDBGenericRelation(Note)

``foreign_key`` has ``Note.about``, ``relation`` and ``manager`` have ``Thing.notes``, and
``key`` has what is between the two: the keys of notes that are about things, as a relation
of its own to the rest of xdbrel. Importing this package needs django.contrib.contenttypes.
"""

from xdbrel.fields.generic.foreign_key import CrossDBGenericForeignKey
from xdbrel.fields.generic.relation import CrossDBGenericRelation

__all__ = ["CrossDBGenericForeignKey", "CrossDBGenericRelation"]
