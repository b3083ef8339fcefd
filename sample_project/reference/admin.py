from django.contrib import admin

from sample_project.reference.models import Airline, Airport, Plane
from xdbrel.admin import CrossDBModelAdmin


@admin.register(Airline)
class AirlineAdmin(CrossDBModelAdmin):
    list_display = ("carrier", "name")
    search_fields = ("carrier", "name")


@admin.register(Airport)
class AirportAdmin(CrossDBModelAdmin):
    list_display = ("faa", "name", "timezone")
    list_filter = ("timezone",)
    search_fields = ("faa", "name")


@admin.register(Plane)
class PlaneAdmin(CrossDBModelAdmin):
    list_display = ("tailnum", "manufacturer", "model", "year", "seats")
    list_filter = ("manufacturer",)
    search_fields = ("tailnum", "model")
