"""Keys that are awkward to scan: targets at home in ``default``, ``Entry`` in ``blog``."""

from django.conf import settings
from django.db import models

from xdbrel.fields import CrossDBForeignKey

_ENGINES = {alias: settings.DATABASES[alias]["ENGINE"] for alias in ("default", "blog")}

#: A collation that takes 'abc' and 'ABC' for one, where one name fits both ends.
CASELESS = (
    {
        "django.db.backends.sqlite3": "nocase",
        "django.db.backends.mysql": "utf8mb4_general_ci",
    }.get(_ENGINES["default"])
    if _ENGINES["default"] == _ENGINES["blog"]
    else None
)


class Shelf(models.Model):
    """Any integer as a key, names that need quoting, a second key that may be missing."""

    number = models.BigIntegerField(primary_key=True, db_column="order")
    code = models.IntegerField(unique=True, null=True, db_column="group by")

    class Meta:
        db_table = "archive select"


class OpenBoxes(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(lid=False)


class Box(Shelf):
    """A multi-table child: its key is its parent's, and its manager hides some."""

    lid = models.BooleanField(default=False)

    objects = OpenBoxes()


class ShelfProxy(Shelf):
    class Meta:
        proxy = True


class Topic(models.Model):
    slug = models.CharField(max_length=50, primary_key=True, db_collation=CASELESS)


class Rate(models.Model):
    value = models.DecimalField(max_digits=8, decimal_places=2, primary_key=True)


class Day(models.Model):
    date = models.DateField(primary_key=True)


class Entry(models.Model):
    """One relation for each kind of key."""

    number = models.IntegerField(default=0)
    shelf = CrossDBForeignKey(
        Shelf, models.CASCADE, null=True, related_name="+", db_column="from where"
    )
    coded = CrossDBForeignKey(Shelf, models.CASCADE, null=True, to_field="code", related_name="+")
    box = CrossDBForeignKey(Box, models.CASCADE, null=True, related_name="+")
    proxied = CrossDBForeignKey(ShelfProxy, models.CASCADE, null=True, related_name="+")
    topic = CrossDBForeignKey(Topic, models.CASCADE, null=True, related_name="+")
    rate = CrossDBForeignKey(Rate, models.CASCADE, null=True, related_name="+")
    day = CrossDBForeignKey(Day, models.CASCADE, null=True, related_name="+")
    follows = CrossDBForeignKey("self", models.CASCADE, null=True, related_name="+")

    class Meta:
        db_table = "archive entries"


class Loan(models.Model):
    """A relation whose default is a key."""

    shelf = CrossDBForeignKey(Shelf, models.SET_DEFAULT, default=1, related_name="+")
    entry = models.ForeignKey(Entry, models.CASCADE, null=True)


class Slip(models.Model):
    """Outlives the loan that it was written for."""

    loan = models.ForeignKey(Loan, models.SET_NULL, null=True)


class Leaf(models.Model):
    """Keys as an older program wrote them: tests declare relations over these columns."""

    text = models.CharField(max_length=50, null=True, db_index=True)
    hexadecimal = models.CharField(max_length=32, null=True, db_index=True)
    number = models.BigIntegerField(null=True, db_index=True)
    bare = models.BigIntegerField(null=True)
    word = models.CharField(max_length=50, null=True)


class Pigeonhole(models.Model):
    """A primary key of two columns."""

    pk = models.CompositePrimaryKey("row", "column")
    row = models.IntegerField()
    column = models.CharField(max_length=5)
    shelf = CrossDBForeignKey(Shelf, models.CASCADE, null=True, related_name="+")
