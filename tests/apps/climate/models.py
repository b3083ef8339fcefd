"""Keys of several columns: targets in ``default``, their sources in ``blog`` and ``shop``."""

from django.db import models

from xdbrel.fields import (
    CrossDBCompositeForeignKey,
    CrossDBForeignKey,
    CrossDBManyToManyField,
)


class Weather(models.Model):
    """What was measured at a place at an hour: a composite primary key."""

    pk = models.CompositePrimaryKey("place", "hour")
    place = models.CharField(max_length=10)
    hour = models.DateTimeField()
    celsius = models.IntegerField(default=0)


class Region(models.Model):
    """A set of columns that is unique, beside a primary key of its own."""

    country = models.CharField(max_length=2)
    number = models.IntegerField()
    name = models.CharField(max_length=50, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["country", "number"], name="climate_region_key")
        ]


class Cell(models.Model):
    """A composite primary key without text."""

    pk = models.CompositePrimaryKey("x", "y")
    x = models.IntegerField()
    y = models.IntegerField()


class Placed(models.Model):
    """An abstract base that declares a relation."""

    place = models.CharField(max_length=10, default="")
    hour = models.DateTimeField(null=True)
    weather = CrossDBCompositeForeignKey(
        Weather, models.CASCADE, from_fields=("place", "hour"), related_name="%(class)ss"
    )

    class Meta:
        abstract = True


class Trip(Placed):
    """Goes with its weather, and loses its region. At home in ``blog``."""

    title = models.CharField(max_length=50, default="")
    country = models.CharField(max_length=2, default="")
    region_number = models.IntegerField(null=True)
    region = CrossDBCompositeForeignKey(
        Region,
        models.SET_NULL,
        from_fields=("country", "region_number"),
        to_fields=("country", "number"),
        dangling="none",
        related_name="trips",
    )

    class Meta:
        indexes = [
            models.Index(fields=["place", "hour"], name="climate_trip_weather"),
            models.Index(fields=["country", "region_number"], name="climate_trip_region"),
        ]


class TripProxy(Trip):
    class Meta:
        proxy = True


class Outing(Trip):
    """A multi-table child: the columns are in its parent's table. At home in ``blog``."""

    guests = models.IntegerField(default=0)

    class Meta:
        verbose_name = "outing"


class Stop(models.Model):
    """Hangs on a trip in the same database, and goes with it."""

    trip = models.ForeignKey(Trip, models.CASCADE, related_name="stops")


class Report(models.Model):
    """Hangs on a trip from another database, ``shop``, and goes with it."""

    trip = CrossDBForeignKey(Trip, models.CASCADE, related_name="reports")


class Fare(models.Model):
    """Protects its region, which has to be there. At home in ``shop``."""

    country = models.CharField(max_length=2, db_index=True)
    region_number = models.IntegerField(null=True)
    region = CrossDBCompositeForeignKey(
        Region,
        models.PROTECT,
        from_fields=("country", "region_number"),
        to_fields=("country", "number"),
        verify=True,
        related_name="fares",
    )


class Marker(models.Model):
    """Is left behind by its cell. At home in ``blog``."""

    x = models.IntegerField(db_index=True)
    y = models.IntegerField(null=True)
    cell = CrossDBCompositeForeignKey(
        Cell,
        models.DO_NOTHING,
        from_fields=("x", "y"),
        on_update=models.DO_NOTHING,
        related_name="markers",
    )


class Record(models.Model):
    """Beside its weather, in the same database."""

    place = models.CharField(max_length=10)
    hour = models.DateTimeField(null=True)
    weather = CrossDBCompositeForeignKey(
        Weather, models.CASCADE, from_fields=("place", "hour"), related_name="records"
    )
    region_number = models.IntegerField(null=True)
    country = models.CharField(max_length=2, default="")
    region = CrossDBCompositeForeignKey(
        Region,
        models.SET_NULL,
        from_fields=("country", "region_number"),
        to_fields=("country", "number"),
        related_name="records",
    )

    class Meta:
        indexes = [models.Index(fields=["place", "hour"], name="climate_record_weather")]


class Guide(models.Model):
    """Goes with its region. At home in ``blog``."""

    number = models.IntegerField()
    tongue = models.CharField(max_length=2)
    region = CrossDBForeignKey(Region, models.CASCADE, related_name="residents")
    regions = CrossDBManyToManyField(Region, through="Tour", related_name="guides")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["number", "tongue"], name="climate_guide_key")
        ]


class Tour(models.Model):
    """Stands between two models by several columns of each: by Django's field, and by ours."""

    number = models.IntegerField()
    tongue = models.CharField(max_length=2)
    guide = models.ForeignObject(
        Guide,
        models.CASCADE,
        from_fields=("number", "tongue"),
        to_fields=("number", "tongue"),
        related_name="tours",
    )
    country = models.CharField(max_length=2)
    region_number = models.IntegerField()
    region = CrossDBCompositeForeignKey(
        Region,
        models.CASCADE,
        from_fields=("country", "region_number"),
        to_fields=("country", "number"),
        related_name="tours",
    )

    class Meta:
        indexes = [models.Index(fields=["country", "region_number"], name="climate_tour_region")]
