from django.contrib import admin

from sample_project.blog.models import Note
from sample_project.reference.models import Airline, Airport, Plane
from xdbrel.admin import CrossDBModelAdmin
from xdbrel.admin.generic import CrossDBGenericTabularInline


class NoteInline(CrossDBGenericTabularInline):
    model = Note
    autocomplete_fields = ("author",)
    extra = 0


@admin.register(Airline)
class AirlineAdmin(CrossDBModelAdmin):
    list_display = ("carrier", "name")
    search_fields = ("carrier", "name")
    inlines = (NoteInline,)


@admin.register(Airport)
class AirportAdmin(CrossDBModelAdmin):
    list_display = ("faa", "name", "timezone")
    list_filter = ("timezone",)
    search_fields = ("faa", "name")
    inlines = (NoteInline,)


@admin.register(Plane)
class PlaneAdmin(CrossDBModelAdmin):
    list_display = ("tailnum", "manufacturer", "model", "year", "seats")
    list_filter = ("manufacturer",)
    search_fields = ("tailnum", "model")
    inlines = (NoteInline,)
