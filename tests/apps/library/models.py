"""Models to ask questions about: relations of every kind, a database further at each step.

Homes: Author, Subject and Remark in ``default``; Book and its table of subjects in ``blog``;
Sale and Shelfmark in ``shop``.
"""

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBOneToOneField


class Author(models.Model):
    name = models.CharField(max_length=50)
    born = models.DateField(null=True)
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, related_name="pupils")

    class Meta:
        ordering = ["name"]


class Subject(models.Model):
    name = models.CharField(max_length=50)


class Remark(models.Model):
    """Hangs on anything, in whatever database that is."""

    # No constraint: apps without migrations get their tables before those that have some.
    about_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, db_constraint=False)
    about_id = models.BigIntegerField()
    about = GenericForeignKey("about_type", "about_id")
    text = models.CharField(max_length=50)


class Book(models.Model):
    title = models.CharField(max_length=50)
    author = CrossDBForeignKey(Author, models.CASCADE, null=True, related_name="books")
    pages = models.IntegerField(null=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    published = models.DateField(null=True)
    # Django's own field: its table lives with the books, the subjects elsewhere.
    subjects = models.ManyToManyField(Subject, related_name="books", db_constraint=False)


class Sale(models.Model):
    book = CrossDBForeignKey(Book, models.CASCADE, related_name="sales")
    copies = models.IntegerField(default=1)
    sold_at = models.DateTimeField(null=True)


class Shelfmark(models.Model):
    # Nothing follows a book's deletion: Django would look for the remarks in the wrong database.
    book = CrossDBOneToOneField(Book, models.DO_NOTHING, related_name="shelfmark")
    code = models.CharField(max_length=20)
    remarks = GenericRelation(Remark, "about_id", "about_type", related_query_name="shelfmark")
