"""At home in ``shop_db``; the customers are in ``default``."""

from django.conf import settings
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBOneToOneField


class Category(models.Model):
    name = models.CharField(max_length=100, unique=True)

    class Meta:
        verbose_name_plural = "categories"

    def __str__(self):
        return self.name


class Product(models.Model):
    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="products")
    name = models.CharField(max_length=200)
    price = models.DecimalField(max_digits=10, decimal_places=2)

    def __str__(self):
        return self.name


class Order(models.Model):
    order_number = models.CharField(max_length=50, unique=True)
    customer = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders"
    )
    total = models.DecimalField(max_digits=10, decimal_places=2)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return self.order_number


class Review(models.Model):
    """What is left of a customer who goes: the review stays, its author becomes NULL."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="reviews")
    author = CrossDBForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="reviews",
    )
    text = models.TextField()

    def __str__(self):
        return self.text[:60]


class Invoice(models.Model):
    """Must be kept: a customer who has one is not deleted."""

    order_number = models.CharField(max_length=50)
    customer = CrossDBForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="invoices"
    )

    def __str__(self):
        return self.order_number


class Profile(models.Model):
    user = CrossDBOneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile"
    )
    city = models.CharField(max_length=100, blank=True)

    def __str__(self):
        return f"profile of user {self.user_id}"
