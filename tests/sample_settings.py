"""The sample project's settings, for its tests: ``pytest --ds=tests.sample_settings``.

Its five homes follow XDBREL_LAYOUT: ``default`` and ``reference_db``, where the targets
are, against the homes of the sources.
"""

import os

from sample_project.settings import *  # noqa: F403
from sample_project.settings import HOMES, INSTALLED_APPS
from tests import servers
from tests.settings import _LAYOUTS, LAYOUT, _database

TARGETS = ("default", "reference_db")

DATABASES = {
    alias: _database(
        f"sample_{alias}", _LAYOUTS[LAYOUT]["default" if alias in TARGETS else "blog"]
    )
    for alias in HOMES
}
# With servers, the cache is where the sample project has it then.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if LAYOUT != "sqlite" and not servers.why_not("redis"):
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": servers.REDIS_URL,
            "KEY_PREFIX": f"xdbrel_{os.getpid()}",
        }
    }
if "cachalot" not in INSTALLED_APPS:
    INSTALLED_APPS = [*INSTALLED_APPS, "cachalot"]
CACHALOT_UNCACHABLE_APPS = frozenset({"xdbrel"})
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
