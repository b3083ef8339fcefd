"""What the page's examples of the admin are about, with an editor in another database."""

from django.conf import settings
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBManyToManyField


class Author(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name


class Publisher(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name


class Book(models.Model):
    title = models.CharField(max_length=50)
    publisher = models.ForeignKey(Publisher, models.CASCADE)
    authors = models.ManyToManyField(Author, blank=True)
    editor = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="edited"
    )

    reviewers = CrossDBManyToManyField(
        settings.AUTH_USER_MODEL, related_name="reviewed", blank=True
    )

    def __str__(self):
        return self.title
