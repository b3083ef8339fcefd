"""Models to ask questions about: relations of every kind, a database further at each step.

Homes: Author and Subject in ``default``; Book and Classification in ``blog``; Sale and
Shelfmark in ``shop``.
"""

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


class Book(models.Model):
    title = models.CharField(max_length=50)
    author = CrossDBForeignKey(Author, models.CASCADE, null=True, related_name="books")
    pages = models.IntegerField(null=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
    published = models.DateField(null=True)


class Classification(models.Model):
    """What stands in for a many-to-many relation: beside the books, the subjects elsewhere."""

    book = models.ForeignKey(Book, models.CASCADE, related_name="classifications")
    subject = CrossDBForeignKey(Subject, models.CASCADE, related_name="classifications")


class Sale(models.Model):
    book = CrossDBForeignKey(Book, models.CASCADE, related_name="sales")
    copies = models.IntegerField(default=1)
    sold_at = models.DateTimeField(null=True)


class Shelfmark(models.Model):
    book = CrossDBOneToOneField(Book, models.CASCADE, related_name="shelfmark")
    code = models.CharField(max_length=20)
