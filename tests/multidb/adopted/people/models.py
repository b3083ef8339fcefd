"""Of the project itself: it lives in ``default``, where users and content types are."""

from django.contrib.contenttypes.fields import GenericRelation
from django.db import models

from tests.multidb.adopted.board.models import Marker


class Profile(models.Model):
    name = models.CharField(max_length=20)
    markers = GenericRelation(Marker, related_query_name="profile")
