"""Columns of every type on both sides of a relation, for queries that compare them.

What is below ``Load`` has the same columns, so that the tests can ask in both directions
whether a value is still the same on the other side.
"""

from django.conf import settings
from django.db import models
from django.db.models import F

from xdbrel.fields import CrossDBForeignKey


class Celsius(float):
    """A value of a class of its own."""


class CelsiusField(models.IntegerField):
    """Degrees in Python, hundredths of a degree in the database."""

    def from_db_value(self, value, expression, connection):
        return None if value is None else Celsius(value / 100)

    def get_prep_value(self, value):
        return None if value is None else round(value * 100)


class WordsField(models.Field):
    """A tuple of words in Python, text in the database; the class is none of Django's."""

    def get_internal_type(self):
        return "TextField"

    def from_db_value(self, value, expression, connection):
        return None if value is None else tuple(value.split())

    def get_prep_value(self, value):
        return None if value is None else " ".join(value)


class SealedField(models.BinaryField):
    """Text in Python, reversed bytes in the database."""

    def from_db_value(self, value, expression, connection):
        return None if value is None else bytes(value)[::-1].decode()

    def get_prep_value(self, value):
        return None if value is None else value.encode()[::-1]


class Load(models.Model):
    small = models.SmallIntegerField(null=True)
    integer = models.IntegerField(null=True)
    big = models.BigIntegerField(null=True)
    positive = models.PositiveIntegerField(null=True)
    positive_big = models.PositiveBigIntegerField(null=True)
    money = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    fine = models.DecimalField(max_digits=40, decimal_places=20, null=True)
    ratio = models.FloatField(null=True)
    char = models.CharField(max_length=100, null=True)
    text = models.TextField(null=True)
    day = models.DateField(null=True)
    hour = models.TimeField(null=True)
    moment = models.DateTimeField(null=True)
    span = models.DurationField(null=True)
    uuid = models.UUIDField(null=True)
    data = models.JSONField(null=True)
    blob = models.BinaryField(null=True)
    flag = models.BooleanField(null=True)
    address = models.GenericIPAddressField(null=True)
    heat = CelsiusField(null=True)
    words = WordsField(null=True)
    sealed = SealedField(null=True)
    half = models.IntegerField(null=True)
    double = models.GeneratedField(
        expression=F("half") + F("half"), output_field=models.BigIntegerField(), db_persist=True
    )

    class Meta:
        abstract = True


class Crate(Load):
    """At home in ``blog``."""

    name = models.CharField(max_length=50, default="")


class Waybill(Load):
    """At home in ``default``."""

    crate = CrossDBForeignKey(Crate, models.CASCADE, null=True, related_name="waybills")
    number = models.IntegerField(default=0)


class Dock(models.Model):
    """Keys of many types. At home in ``blog``."""

    code = models.CharField(max_length=50, unique=True)
    uuid = models.UUIDField(unique=True)
    amount = models.DecimalField(max_digits=14, decimal_places=4, unique=True)
    day = models.DateField(unique=True)
    moment = models.DateTimeField(unique=True)
    span = models.DurationField(unique=True)
    address = models.GenericIPAddressField(unique=True)
    heat = CelsiusField(unique=True)
    name = models.CharField(max_length=50, default="")


def _to(field):
    return CrossDBForeignKey(
        Dock, models.CASCADE, to_field=field, null=True, related_name=f"by_{field}"
    )


class Berth(models.Model):
    """Points at each of them. At home in ``default``."""

    code = _to("code")
    uuid = _to("uuid")
    amount = _to("amount")
    day = _to("day")
    moment = _to("moment")
    span = _to("span")
    address = _to("address")
    heat = _to("heat")


def _collation(alias):
    """Return a collation of the alias's database that is not its usual one."""
    engine = settings.DATABASES[alias]["ENGINE"].rpartition(".")[2]
    return {
        "sqlite3": "NOCASE",
        "postgresql": "en-x-icu",
        "mysql": "utf8mb4_general_ci",
    }[engine]


class Sign(models.Model):
    """Text in an order of its own. At home in ``blog``."""

    name = models.CharField(max_length=50, null=True, db_collation=_collation("blog"))
    plain = models.CharField(max_length=50, null=True)


class Poster(models.Model):
    """The same. At home in ``default``."""

    sign = CrossDBForeignKey(Sign, models.CASCADE, related_name="posters")
    name = models.CharField(max_length=50, null=True, db_collation=_collation("default"))
    plain = models.CharField(max_length=50, null=True)
