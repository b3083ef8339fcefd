"""Settings of the sample project: five homes, on SQLite files or on real servers.

Without further ado everything is a file under ``sample_project/var/`` (``SAMPLE_VAR``), the
broker included. ``SAMPLE_SERVICES=1`` takes PostgreSQL for ``default``, ``shop_db`` and
``flights_db``, MariaDB for ``blog_db`` and ``reference_db``, and Redis for broker and cache;
``SAMPLE_PG_…``, ``SAMPLE_MY_…`` and ``SAMPLE_REDIS_URL`` say where they are, and
``SAMPLE_REDIS_URL`` alone takes Redis beside the files.
"""

import os
from pathlib import Path

from worker.config import VISIBILITY_TIMEOUT

SERVICES = os.environ.get("SAMPLE_SERVICES", "") not in ("", "0")
SUFFIX = os.environ.get("SAMPLE_DB_SUFFIX", "")
VAR = Path(os.environ.get("SAMPLE_VAR", Path(__file__).resolve().parent / "var")).resolve()
VAR.mkdir(parents=True, exist_ok=True)

DEBUG = True
SECRET_KEY = "the sample project's, which holds no secrets"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", "testserver"]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "sample_project.urls"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "xdbrel",
    "sample_project",
    "sample_project.blog",
    "sample_project.shop",
    "sample_project.reference",
    "sample_project.flights",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
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

# Where each app lives. What is not named here (auth, admin, sessions …) is in "default".
XDBREL = {
    "HOMES": {
        "blog": "blog_db",
        "shop": "shop_db",
        "reference": "reference_db",
        "flights": "flights_db",
    }
}
DATABASE_ROUTERS = ["xdbrel.routers.HomeRouter"]


def _pymysql_where_alone():
    """Let PyMySQL stand in where mysqlclient could not be built."""
    try:
        import MySQLdb  # noqa: F401
    except ImportError:
        import pymysql

        # Django asks for the version of mysqlclient whose API it uses.
        pymysql.version_info = (2, 2, 1, "final", 0)
        pymysql.install_as_MySQLdb()


def _sqlite(alias):
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(VAR / f"{alias}.sqlite3"),
        "OPTIONS": {
            # The site, the worker and the demo write at the same time.
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def _server(alias, engine, prefix, host, port, user, **options):
    def given(name, fallback):
        return os.environ.get(f"SAMPLE_{prefix}_{name}", fallback)

    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": f"sample_{alias}{SUFFIX}",
        "HOST": given("HOST", host),
        "PORT": given("PORT", port),
        "USER": given("USER", user),
        "PASSWORD": given("PASSWORD", ""),
        "OPTIONS": options,
    }


def _postgres(alias):
    return _server(alias, "postgresql", "PG", "127.0.0.1", "5432", "postgres")


def _mariadb(alias):
    return _server(alias, "mysql", "MY", "127.0.0.1", "3306", "root", charset="utf8mb4")


HOMES = ("default", "blog_db", "shop_db", "reference_db", "flights_db")
if SERVICES:
    _pymysql_where_alone()
    DATABASES = {
        alias: _mariadb(alias) if alias in ("blog_db", "reference_db") else _postgres(alias)
        for alias in HOMES
    }
else:
    DATABASES = {alias: _sqlite(alias) for alias in HOMES}

REDIS_URL = os.environ.get("SAMPLE_REDIS_URL", "redis://127.0.0.1:6379/7" if SERVICES else "")
if REDIS_URL:
    INSTALLED_APPS += ["cachalot"]
    # What xdbrel keeps in its own tables decides; it is never answered from a cache.
    CACHALOT_UNCACHABLE_APPS = frozenset({"xdbrel"})
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": f"sample{SUFFIX}",
        }
    }
    CELERY_BROKER_URL = CELERY_RESULT_BACKEND = REDIS_URL
    CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"global_keyprefix": f"sample{SUFFIX}:"}
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        **CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS,
        "visibility_timeout": VISIBILITY_TIMEOUT,
    }
else:
    # A broker without a server. Of the two that kombu has, this one stores a message
    # whole or not at all; a folder of files shows it while it is still being written.
    CELERY_BROKER_URL = f"sqla+sqlite:///{VAR / 'broker.sqlite3'}"
    CELERY_RESULT_BACKEND = f"db+sqlite:///{VAR / 'results.sqlite3'}"
    CELERY_BROKER_TRANSPORT_OPTIONS = {"connect_args": {"timeout": 30}}
    CELERY_DATABASE_ENGINE_OPTIONS = {"connect_args": {"timeout": 30}}
