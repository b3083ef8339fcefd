from django.contrib.flatpages.views import flatpage
from django.urls import path

from tests.multidb.emptied.admin import of_old, othersite, plain

urlpatterns = [
    path("admin/", plain.urls),
    path("of-old/", of_old.urls),
    path("othersite/", othersite.urls),
    path("about/", flatpage, {"url": "/about/"}),
]
