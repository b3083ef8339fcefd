"""Users in one database, all else in a primary with two replicas, and an empty default.

The example of Django's page on several databases; its routers are in ``routers``.
"""

from tests.multidb.settings import *  # noqa: F403
from tests.multidb.settings import CONTRIB, database

_REPLICA = {**database("routed", "primary", targets=False), "TEST": {"MIRROR": "primary"}}

DATABASES = {
    "default": {},
    "auth_db": database("routed", "auth_db", targets=True),
    "primary": database("routed", "primary", targets=False),
    "replica1": {**_REPLICA},
    "replica2": {**_REPLICA},
}
DATABASE_ROUTERS = [
    "tests.multidb.routed.routers.AuthRouter",
    "tests.multidb.routed.routers.PrimaryReplicaRouter",
]
XDBREL = {
    "INTEGRITY_DATABASE": "primary",
    "REPLICAS": {"replica1": "primary", "replica2": "primary"},
    "ADOPT": ["admin.LogEntry.user", "admin.LogEntry.content_type"],
    "CONFIRM_AFTER": 0,
    "MAX_ORPHAN_SHARE": 1.0,
}
INSTALLED_APPS = [
    *CONTRIB,
    "xdbrel",
    "tests.multidb.routed.library",
]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
SECRET_KEY = "for tests only"
USE_TZ = True
