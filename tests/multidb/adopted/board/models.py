"""As somebody else has written it, with Django's own fields: it lives in ``content``."""

from django.contrib.auth.models import User
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Marker(models.Model):
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    content_object = GenericForeignKey()
    word = models.CharField(max_length=20)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["content_type", "object_id"], name="board_marker_about")]


class DatedMarker(Marker):
    """A multi-table child, with a copy of the generic foreign key."""

    day = models.IntegerField()


class Topic(models.Model):
    name = models.CharField(max_length=20)
    author = models.ForeignKey(User, models.CASCADE, related_name="topics")
    followers = models.ManyToManyField(User, related_name="followed")
    voters = models.ManyToManyField(User, through="Vote", related_name="+")
    markers = GenericRelation(Marker, related_query_name="topic")


class Vote(models.Model):
    topic = models.ForeignKey(Topic, models.CASCADE, related_name="votes")
    user = models.ForeignKey(User, models.CASCADE, related_name="votes")
    value = models.IntegerField(default=1)
