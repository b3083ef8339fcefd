"""What the projects of this folder have in common: Django's own apps, and where databases are.

Each project has settings of its own, and runs apart: ``pytest tests/multidb/routed
--ds=tests.multidb.routed.settings``. On XDBREL_LAYOUT depends on which servers its databases are.
"""

from tests.settings import _LAYOUTS, LAYOUT, MIDDLEWARE, TEMPLATES, _database

__all__ = ["CONTRIB", "DEFAULT_AUTO_FIELD", "MIDDLEWARE", "PASSWORD_HASHERS", "TEMPLATES"]

CONTRIB = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def database(project, alias, *, targets):
    """Return the database ``alias`` of a project, on the server where ``targets`` are or not."""
    role = "default" if targets else "blog"
    configured = _database(f"{project}_{alias}", _LAYOUTS[LAYOUT][role])
    # An empty default is nothing that a test database could wait for.
    return {**configured, "TEST": {**configured.get("TEST", {}), "DEPENDENCIES": []}}
