"""Django settings of workload A, for the processes in which its ways are measured.

``default`` is the home of the users and of the findings, ``posts`` that of the posts
together with a copy of the users: the one database that ways are compared with. Which
servers they are says ``XDBREL_BENCH_A_PAIR``: postgres, sqlite or mariadb (posts in
MariaDB, users in PostgreSQL). ``XDBREL_BENCH_A_DIR`` is where SQLite's files are.
"""

import os
from pathlib import Path

from benchmarks import measuring

PAIR = os.environ.get("XDBREL_BENCH_A_PAIR", "postgres")


def _database(kind: str, alias: str) -> dict:
    name = f"xdbrel_bench_a_{alias}"
    if kind == "sqlite":
        directory = Path(os.environ.get("XDBREL_BENCH_A_DIR", "."))
        return measuring.sqlite(directory / f"{name}.sqlite3")
    if kind == "mariadb":
        return measuring.mariadb(name)
    return measuring.postgresql(name)


_TARGETS, _SOURCES = {
    "postgres": ("postgres", "postgres"),
    "sqlite": ("sqlite", "sqlite"),
    "mariadb": ("postgres", "mariadb"),
}[PAIR]

DATABASES = {
    "default": _database(_TARGETS, "users"),
    "posts": _database(_SOURCES, "posts"),
}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {"HOMES": {"data_a.Post": "posts", "data_a.UuidPost": "posts"}}
INSTALLED_APPS = ["xdbrel", "benchmarks.data_a"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for benchmarks only"
USE_TZ = True
