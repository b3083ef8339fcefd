from django.contrib import admin
from django.urls import path

from sample_project import views

urlpatterns = [
    path("", views.index, name="index"),
    path("posts/", views.posts, name="posts"),
    path("notes/", views.notes, name="notes"),
    path("flights/", views.flights, name="flights"),
    path("search/", views.search, name="search"),
    path("admin/", admin.site.urls),
]
