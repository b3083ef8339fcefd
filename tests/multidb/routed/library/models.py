"""Books of a library, whose readers are Django's users."""

from django.conf import settings
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBManyToManyField, CrossDBOneToOneField


class Person(models.Model):
    name = models.CharField(max_length=100)


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Person, models.CASCADE, null=True, blank=True, related_name="books")
    translators = models.ManyToManyField(Person, related_name="translations")
    lent_to = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="books"
    )

    readers = CrossDBManyToManyField(
        settings.AUTH_USER_MODEL, related_name="books_read", blank=True
    )

    def __str__(self):
        return self.title


class Card(models.Model):
    user = CrossDBOneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="card")
    number = models.CharField(max_length=20)
