"""The same as ``tests.faults.settings``, for the sample project's models and homes."""

# First: it gives the databases a suffix of their own.
from tests.faults import settings  # isort: skip
from tests import sample_settings
from tests.sample_settings import *  # noqa: F403

HOMES = {"blog": "blog_db", "shop": "shop_db"}
DATABASES = settings.shared(
    {alias: sample_settings.DATABASES[alias] for alias in ("default", *HOMES.values())}
)
XDBREL = settings.impatient({"HOMES": HOMES})
LOGGING = settings.LOGGING
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "xdbrel",
    "sample_project.blog",
    "sample_project.shop",
]
MIDDLEWARE = []
