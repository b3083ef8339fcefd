from django.contrib import admin

from sample_project.flights.models import Flight
from xdbrel.admin import CrossDBModelAdmin


@admin.register(Flight)
class FlightAdmin(CrossDBModelAdmin):
    list_display = ("time_hour", "carrier", "number", "origin", "dest", "plane", "dep_delay")
    # The planes, airports and airlines are in another database.
    list_filter = ("carrier", "plane__manufacturer", "dest__timezone")
    list_per_page = 50
    show_full_result_count = False
    ordering = ("carrier__name", "time_hour", "id")
    search_fields = ("=number", "carrier__name", "plane__model")
    autocomplete_fields = ("carrier", "plane", "origin", "dest")
