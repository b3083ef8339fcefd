"""No default database: users in one, customers' things in another, users of old in a third.

Django's own apps are split as its page on several databases allows: what is linked to content
types is with them, what is linked to sites with those, sessions are for themselves.
"""

from tests.multidb.settings import *  # noqa: F403
from tests.multidb.settings import CONTRIB, MIDDLEWARE, database

DATABASES = {
    "default": {},
    "users": database("emptied", "users", targets=True),
    "legacy_users": database("emptied", "legacy_users", targets=True),
    "customers": database("emptied", "customers", targets=False),
}
DATABASE_ROUTERS = [
    "tests.multidb.emptied.routers.LegacyRouter",
    "xdbrel.routers.HomeRouter",
]
XDBREL = {
    "HOMES": {
        **dict.fromkeys(["auth", "contenttypes", "admin"], "users"),
        **dict.fromkeys(["sites", "flatpages", "redirects"], "customers"),
        **dict.fromkeys(["django_cache", "sessions", "shop", "press"], "customers"),
    },
    "INTEGRITY_DATABASE": "customers",
    "CONFIRM_AFTER": 0,
    "MAX_ORPHAN_SHARE": 1.0,
}
INSTALLED_APPS = [
    *CONTRIB,
    "django.contrib.sites",
    "django.contrib.flatpages",
    "django.contrib.redirects",
    "xdbrel",
    "tests.multidb.emptied.shop",
    "tests.multidb.emptied.press",
]
MIDDLEWARE = [*MIDDLEWARE, "django.contrib.redirects.middleware.RedirectFallbackMiddleware"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "shop_cache",
    }
}
SITE_ID = 1
ROOT_URLCONF = "tests.multidb.emptied.urls"
STATIC_URL = "static/"
SECRET_KEY = "for tests only"
USE_TZ = True
