"""Django settings of workload A, for the processes in which its ways are measured.

``default`` is the home of the users and of the findings, ``posts`` that of the posts
together with a copy of the users: the one database that ways are compared with. Which
servers they are says ``XDBREL_BENCH_A_PAIR``: postgres, sqlite or mariadb (posts in
MariaDB, users in PostgreSQL). ``XDBREL_BENCH_A_DIR`` is where SQLite's files are.
"""

import os
from pathlib import Path

PAIR = os.environ.get("XDBREL_BENCH_A_PAIR", "postgres")


def _database(kind: str, alias: str) -> dict:
    name = f"xdbrel_bench_a_{alias}"
    if kind == "sqlite":
        directory = Path(os.environ.get("XDBREL_BENCH_A_DIR", "."))
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": directory / f"{name}.sqlite3"}
    if kind == "mariadb":
        return {
            "ENGINE": "django.db.backends.mysql",
            "NAME": name,
            "HOST": os.environ.get("XDBREL_MY_HOST", "127.0.0.1"),
            "PORT": os.environ.get("XDBREL_MY_PORT", "3306"),
            "USER": os.environ.get("XDBREL_MY_USER", "root"),
            "PASSWORD": os.environ.get("XDBREL_MY_PASSWORD", ""),
            "OPTIONS": {"charset": "utf8mb4"},
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "HOST": os.environ.get("XDBREL_PG_HOST", "127.0.0.1"),
        "PORT": os.environ.get("XDBREL_PG_PORT", "5432"),
        "USER": os.environ.get("XDBREL_PG_USER", "postgres"),
        "PASSWORD": os.environ.get("XDBREL_PG_PASSWORD", ""),
    }


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
