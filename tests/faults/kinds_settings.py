"""The same as ``tests.faults.settings``, for relations of other kinds and their models."""

from tests.faults.settings import *  # noqa: F403

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "xdbrel",
    "tests.apps.clubs",
    "tests.apps.notes",
    "tests.apps.climate",
]
