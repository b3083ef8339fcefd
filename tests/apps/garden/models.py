"""Targets of every kind of model, and one source for each.

Homes: the targets in ``default``; Tag, Petal, Payment, Rental, Print, Login and Deed in
``blog``.
"""

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from xdbrel import CrossDBForeignKey


class Photo(models.Model):
    """A target that hangs on anything, by a generic relation."""

    # No constraint: apps without migrations get their tables before those that have some.
    subject_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, db_constraint=False)
    subject_id = models.BigIntegerField()
    subject = GenericForeignKey("subject_type", "subject_id")


class Print(models.Model):
    photo = CrossDBForeignKey(Photo, on_delete=models.CASCADE)


class Plot(models.Model):
    """Nothing crosses to it, but to all that goes with it."""

    name = models.CharField(max_length=20, default="")
    photos = GenericRelation(Photo, "subject_id", "subject_type")


class Tool(models.Model):
    name = models.CharField(max_length=20, default="")


class Gardener(models.Model):
    name = models.CharField(max_length=20, default="")
    plots = models.ManyToManyField(Plot, through="Contract", related_name="gardeners")
    tools = models.ManyToManyField(Tool, related_name="gardeners")


class Bed(models.Model):
    """Django would delete it without looking, if it were not a target."""

    plot = models.ForeignKey(Plot, on_delete=models.CASCADE, related_name="beds")
    keeper = models.ForeignKey(Gardener, on_delete=models.SET_NULL, null=True, related_name="beds")


class BedProxy(Bed):
    class Meta:
        proxy = True


class Tag(models.Model):
    bed = CrossDBForeignKey(Bed, on_delete=models.CASCADE)


class Contract(models.Model):
    """What a many-to-many relation goes through, and a target."""

    gardener = models.ForeignKey(Gardener, on_delete=models.CASCADE)
    plot = models.ForeignKey(Plot, on_delete=models.CASCADE)


class Payment(models.Model):
    contract = CrossDBForeignKey(Contract, on_delete=models.CASCADE)


class Rental(models.Model):
    """Points at rows of a table that Django makes by itself."""

    use = CrossDBForeignKey("garden.Gardener_tools", on_delete=models.CASCADE)


class Plant(models.Model):
    name = models.CharField(max_length=20, default="")

    class Meta:
        abstract = True


class Rose(Plant):
    """A target whose columns come from an abstract base."""


class Petal(models.Model):
    rose = CrossDBForeignKey(Rose, on_delete=models.CASCADE)


class Account(models.Model):
    """Swapped for another, as a project does with the user model."""

    class Meta:
        swappable = "GARDEN_ACCOUNT_MODEL"


class OwnAccount(models.Model):
    name = models.CharField(max_length=20, default="")


class Login(models.Model):
    account = CrossDBForeignKey(settings.GARDEN_ACCOUNT_MODEL, on_delete=models.CASCADE)


class OldPlot(models.Model):
    """Somebody else's table, as Django sees it: it is that of Plot."""

    name = models.CharField(max_length=20, default="")

    class Meta:
        managed = False
        db_table = "garden_plot"


class Deed(models.Model):
    plot = CrossDBForeignKey(OldPlot, on_delete=models.CASCADE)
