"""Packages that everybody knows, none of which knows of several databases.

What they keep is beside the magazine, in ``content``; users and content types are in
``default``. Their relations are adopted, and nothing else is said of them.
"""

from tests.multidb.settings import *  # noqa: F403
from tests.multidb.settings import CONTRIB, database

DATABASES = {
    "default": database("packages", "default", targets=True),
    "content": database("packages", "content", targets=False),
}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {
    "HOMES": dict.fromkeys(["magazine", "taggit", "guardian", "reversion"], "content"),
    "ADOPT": [
        "guardian.GroupObjectPermission.content_object",
        "guardian.GroupObjectPermission.content_type",
        "guardian.GroupObjectPermission.group",
        "guardian.GroupObjectPermission.permission",
        "guardian.UserObjectPermission.content_object",
        "guardian.UserObjectPermission.content_type",
        "guardian.UserObjectPermission.permission",
        "guardian.UserObjectPermission.user",
        "magazine.HistoricalArticle.history_user",
        "magazine.Work.polymorphic_ctype",
        "reversion.Revision.user",
        "reversion.Version.content_type",
        "reversion.Version.object",
        "taggit.TaggedItem.content_object",
        "taggit.TaggedItem.content_type",
    ],
    "CONFIRM_AFTER": 0,
    "MAX_ORPHAN_SHARE": 1.0,
}
INSTALLED_APPS = [
    *CONTRIB,
    "polymorphic",
    "taggit",
    "guardian",
    "simple_history",
    "reversion",
    "xdbrel",
    "tests.multidb.packages.magazine",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
MIDDLEWARE = [*MIDDLEWARE, "simple_history.middleware.HistoryRequestMiddleware"]  # noqa: F405
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
SECRET_KEY = "for tests only"
USE_TZ = True
