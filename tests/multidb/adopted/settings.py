"""An app that knows of one database only, in a database of its own: its relations are adopted."""

from tests.multidb.settings import *  # noqa: F403
from tests.multidb.settings import CONTRIB, database

DATABASES = {
    "default": database("adopted", "default", targets=True),
    "content": database("adopted", "content", targets=False),
}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {
    "HOMES": {"board": "content", "flatpages": "content"},
    "ADOPT": [
        "board.Topic.author",
        "board.Topic.followers",
        "board.Topic.voters",
        "board.Vote.user",
        "board.Marker.content_type",
        "board.Marker.content_object",
        "flatpages.FlatPage.sites",
    ],
    "CONFIRM_AFTER": 0,
    "MAX_ORPHAN_SHARE": 1.0,
}
INSTALLED_APPS = [
    *CONTRIB,
    "django.contrib.sites",
    "django.contrib.flatpages",
    "xdbrel",
    "tests.multidb.adopted.board",
    "tests.multidb.adopted.people",
]
ROOT_URLCONF = "django.contrib.flatpages.urls"
SITE_ID = 1
STATIC_URL = "static/"
SECRET_KEY = "for tests only"
USE_TZ = True
