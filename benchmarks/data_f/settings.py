"""Django settings of workload F: two PostgreSQL databases, and Redis with django-cachalot on.

``XDBREL_PG_HOST`` and so on say where PostgreSQL is, ``XDBREL_REDIS_URL`` where Redis is.
"""

import os

from benchmarks import measuring

REDIS_URL = os.environ.get("XDBREL_REDIS_URL", "redis://127.0.0.1:6379/0")
PREFIX = f"xdbrel_bench_f_{os.getpid()}"

DATABASES = {
    "default": measuring.postgresql("xdbrel_bench_f_users"),
    "posts": measuring.postgresql("xdbrel_bench_f_posts"),
}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {"HOMES": {"data_f.User": "default", "data_f.Post": "posts"}}
INSTALLED_APPS = ["xdbrel", "benchmarks.data_f", "cachalot"]
CACHALOT_UNCACHABLE_APPS = frozenset({"xdbrel"})
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": PREFIX,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for benchmarks only"
USE_TZ = True
