"""Settings of the test suite: three homes, laid out by XDBREL_LAYOUT.

sqlite (the default)   all on SQLite
postgres               all on PostgreSQL
mariadb                all on MariaDB
mixed                  targets on PostgreSQL, sources on MariaDB
mixed_reverse          targets on MariaDB, sources on PostgreSQL
sqlite:postgres …      any other pairing, the targets' database first

PostgreSQL and MariaDB are expected where ``tests/servers.py`` says; the test databases
have names of their own.
"""

import os

from tests import servers

LAYOUT = os.environ.get("XDBREL_LAYOUT", "sqlite")

_ENGINES = {
    "sqlite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "postgres": {
        "ENGINE": "django.db.backends.postgresql",
        **servers.POSTGRES,
        # Nothing here outlives its test: no commit has to wait for the disk.
        "OPTIONS": {"options": "-c synchronous_commit=off"},
    },
    "mariadb": {
        "ENGINE": "django.db.backends.mysql",
        **servers.MARIADB,
        "OPTIONS": {"charset": "utf8mb4"},
    },
}

_LAYOUTS = {
    "sqlite": {"default": "sqlite", "blog": "sqlite", "shop": "sqlite"},
    "postgres": {"default": "postgres", "blog": "postgres", "shop": "postgres"},
    "mariadb": {"default": "mariadb", "blog": "mariadb", "shop": "mariadb"},
    "mixed": {"default": "postgres", "blog": "mariadb", "shop": "mariadb"},
    "mixed_reverse": {"default": "mariadb", "blog": "postgres", "shop": "postgres"},
}

_targets, _, _sources = LAYOUT.partition(":")
if _sources:
    _LAYOUTS[LAYOUT] = {"default": _targets, "blog": _sources, "shop": _sources}


def _database(alias, kind):
    configured = dict(_ENGINES[kind])
    if kind != "sqlite":
        # A suffix of one's own lets several runs share the servers.
        name = f"xdbrel_{LAYOUT.replace(':', '_')}_{alias}{os.environ.get('XDBREL_DB_SUFFIX', '')}"
        configured["NAME"] = name
        configured["TEST"] = {"NAME": f"test_{name}"}
        if kind == "mariadb":
            configured["TEST"].update(CHARSET="utf8mb4", COLLATION="utf8mb4_bin")
    return configured


servers.use_pymysql_where_alone()

DATABASES = {alias: _database(alias, kind) for alias, kind in _LAYOUTS[LAYOUT].items()}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]
XDBREL = {
    # Tables of tests are small, and all orphans in many of them.
    "MAX_ORPHAN_SHARE": 1.0,
    # No test waits: a repair may look a second time at once.
    "CONFIRM_AFTER": 0,
    # What is moved has tables at both ends.
    "MOVING": {"wagons": "blog"},
    "HOMES": {
        "archive.Entry": "blog",
        "archive.Loan": "blog",
        "archive.Slip": "blog",
        "archive.Pigeonhole": "blog",
        "archive.Leaf": "blog",
        "blog": "blog",
        "shop": "shop",
        "knots.Album": "blog",
        "knots.Song": "blog",
        "knots.Concert": "blog",
        "knots.Player": "blog",
        "knots.Ticket": "shop",
        "library.Book": "blog",
        "library.Classification": "blog",
        "library.Sale": "shop",
        "library.Shelfmark": "shop",
        "freight": "default",
        "freight.Crate": "blog",
        "freight.Dock": "blog",
        "freight.Sign": "blog",
        "climate": "default",
        "climate.Marker": "blog",
        "climate.Trip": "blog",
        "climate.Outing": "blog",
        "climate.Stop": "blog",
        "climate.Guide": "blog",
        "climate.Tour": "blog",
        "climate.Fare": "shop",
        "climate.Report": "shop",
        "codes": "blog",
        "codes.Author": "default",
        "codes.Course": "default",
        "codes.Currency": "default",
        "codes.Subject": "default",
        "clubs": "default",
        "clubs.Club": "blog",
        "clubs.Membership": "shop",
        "codes.Card": "shop",
        "codes.Mark": "shop",
        "codes.Pin": "shop",
        "codes.Syllabus": "shop",
        **dict.fromkeys(
            [
                f"garden.{model}"
                for model in ("Tag", "Petal", "Payment", "Rental", "Print", "Login", "Deed")
            ],
            "blog",
        ),
        "wagons": "default",
        # Points at them from elsewhere.
        "wagons.Ride": "shop",
        "notes": "default",
        **dict.fromkeys([f"notes.{model}" for model in ("Note", "Reply", "Essay")], "blog"),
        "notes.Label": "shop",
        "parted": "default",
        **dict.fromkeys(
            [f"parted.{model}" for model in ("Post", "Comment", "Club", "Note", "Visit")], "blog"
        ),
        **dict.fromkeys(
            [f"parted.{model}" for model in ("Order", "Profile", "Membership", "Label", "Zone")],
            "shop",
        ),
    },
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "xdbrel",
    "tests.apps.people",
    "tests.apps.blog",
    "tests.apps.shop",
    "tests.apps.archive",
    "tests.apps.knots",
    "tests.apps.climate",
    "tests.apps.codes",
    "tests.apps.garden",
    "tests.apps.freight",
    "tests.apps.library",
    "tests.apps.parted",
    "tests.apps.clubs",
    "tests.apps.wagons",
    "tests.apps.notes",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
GARDEN_ACCOUNT_MODEL = "garden.OwnAccount"
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
SECRET_KEY = "for tests only"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
