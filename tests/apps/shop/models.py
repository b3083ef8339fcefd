"""Sources at home in ``shop``: every policy, and relations to ``blog``."""

from django.conf import settings
from django.db import models

from xdbrel.fields import CrossDBForeignKey, CrossDBOneToOneField


class Order(models.Model):
    customer = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders"
    )
    number = models.CharField(max_length=20, default="")


class Invoice(models.Model):
    customer = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="invoices"
    )


class Review(models.Model):
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="reviews"
    )
    post = CrossDBForeignKey(
        "blog.Post", on_delete=models.CASCADE, null=True, related_name="reviews"
    )


class Profile(models.Model):
    user = CrossDBOneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile"
    )
    motto = models.CharField(max_length=50, default="")
