"""What is moved while its mover is killed: two tables, one of which hangs on the other."""

from django.db import models


class Parcel(models.Model):
    number = models.CharField(max_length=20, unique=True)
    weight = models.DecimalField(max_digits=8, decimal_places=3)
    sent_at = models.DateTimeField()
    data = models.JSONField()
    fragile = models.BooleanField(null=True)


class Stamp(models.Model):
    parcel = models.ForeignKey(Parcel, models.CASCADE)
    value = models.FloatField()
