"""A shop whose customers are Django's users, in their own database."""

from django.conf import settings
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBOneToOneField


class OpenQuerySet(models.QuerySet):
    def open(self):
        return self.filter(paid=False)


class OpenManager(models.Manager):
    """A manager that makes its own queryset, as the page has it: by ``_db``."""

    def get_queryset(self):
        queryset = OpenQuerySet(self.model)
        if self._db is not None:
            queryset = queryset.using(self._db)
        return queryset


class Product(models.Model):
    name = models.CharField(max_length=50)


class Order(models.Model):
    customer = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="orders", null=True, blank=True
    )
    product = models.ForeignKey(Product, models.PROTECT, null=True, blank=True)
    extras = models.ManyToManyField(Product, related_name="extra_in", blank=True)
    number = models.IntegerField(default=0)
    paid = models.BooleanField(default=False)

    objects = models.Manager()
    watched = OpenManager()

    def __str__(self):
        return f"order {self.number}"


class Account(models.Model):
    user = CrossDBOneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="account")
