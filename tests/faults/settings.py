"""Settings of the processes that are killed: databases of their own, and no patience.

Derived from ``tests.settings``, layout and suffix included. SQLite's databases are files in
``XDBREL_FAULT_FOLDER``: processes share them.
"""

import os

os.environ["XDBREL_DB_SUFFIX"] = os.environ.get("XDBREL_DB_SUFFIX", "") + "_faults"

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, XDBREL

FOLDER = os.environ["XDBREL_FAULT_FOLDER"]

# What has no part in it would only be migrated.
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "xdbrel",
    "tests.apps.people",
    "tests.apps.blog",
    "tests.apps.shop",
]
MIDDLEWARE = []


def shared(databases):
    """Return ``databases`` as several processes can use them at the same time."""
    for alias, configured in databases.items():
        if configured["ENGINE"].endswith("sqlite3"):
            name = os.path.join(FOLDER, f"{alias}.sqlite3")
            configured["NAME"] = name
            configured["TEST"] = {"NAME": name}
            configured["OPTIONS"] = {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            }
    return databases


def impatient(given):
    """Return xdbrel's settings with leases, delays and horizons of the length of a test."""
    return {
        **given,
        # Shorter than some applications take: two at once do the same work.
        "CLAIM_SECONDS": 0.5,
        "RETRY_SECONDS": 0.05,
        # Being killed is no fault of the intent's, and counts as an attempt.
        "MAX_ATTEMPTS": 100,
        "RELAY_BATCH_SIZE": 20,
        "SECOND_LOOK_SECONDS": 4.0,
    }


DATABASES = shared(DATABASES)
XDBREL = impatient(XDBREL)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(process)s %(levelname)s %(message)s"}},
    "handlers": {
        "file": {
            "class": "logging.FileHandler",
            "filename": os.path.join(FOLDER, "log.txt"),
            "formatter": "line",
        }
    },
    "root": {"handlers": ["file"], "level": "WARNING"},
}
