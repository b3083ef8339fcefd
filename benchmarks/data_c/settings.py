"""Django settings of workload C, for the processes in which its ways are measured.

``default`` is the home of the users, ``posts`` that of the posts, ``one`` holds both.
``XDBREL_BENCH_C_PAIR`` says which servers they are: postgresql, mariadb (the users alone) or
sqlite, whose files are in ``XDBREL_BENCH_C_DIR``; ``XDBREL_BENCH_C_DATA`` is added to the
names of the databases. No statement runs longer than ``XDBREL_BENCH_C_LIMIT`` seconds.
"""

import os
from pathlib import Path

from benchmarks import measuring

PAIR = os.environ.get("XDBREL_BENCH_C_PAIR", "postgresql")
LIMIT = float(os.environ.get("XDBREL_BENCH_C_LIMIT", "0"))
# The suffix is of its own for each checkout that is measured at the same time, as for the tests.
_END = os.environ.get("XDBREL_BENCH_C_DATA", "") + os.environ.get("XDBREL_DB_SUFFIX", "")


def _database(kind: str, place: str) -> dict:
    name = f"xdbrel_bench_c_{PAIR}_{place}{_END}"
    if kind == "sqlite":
        directory = Path(os.environ.get("XDBREL_BENCH_C_DIR", "."))
        return measuring.sqlite(directory / f"{name}.sqlite3")
    if kind == "mariadb":
        settings = measuring.mariadb(name)
        if LIMIT:
            settings["OPTIONS"]["init_command"] = f"SET SESSION max_statement_time = {LIMIT}"
        return settings
    settings = measuring.postgresql(name)
    # A server does not notice by itself that the client was killed while a statement runs.
    options = "-c client_connection_check_interval=1000"
    if LIMIT:
        options += f" -c statement_timeout={round(LIMIT * 1000)}"
    settings["OPTIONS"] = {"options": options}
    return settings


_USERS, _POSTS = {
    "postgresql": ("postgresql", "postgresql"),
    "mariadb": ("mariadb", "postgresql"),
    "sqlite": ("sqlite", "sqlite"),
}[PAIR]

DATABASES = {
    "default": _database(_USERS, "users"),
    "posts": _database(_POSTS, "posts"),
    "one": _database(_POSTS, "one"),
}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {
    "HOMES": {
        "data_c.User": "default",
        "data_c.Post": "posts",
        "data_c.PlainPost": "posts",
        "data_c.FdwUser": "posts",
        "data_c.FdwPost": "posts",
        "data_c.OneUser": "one",
        "data_c.OnePost": "one",
    }
}
INSTALLED_APPS = ["xdbrel", "benchmarks.data_c"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for benchmarks only"
USE_TZ = True
