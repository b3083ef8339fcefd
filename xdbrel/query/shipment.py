"""A shipment: rows of another database, for the time of one statement, in a table here.

Owns the temporary tables: their making, filling and end. They are seen by their own
connection alone. On PostgreSQL they end with their transaction; one is opened where there
is none, so that a pool of connections keeps together what belongs together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connections

from xdbrel.exceptions import QueryTooLarge
from xdbrel.query import values

#: Rows in one INSERT, where there is no faster way.
CHUNK = 500
#: Fewer rows than this need neither an index nor statistics.
SMALL = 200

_numbers = itertools.count(1)


class Shipment:
    """What one block of a query brings from its home, and the table that takes it."""

    def __init__(self, home: str, label: str) -> None:
        self.home = home
        #: What it is called towards people: the model, or the subquery.
        self.label = label
        self.table = f"xdbrel_{next(_numbers)}"
        #: The name of a column here → the expression at home, and the field of its type.
        self.columns: dict[str, tuple[Any, Any]] = {}
        #: Columns by which rows are found.
        self.keys: list[str] = []
        self.rows = 0

    def query(self) -> Any:
        """Return the query that reads the rows at home, its columns in their order."""
        raise NotImplementedError

    def load(self, using: str, budget: int) -> None:
        """Make the table at ``using`` and fill it.

        Raises ``QueryTooLarge`` as soon as there are more rows than ``budget``.
        """
        connection, home = connections[using], connections[self.home]
        query = self.query()
        fields = [field for _, field in self.columns.values()]
        source = query.get_compiler(using=self.home)
        read = source.execute_sql(chunked_fetch=True, chunk_size=2_000)
        rows = values.rows_of(source, itertools.chain.from_iterable(read))
        adapters = [
            (index, adapt)
            for index, field in enumerate(fields)
            if (adapt := values.adapter(field, connection)) is not None
        ]
        if adapters:
            rows = _adapted(rows, adapters)
        qn = connection.ops.quote_name
        columns = [
            f"{qn(name)} {values.column_type(field, connection, home)}"
            for name, (_, field) in self.columns.items()
        ]
        if connection.vendor == "mysql":
            columns += [
                f"KEY ({qn(name)})"
                for name in self.keys
                if values.is_indexable(self.columns[name][1], connection)
            ]
        ends = ""
        if connection.vendor == "postgresql" and connection.in_atomic_block:
            ends = " ON COMMIT DROP"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE {qn(self.table)} ({', '.join(columns)}){ends}")
            self._fill(cursor, connection, self._counted(rows, budget))
            if connection.vendor == "postgresql" and self.rows > SMALL:
                for name in self.keys:
                    if values.is_indexable(self.columns[name][1], connection):
                        cursor.execute(f"CREATE INDEX ON {qn(self.table)} ({qn(name)})")
                cursor.execute(f"ANALYZE {qn(self.table)}")

    def drop(self, using: str) -> None:
        """Drop the table at ``using``."""
        connection = connections[using]
        with connection.cursor() as cursor:
            temporary = "TEMPORARY " if connection.vendor == "mysql" else ""
            cursor.execute(
                f"DROP {temporary}TABLE IF EXISTS {connection.ops.quote_name(self.table)}"
            )

    def _counted(self, rows: Iterator[Any], budget: int) -> Iterator[Any]:
        for row in rows:
            self.rows += 1
            if self.rows > budget:
                raise QueryTooLarge(self.label, self.home, budget)
            yield row

    def _fill(self, cursor: Any, connection: Any, rows: Iterator[Any]) -> None:
        qn = connection.ops.quote_name
        names = ", ".join(map(qn, self.columns))
        if connection.vendor == "postgresql" and hasattr(cursor.cursor, "copy"):
            with cursor.copy(f"COPY {qn(self.table)} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        insert = f"INSERT INTO {qn(self.table)} ({names}) VALUES "  # noqa: S608
        row_of = f"({', '.join(['%s'] * len(self.columns))})"
        if connection.vendor == "sqlite":
            cursor.executemany(insert + row_of, map(tuple, rows))
            return
        while chunk := list(itertools.islice(rows, CHUNK)):
            cursor.execute(
                insert + ", ".join([row_of] * len(chunk)),
                [value for row in chunk for value in row],
            )


class BlockShipment(Shipment):
    """Tables of one database that the query joins with each other."""

    def __init__(self, home: str, label: str, block: Any) -> None:
        super().__init__(home, label)
        self.block = block

    def column(self, alias: str, field: Any) -> str:
        """Return the name here of a column of one of the tables; it will be brought."""
        name = field.column
        if alias != self.block.root:
            name = f"{alias}__{name}"
        if name not in self.columns:
            self.columns[name] = (self.block.column(alias, field), field)
        return name

    def key(self, alias: str, field: Any) -> None:
        """Bring a column by which rows will be looked for."""
        name = self.column(alias, field)
        if name not in self.keys:
            self.keys.append(name)

    def query(self) -> Any:
        if not self.columns:
            # Its rows count, whatever they hold.
            key = self.block.model._meta.pk_fields[0]
            self.column(self.block.root, key)
        return self.block.query([expression for expression, _ in self.columns.values()])


class QueryShipment(Shipment):
    """The result of a whole subquery."""

    def __init__(self, home: str, label: str, query: Any) -> None:
        super().__init__(home, label)
        self._query = query

    def query(self) -> Any:
        return self._query


def drop_leftovers(using: str, tables: list[Shipment]) -> list[Shipment]:
    """Drop tables at ``using``; return those that cannot go yet.

    SQLite drops no table while another statement of the connection is being read.
    """
    left = []
    for shipment in tables:
        try:
            shipment.drop(using)
        except DatabaseError:
            left.append(shipment)
    return left


def _adapted(rows: Iterator[Any], adapters: list[tuple[int, Any]]) -> Iterator[Any]:
    for row in rows:
        values_ = list(row)
        for index, adapt in adapters:
            if values_[index] is not None:
                values_[index] = adapt(values_[index])
        yield values_
