"""What is moved: at home in ``default``, with tables in ``blog`` as well (``MOVING``)."""

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from tests.apps.freight.models import Load
from xdbrel import CrossDBForeignKey


class Depot(models.Model):
    code = models.CharField(max_length=20, unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")


class Tag(models.Model):
    name = models.CharField(max_length=20, default="")


class LightWagons(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(weight__lt=1000)


class Wagon(models.Model):
    """Its manager hides some, its times are set by themselves."""

    number = models.CharField(max_length=20)
    depot = models.ForeignKey(Depot, models.CASCADE, null=True, related_name="wagons")
    weight = models.IntegerField(default=0)
    owner = CrossDBForeignKey("people.Person", models.CASCADE, null=True, related_name="+")
    tags = models.ManyToManyField(Tag, related_name="wagons")
    labels = GenericRelation("wagons.Label")
    changed = models.DateTimeField(auto_now=True)

    objects = LightWagons()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["number", "weight"], name="wagons_number_once")
        ]


class Tanker(Wagon):
    """A multi-table child."""

    volume = models.IntegerField(default=0)


class Seal(models.Model):
    """Hangs on a wagon in the same database."""

    wagon = models.ForeignKey(Wagon, models.CASCADE, related_name="seals")
    code = models.CharField(max_length=20, default="")


class Scrap(models.Model):
    """Hangs on a wagon, and no database watches it."""

    wagon = models.ForeignKey(Wagon, models.DO_NOTHING, db_constraint=False, related_name="+")


class Ride(models.Model):
    """Points at wagons, wherever they are."""

    wagon = CrossDBForeignKey(Wagon, models.CASCADE, related_name="rides")


class Label(models.Model):
    """Hangs on anything."""

    content_type = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    object_id = models.BigIntegerField()
    on = GenericForeignKey()
    text = models.CharField(max_length=20, default="")


class Ticket(models.Model):
    """A key that is no number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    wagon = models.OneToOneField(Wagon, models.CASCADE, null=True)


class Slot(models.Model):
    """A key of two columns."""

    pk = models.CompositePrimaryKey("row", "letter")
    row = models.IntegerField()
    letter = models.CharField(max_length=1)
    note = models.CharField(max_length=20, default="")


class Cargo(Load):
    """Columns of every type."""


class Parcel(models.Model):
    """Not managed by Django."""

    name = models.CharField(max_length=20)

    class Meta:
        managed = False
        db_table = "wagons_parcel"
