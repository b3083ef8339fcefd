from django.contrib import admin

from tests.multidb.routed.library.models import Book, Card, Person

admin.site.register([Book, Card, Person])
