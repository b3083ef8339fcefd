from django.contrib import admin

from sample_project.flights.models import Flight
from xdbrel.admin import CrossDBModelAdmin


@admin.register(Flight)
class FlightAdmin(CrossDBModelAdmin):
    list_display = ("time_hour", "carrier", "number", "origin", "dest", "plane", "dep_delay")
    list_filter = ("carrier",)
    list_per_page = 50
    show_full_result_count = False
    ordering = ("time_hour", "id")
    search_fields = ("=number",)
    autocomplete_fields = ("carrier", "plane", "origin", "dest")
