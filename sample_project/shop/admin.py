from django.contrib import admin

from sample_project.shop.models import Category, Invoice, Order, Product, Profile, Review
from xdbrel.admin import CrossDBModelAdmin


@admin.register(Category)
class CategoryAdmin(CrossDBModelAdmin):
    search_fields = ("name",)


@admin.register(Product)
class ProductAdmin(CrossDBModelAdmin):
    list_display = ("name", "category", "price")
    list_filter = ("category",)
    search_fields = ("name",)


@admin.register(Order)
class OrderAdmin(CrossDBModelAdmin):
    list_display = ("order_number", "customer", "customer__email", "total", "created_at")
    search_fields = ("order_number",)
    autocomplete_fields = ("customer",)


@admin.register(Review)
class ReviewAdmin(CrossDBModelAdmin):
    list_display = ("__str__", "product", "author")
    search_fields = ("text",)
    autocomplete_fields = ("product", "author")


@admin.register(Invoice)
class InvoiceAdmin(CrossDBModelAdmin):
    list_display = ("order_number", "customer")
    search_fields = ("order_number",)
    raw_id_fields = ("customer",)


@admin.register(Profile)
class ProfileAdmin(CrossDBModelAdmin):
    list_display = ("user", "city")
    list_filter = ("city",)
    raw_id_fields = ("user",)
