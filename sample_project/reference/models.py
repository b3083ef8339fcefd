"""At home in ``reference_db``: what flights point at, under the keys the world gave it.

Notes on airlines, airports and planes are in ``blog_db``.
"""

from django.db import models
from django.db.models.functions import Lower

from xdbrel import CrossDBGenericRelation

# ``name__lower__contains``: a search that is the same whatever a database's collation.
models.CharField.register_lookup(Lower)


class Airline(models.Model):
    carrier = models.CharField(max_length=3, primary_key=True)
    name = models.CharField(max_length=100)
    notes = CrossDBGenericRelation("blog.Note", related_query_name="airline")

    def __str__(self):
        return self.name


class Airport(models.Model):
    faa = models.CharField("FAA code", max_length=4, primary_key=True)
    name = models.CharField(max_length=100)
    latitude = models.FloatField()
    longitude = models.FloatField()
    altitude = models.IntegerField(help_text="feet")
    timezone = models.CharField(max_length=50, null=True, blank=True)
    notes = CrossDBGenericRelation("blog.Note", related_query_name="airport")

    def __str__(self):
        return self.name


class Plane(models.Model):
    tailnum = models.CharField("tail number", max_length=8, primary_key=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)
    kind = models.CharField(max_length=50)
    manufacturer = models.CharField(max_length=50)
    model = models.CharField(max_length=50)
    engines = models.PositiveSmallIntegerField()
    seats = models.PositiveSmallIntegerField()
    notes = CrossDBGenericRelation("blog.Note", related_query_name="plane")

    def __str__(self):
        return f"{self.tailnum} ({self.manufacturer} {self.model})"


class Weather(models.Model):
    """What an airport's station measured in an hour."""

    pk = models.CompositePrimaryKey("origin", "time_hour")
    origin = models.CharField("FAA code", max_length=4)
    time_hour = models.DateTimeField("hour")
    temperature = models.FloatField(null=True, blank=True, help_text="°F")
    wind_speed = models.FloatField(null=True, blank=True, help_text="mph")
    precipitation = models.FloatField(null=True, blank=True, help_text="inches")
    visibility = models.FloatField(null=True, blank=True, help_text="miles")

    class Meta:
        verbose_name_plural = "weather"

    def __str__(self):
        return f"{self.origin} {self.time_hour:%Y-%m-%d %H:%M}"
