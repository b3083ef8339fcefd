"""Targets, at home in ``default``: one for each type of key; and sources beside them."""

import uuid

from django.db import models

from xdbrel.fields import CrossDBForeignKey, CrossDBOneToOneField


class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=50, default="")

    def natural_key(self):
        return (self.code,)


class Device(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50, default="")


class Badge(models.Model):
    number = models.IntegerField(unique=True)


class Person(models.Model):
    name = models.CharField(max_length=50)
    hidden = models.BooleanField(default=False)


class Member(Person):
    """A multi-table child of Person."""

    since = models.IntegerField(default=2000)


class PersonProxy(Person):
    class Meta:
        proxy = True


class LanguageManager(models.Manager):
    def get_by_natural_key(self, code):
        return self.get(code=code)


class Language(models.Model):
    """A target that fixtures name by its natural key."""

    code = models.CharField(max_length=8, unique=True)

    objects = LanguageManager()

    def natural_key(self):
        return (self.code,)


class Rate(models.Model):
    """A target whose keys go into an IN list everywhere."""

    value = models.DecimalField(max_digits=8, decimal_places=2, primary_key=True)


class Day(models.Model):
    date = models.DateField(primary_key=True)


class Bookmark(models.Model):
    """A source at home in ``default``, whose target lives elsewhere."""

    post = CrossDBForeignKey("blog.Post", on_delete=models.CASCADE, related_name="bookmarks")
    note = models.CharField(max_length=50, default="")


class Cover(models.Model):
    post = CrossDBOneToOneField("blog.Post", on_delete=models.CASCADE, related_name="cover")
