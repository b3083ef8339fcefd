"""Django settings of workload B: three databases on each of two servers.

``<engine>_users`` and ``<engine>_posts`` are the two homes, ``<engine>_one`` holds the
same rows together. PostgreSQL is looked for where ``XDBREL_PG_HOST``, ``XDBREL_PG_PORT``,
``XDBREL_PG_USER`` and ``XDBREL_PG_PASSWORD`` say, SQLite files are put into ``DIRECTORY``.
"""

import os
import tempfile
from pathlib import Path

from benchmarks import measuring

ENGINES = ("postgresql", "sqlite")
PLACES = ("users", "posts", "one")
DIRECTORY = Path(tempfile.gettempdir()) / f"xdbrel_bench_b_{os.getpid()}"


def _database(engine: str, place: str) -> dict:
    name = f"xdbrel_bench_b_{place}"
    if engine == "sqlite":
        return measuring.sqlite(DIRECTORY / f"{name}.sqlite3")
    return measuring.postgresql(name)


DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    **{f"{engine}_{place}": _database(engine, place) for engine in ENGINES for place in PLACES},
}
DATABASE_ROUTERS = ["benchmarks.data_b.router.Router"]
INSTALLED_APPS = ["benchmarks.data_b"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for benchmarks only"
USE_TZ = True
