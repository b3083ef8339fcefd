"""Generic relations: notes and labels about anything, wherever it lives.

Homes: Note and Essay in ``blog``, Label in ``shop``, Thing and Gadget in ``default``.
"""

import uuid

from django.contrib.contenttypes.models import ContentType
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBGenericForeignKey, CrossDBGenericRelation


class Note(models.Model):
    """Names its targets in a text, so that their keys may be of any type."""

    content_type = CrossDBForeignKey(ContentType, models.CASCADE, null=True, related_name="+")
    object_id = models.CharField(max_length=50, db_index=True, null=True)
    about = CrossDBGenericForeignKey()
    text = models.CharField(max_length=50, default="")

    class Meta:
        ordering = ["pk"]


class Reply(models.Model):
    """What hangs on a note, and goes with it."""

    note = models.ForeignKey(Note, models.CASCADE, related_name="replies")


class Label(models.Model):
    kind = CrossDBForeignKey(ContentType, models.CASCADE, related_name="+")
    key = models.PositiveBigIntegerField(db_index=True)
    subject = CrossDBGenericForeignKey("kind", "key")
    word = models.CharField(max_length=50, default="")

    class Meta:
        ordering = ["pk"]


class Thing(models.Model):
    name = models.CharField(max_length=50, default="")
    notes = CrossDBGenericRelation(Note, related_query_name="thing")
    labels = CrossDBGenericRelation(
        Label, object_id_field="key", content_type_field="kind", related_query_name="thing"
    )


class SpecialThing(Thing):
    """A multi-table child, whose content type is another."""

    price = models.IntegerField(default=0)


class ThingProxy(Thing):
    class Meta:
        proxy = True


class Gadget(models.Model):
    """A target with another type of key, whose notes have no name in queries."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50, default="")
    notes = CrossDBGenericRelation(Note)


class Essay(models.Model):
    """A target beside the notes, which Django deletes with it."""

    title = models.CharField(max_length=50, default="")
    notes = CrossDBGenericRelation(Note)
    labels = CrossDBGenericRelation(Label, object_id_field="key", content_type_field="kind")


class Stranger(models.Model):
    """A target that does not know of its notes."""

    name = models.CharField(max_length=50, default="")
