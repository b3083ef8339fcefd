"""Workload A's users on a PostgreSQL with a standby, its posts in SQLite: see ``standby``."""

import os
from pathlib import Path

from benchmarks.data_a.settings import *  # noqa: F403

_SERVER = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "xdbrel_users",
    "HOST": "127.0.0.1",
    "USER": "postgres",
}
DATABASES = {
    "default": {**_SERVER, "PORT": os.environ["XDBREL_PRIMARY_PORT"]},
    "standby": {**_SERVER, "PORT": os.environ["XDBREL_STANDBY_PORT"]},
    "posts": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["XDBREL_BENCH_A_DIR"]) / "posts.sqlite3",
    },
}
DATABASE_ROUTERS = ["xdbrel.routers.PrimaryReplicaRouter", "xdbrel.routers.HomeRouter"]
XDBREL = {
    "HOMES": {"data_a.Post": "posts"},
    "REPLICAS": {"standby": "default"},
    "INTEGRITY_DATABASE": "posts",
    "CONFIRM_AFTER": 0,
}
