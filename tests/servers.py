"""The servers that tests use: where they are expected, and whether they answer.

Owns their addresses (environment variables override the standard local ports) and the
one question "why not"; ``tests/settings.py`` makes Django's databases of the addresses,
``tests/conftest.py`` skips by the answers, ``tests/run.py`` plans by them.
``python -m tests.servers`` prints the answers as JSON, "" for a server that is there.
"""

from __future__ import annotations

import functools
import json
import os
import sys

POSTGRES = {
    "HOST": os.environ.get("XDBREL_PG_HOST", "127.0.0.1"),
    "PORT": os.environ.get("XDBREL_PG_PORT", "5432"),
    "USER": os.environ.get("XDBREL_PG_USER", "postgres"),
    "PASSWORD": os.environ.get("XDBREL_PG_PASSWORD", ""),
}
MARIADB = {
    "HOST": os.environ.get("XDBREL_MY_HOST", "127.0.0.1"),
    "PORT": os.environ.get("XDBREL_MY_PORT", "3306"),
    "USER": os.environ.get("XDBREL_MY_USER", "root"),
    "PASSWORD": os.environ.get("XDBREL_MY_PASSWORD", ""),
}
REDIS_URL = os.environ.get("XDBREL_REDIS_URL", "redis://127.0.0.1:6379/0")

RABBITMQ_URL = os.environ.get("XDBREL_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")

TIMEOUT_SECONDS = 5


def use_pymysql_where_alone() -> None:
    """Let PyMySQL stand in for mysqlclient where that could not be built."""
    try:
        import MySQLdb  # noqa: F401
    except ImportError:
        try:
            import pymysql
        except ImportError:
            return
        # Django asks for the version of mysqlclient whose API it uses.
        pymysql.version_info = (2, 2, 1, "final", 0)
        pymysql.install_as_MySQLdb()


@functools.cache
def why_not(server: str) -> str:
    """Return why ``postgres``, ``mariadb``, ``redis`` or ``rabbitmq`` cannot be used, or ""."""
    return {
        "postgres": _postgres,
        "mariadb": _mariadb,
        "redis": _redis,
        "rabbitmq": _rabbitmq,
    }[server]()


def _postgres() -> str:
    try:
        import psycopg
    except ImportError as error:
        return f"PostgreSQL has no driver here ({error})"
    try:
        psycopg.connect(
            host=POSTGRES["HOST"],
            port=POSTGRES["PORT"],
            user=POSTGRES["USER"],
            password=POSTGRES["PASSWORD"],
            dbname="postgres",
            connect_timeout=TIMEOUT_SECONDS,
        ).close()
    except psycopg.OperationalError as error:
        return _does_not_answer("PostgreSQL", POSTGRES["HOST"], POSTGRES["PORT"], error)
    return ""


def _mariadb() -> str:
    use_pymysql_where_alone()
    try:
        import MySQLdb
    except ImportError as error:
        return f"MariaDB has no driver here ({error})"
    try:
        MySQLdb.connect(
            host=MARIADB["HOST"],
            port=int(MARIADB["PORT"]),
            user=MARIADB["USER"],
            password=MARIADB["PASSWORD"],
            connect_timeout=TIMEOUT_SECONDS,
        ).close()
    except MySQLdb.OperationalError as error:
        return _does_not_answer("MariaDB", MARIADB["HOST"], MARIADB["PORT"], error)
    return ""


def _redis() -> str:
    import redis

    client = redis.Redis.from_url(REDIS_URL, socket_connect_timeout=TIMEOUT_SECONDS)
    try:
        client.ping()
    except redis.RedisError as error:
        return f"Redis does not answer at {REDIS_URL} ({_one_line(error)})"
    finally:
        client.close()
    return ""


def _rabbitmq() -> str:
    from kombu import Connection

    connection = Connection(RABBITMQ_URL, connect_timeout=TIMEOUT_SECONDS)
    try:
        connection.connect()
    except (OSError, *connection.connection_errors) as error:
        return f"RabbitMQ does not answer at {RABBITMQ_URL} ({_one_line(error)})"
    finally:
        connection.release()
    return ""


def _does_not_answer(name: str, host: str, port: str, error: Exception) -> str:
    return f"{name} does not answer at {host}:{port} ({_one_line(error)})"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    answers = {server: why_not(server) for server in ("postgres", "mariadb", "redis", "rabbitmq")}
    json.dump(answers, sys.stdout)
