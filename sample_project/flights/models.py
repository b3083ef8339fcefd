"""At home in ``flights_db``: every flight that left New York City in 2013.

Airlines, airports, planes and the weather are in ``reference_db``. Not every plane and airport
that a flight names is there, and not every hour's weather: those are the orphans that a scan
finds.
"""

from django.db import models

from xdbrel import CrossDBCompositeForeignKey, CrossDBForeignKey


class Flight(models.Model):
    number = models.PositiveSmallIntegerField()
    carrier = CrossDBForeignKey(
        "reference.Airline", on_delete=models.CASCADE, related_name="flights"
    )
    plane = CrossDBForeignKey(
        "reference.Plane",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        dangling="none",
        related_name="flights",
    )
    origin = CrossDBForeignKey(
        "reference.Airport", on_delete=models.PROTECT, related_name="departures"
    )
    dest = CrossDBForeignKey(
        "reference.Airport",
        on_delete=models.PROTECT,
        dangling="none",
        related_name="arrivals",
        verbose_name="destination",
    )
    time_hour = models.DateTimeField("scheduled hour", db_index=True)
    weather = CrossDBCompositeForeignKey(
        "reference.Weather",
        on_delete=models.DO_NOTHING,
        from_fields=("origin", "time_hour"),
        dangling="none",
        related_name="flights",
    )
    dep_delay = models.SmallIntegerField("departure delay", null=True, blank=True)
    arr_delay = models.SmallIntegerField("arrival delay", null=True, blank=True)
    air_time = models.PositiveSmallIntegerField(null=True, blank=True, help_text="minutes")
    distance = models.PositiveSmallIntegerField(help_text="miles")

    class Meta:
        indexes = [models.Index(fields=["origin", "time_hour"], name="flights_origin_hour")]

    def __str__(self):
        return f"{self.carrier_id}{self.number} {self.origin_id}-{self.dest_id}"
