"""Settings of the moves that are killed: rows go from ``default`` to ``other``.

``XDBREL_FAULT_PAIR`` says which databases these are: sqlite, postgres, mariadb (from PostgreSQL
to MariaDB). SQLite's are files in ``XDBREL_FAULT_FOLDER``.
"""

import os

from benchmarks import measuring
from tests import servers

servers.use_pymysql_where_alone()

_NAME = f"xdbrel_moves_{{}}{os.environ.get('XDBREL_DB_SUFFIX', '')}"


def _database(kind, alias):
    if kind == "postgres":
        return measuring.postgresql(_NAME.format(alias))
    if kind == "mariadb":
        return measuring.mariadb(_NAME.format(alias))
    found = measuring.sqlite(os.path.join(os.environ["XDBREL_FAULT_FOLDER"], f"{alias}.sqlite3"))
    return {**found, "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"}}


_ENDS = {
    "sqlite": ("sqlite", "sqlite"),
    "postgres": ("postgres", "postgres"),
    "mariadb": ("postgres", "mariadb"),
}[os.environ["XDBREL_FAULT_PAIR"]]

DATABASES = {
    "default": _database(_ENDS[0], "default"),
    "other": _database(_ENDS[1], "other"),
}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {"HOMES": {"parcels": "default"}, "MOVING": {"parcels": "other"}}
INSTALLED_APPS = ["xdbrel", "tests.faults.parcels"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "for tests only"
USE_TZ = True
