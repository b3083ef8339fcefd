"""A shipment: rows of another database, for the time of one statement, in a table here.

Owns the temporary tables: their making, filling and end. They are seen by their own
connection alone. On PostgreSQL few rows come as arrays inside the statement, which spares
round trips and asks for no right to make tables (``query.arrays``); a table ends there with
its transaction, and where there is none, one is opened for just the statement. Django is not
told of it, so that what is done while the result is read has nothing to do with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import EmptyResultSet, SynchronousOnlyOperation
from django.db import DatabaseError, Error, connections, models
from django.db.models import Case, Min, When, Window
from django.db.models.functions import DenseRank
from django.db.models.lookups import IsNull

from xdbrel.caching import unseen
from xdbrel.exceptions import QueryTooLarge
from xdbrel.query import arrays, collations, statistics, streaming, values

#: Text and bytes in one INSERT: servers take at most as long a statement as they are told.
PACKET = 2_000_000
#: Rows in one piece of what is read, and in one INSERT.
READ_ROWS = 2_000
#: Fewer rows than this need neither an index nor statistics.
SMALL = 200
#: Up to as many rows come as arrays, where the database takes them.
ARRAY_ROWS = 2_000
#: What PostgreSQL says where no table can be made: a missing privilege, a transaction that
#: only reads, as every one on a standby does.
_NO_TABLES = ("42501", "25006")
_SAVEPOINT = "xdbrel_shipment"

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
        #: Whether a table was made, and whether a transaction was opened for it.
        self.made = self.began = False
        #: The connection that has the table. Who throws a half-read result away may be
        #: another thread, with connections of its own.
        self.at: Any = None
        #: What comes inside the statement: a common table expression and its parameters.
        self.inside: tuple[str, list[Any]] | None = None
        #: Why it is brought, and how many seconds that took.
        self.reason = ""
        self.seconds: float | None = None

    def query(self) -> Any:
        """Return the query that reads the rows at home, its columns in their order."""
        raise NotImplementedError

    def may_be(self, other: Shipment) -> bool:
        """Tell, by what is cheap to see, whether another one may bring the same."""
        mine, its = ((one.home, one.label, [*one.columns]) for one in (self, other))
        return mine == its

    def statement(self) -> tuple[str, str, str]:
        """Return the home, and what is asked there: the same where the same is brought."""
        try:
            sql, params = self.query().get_compiler(using=self.home).as_sql()
        except EmptyResultSet:
            return self.home, "", ""
        return self.home, sql, repr(params)

    def load(self, using: str, budget: int) -> None:
        """Bring the rows to ``using``: into a table, or as ``inside``.

        Raises ``QueryTooLarge`` as soon as there are more rows than ``budget``, and
        ``DataError`` where a value has no equal there.
        """
        try:
            self._bring(using, budget)
        except QueryTooLarge as error:
            raise QueryTooLarge(self.label, self.home, error.budget, self._estimate()) from None

    def _estimate(self) -> int | None:
        """Return how many rows there are in all, roughly, as the server sees it."""
        try:
            sql, params = self.query().get_compiler(using=self.home).as_sql()
            return statistics.estimate(sql, params, self.home)
        except DatabaseError:
            # It is about to be said that the query failed; nothing depends on this.
            return None

    def _bring(self, using: str, budget: int) -> None:
        connection, home = connections[using], connections[self.home]
        self.at = connection
        query = self.query().chain()
        query.set_limits(high=budget + 1)
        fields = [field for _, field in self.columns.values()]
        types = [
            values.column_type(field, connection, home, key=name in self.keys)
            for name, (_, field) in self.columns.items()
        ]
        inside = connection.vendor == "postgresql" and arrays.carries(fields)
        # Before anything is read: a result that waits occupies its connection.
        if not inside and not self._make(connection, types):
            raise DatabaseError(
                f"Rows of {self.label} cannot be brought from database {self.home!r} to "
                f"{using!r}, where no temporary table can be made."
            )
        source = query.get_compiler(using=self.home)
        # Its values are converted below, which those of rows that are put together are already.
        source.takes_rows = False
        with streaming.streamed(home):
            read = source.execute_sql(chunked_fetch=True, chunk_size=READ_ROWS)
        with _closed_early(read):
            chunks = values.rows_of(source, read)
            chunks = values.adapted(chunks, fields, home, connection)
            chunks = self._counted(chunks, budget)
            if inside:
                first: list[Any] = []
                while len(first) <= ARRAY_ROWS and (chunk := next(chunks, None)) is not None:
                    first += chunk
                if len(first) <= ARRAY_ROWS or not self._make(connection, types):
                    first += itertools.chain.from_iterable(chunks)
                    self.inside = arrays.expression(
                        connection, self.table, list(self.columns), fields, types, first
                    )
                    return
                chunks = itertools.chain([first], chunks)
            self._fill(connection, chunks)

    def drop(self, using: str) -> None:
        """Drop the table at ``using``."""
        connection = self.at or connections[using]
        if connection.connection is None or _has_failed(connection):
            # With the connection it is gone already; with the transaction it goes when that
            # is rolled back, which is all that can be done with it.
            return
        with unseen(connection), connection.cursor() as cursor:
            temporary = "TEMPORARY " if connection.vendor == "mysql" else ""
            cursor.execute(
                f"DROP {temporary}TABLE IF EXISTS {connection.ops.quote_name(self.table)}"
            )

    def _counted(self, chunks: Iterator[Any], budget: int) -> Iterator[Any]:
        for chunk in chunks:
            self.rows += len(chunk)
            if self.rows > budget:
                raise QueryTooLarge(self.label, self.home, budget)
            yield chunk

    def _make(self, connection: Any, types: list[str]) -> bool:
        """Make the table; return whether it could be made."""
        qn = connection.ops.quote_name
        columns = [f"{qn(name)} {kind}" for name, kind in zip(self.columns, types, strict=True)]
        if connection.vendor == "mysql":
            columns += [
                f"KEY ({qn(name)}{values.index_length(self.columns[name][1], kind)})"
                for name, kind in zip(self.columns, types, strict=True)
                if name in self.keys and values.is_indexable(self.columns[name][1])
            ]
        create = f"CREATE TEMPORARY TABLE {qn(self.table)} ({', '.join(columns)})"
        with unseen(connection), connection.cursor() as cursor:
            if connection.vendor != "postgresql":
                cursor.execute(create)
                self.made = True
                return True
            create += " ON COMMIT DROP"
            refused = connection.__dict__.get("_xdbrel_no_tables")
            if refused is not None and refused is connection.connection:
                return False
            self.began = connection.get_autocommit() and not _is_in_transaction(connection)
            if self.began:
                create = f"BEGIN; {create}"
            else:
                create = f"SAVEPOINT {_SAVEPOINT}; {create}; RELEASE SAVEPOINT {_SAVEPOINT}"
            try:
                cursor.execute(create)
            except DatabaseError as error:
                self._give_up(cursor)
                if getattr(error.__cause__, "sqlstate", None) not in _NO_TABLES:
                    raise
                connection.__dict__["_xdbrel_no_tables"] = connection.connection
                return False
        self.made = True
        return True

    def _give_up(self, cursor: Any) -> None:
        cursor.execute("ROLLBACK" if self.began else f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        self.began = False

    def _fill(self, connection: Any, chunks: Iterator[Any]) -> None:
        qn = connection.ops.quote_name
        names = ", ".join(map(qn, self.columns))
        insert = f"INSERT INTO {qn(self.table)} ({names}) VALUES "  # noqa: S608
        row_of = f"({', '.join(['%s'] * len(self.columns))})"
        with unseen(connection), connection.cursor() as cursor:
            if connection.vendor == "postgresql" and hasattr(cursor.cursor, "copy"):
                self._copy(connection, cursor, names, chunks)
            elif connection.vendor == "sqlite":
                with _one_commit(connection, cursor):
                    for chunk in chunks:
                        cursor.executemany(insert + row_of, chunk)
            else:
                for chunk in chunks:
                    for rows in _packets(chunk):
                        cursor.execute(
                            insert + ", ".join([row_of] * len(rows)),
                            [value for row in rows for value in row],
                        )
            if connection.vendor == "postgresql" and self.rows > SMALL:
                statements = [
                    f"CREATE INDEX ON {qn(self.table)} ({qn(name)})"
                    for name in self.keys
                    if values.is_indexable(self.columns[name][1])
                ]
                cursor.execute("; ".join([*statements, f"ANALYZE {qn(self.table)}"]))

    def _copy(self, connection: Any, cursor: Any, names: str, chunks: Iterator[Any]) -> None:
        table = connection.ops.quote_name(self.table)
        failed: Exception | None = None
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
        ):
            while True:
                try:
                    chunk = next(chunks)
                except StopIteration:
                    break
                except Exception as error:
                    # Raised within, it would end the user's transaction here.
                    failed = error
                    break
                for row in chunk:
                    copy.write_row(row)
        if failed is not None:
            raise failed


class BlockShipment(Shipment):
    """Tables of one database that the query joins with each other."""

    def __init__(self, home: str, label: str, block: Any) -> None:
        super().__init__(home, label)
        self.block = block
        #: Aggregates whose parts are made at home.
        self.aggregates: list[Any] = []

    def part(self, aggregate: Any) -> str:
        """Return the name here of the parts of an aggregate; they will be brought."""
        name = f"xdbrel_part{self.aggregates.index(aggregate)}"
        self.columns[name] = (aggregate, aggregate.output_field)
        return name

    def column(self, alias: str, field: Any) -> str:
        """Return the name here of a column of one of the tables; it will be brought."""
        name: str = field.column
        if alias != self.block.root:
            name = f"{alias}__{name}"
        if name not in self.columns:
            self.columns[name] = (self.block.column(alias, field), field)
        return name

    def ordering(self, alias: str, field: Any, using: str) -> tuple[str, str]:
        """Return the name here of the column to order by instead, and what follows it.

        Text keeps the order of its home: by a collation that ``using`` has too, or by its
        rank at home, a number that comes along.
        """
        name = self.column(alias, field)
        if not values.is_text(field):
            return name, ""
        suffix = collations.ordering(field, connections[self.home], connections[using])
        if suffix is not None:
            return name, suffix
        return self.rank_of(alias, field), ""

    def rank_of(self, alias: str, field: Any) -> str:
        """Return the name here of a column with the rank of another at home; it will be brought.

        What is equal at home has the same rank, and NULL has none.
        """
        name = f"{self.column(alias, field)}__rank"
        column, number = self.block.column(alias, field), models.BigIntegerField()
        rank = Window(DenseRank(), order_by=column)
        ranked = Case(When(IsNull(column, False), then=rank), output_field=number)
        self.columns.setdefault(name, (ranked, number))
        return name

    def merging(self, alias: str, field: Any, using: str, apart: list[Any]) -> str:
        """Return the name here of the column by which equal rows become one; it will be brought.

        That is the column itself, or where ``using`` would tell apart what is equal at home
        the ``first_of`` what is, among rows that are equal in the columns ``apart`` as well.
        """
        here, home = connections[using], connections[self.home]
        if values.is_text(field) and not collations.same_equality(field, home, here):
            return self.first_of(alias, field, apart)
        return self.column(alias, field)

    def first_of(self, alias: str, field: Any, apart: Sequence[Any] = ()) -> str:
        """Return the name here of a column with one of all values that are equal at home.

        What groups by it, or is distinct by it, does so as its home would.
        """
        name = f"{self.column(alias, field)}__first" + "_of_each" * bool(apart)
        column = self.block.column(alias, field)
        plain = values.plain(field)
        first = Window(Min(column, output_field=plain), partition_by=[column, *apart])
        self.columns.setdefault(name, (first, field))
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


def renamed(compiled: Any, table: str, other: str) -> Any:
    """Return a compiled statement, or a list of them, that reads from another table."""
    if isinstance(compiled, list):
        return [renamed(one, table, other) for one in compiled]
    sql, params = compiled
    return sql.replace(f'"{table}"', f'"{other}"'), params


def within(compiled: Any, shipments: list[Shipment]) -> Any:
    """Return a compiled statement, or a list of them, with what comes inside it in front."""
    inside = [shipment.inside for shipment in shipments if shipment.inside is not None]
    if not inside:
        return compiled
    if isinstance(compiled, list):
        return [arrays.in_front(inside, *one) for one in compiled]
    return arrays.in_front(inside, *compiled)


def is_read_on(using: str, shipments: list[Shipment]) -> bool:
    """Tell whether a result that is read bit by bit needs its tables to the end.

    SQLite finds each row when it is asked for, and so does a cursor of PostgreSQL in the
    user's transaction. One that outlives its transaction has its rows already, and MariaDB's
    are all here.
    """
    if not any(shipment.made for shipment in shipments):
        return False
    if connections[using].vendor == "postgresql":
        return not any(shipment.began for shipment in shipments)
    return bool(connections[using].vendor == "sqlite")


def finish(using: str, shipments: list[Shipment], failed: bool) -> list[Shipment]:
    """End what was begun at ``using`` for one statement; return tables that cannot go yet."""
    tables = [shipment for shipment in shipments if shipment.made]
    if not any(shipment.began for shipment in tables):
        return drop_leftovers(using, tables)
    for shipment in tables:
        shipment.began = False
    connection = tables[0].at
    if connection.connection is None:
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK" if failed else "COMMIT")
    except Error:
        # A connection that broke has no tables any more.
        if not failed:
            raise
    return []


def drop_leftovers(using: str, tables: list[Shipment]) -> list[Shipment]:
    """Drop tables at ``using``; return those that cannot go yet.

    SQLite drops no table while another statement of the connection is being read, and nothing
    can be done where an event loop throws away a result that was not read to its end.
    """
    left = []
    for shipment in tables:
        try:
            shipment.drop(using)
        except (Error, SynchronousOnlyOperation):
            left.append(shipment)
    return left


@contextmanager
def _closed_early(chunks: Any) -> Iterator[None]:
    """Close what is not read to the end at once, not when it is thrown away."""
    try:
        yield
    finally:
        if hasattr(chunks, "close"):
            chunks.close()


@contextmanager
def _one_commit(connection: Any, cursor: Any) -> Iterator[None]:
    """Let SQLite commit once, not after every row, and lock nothing but its own table."""
    if not connection.get_autocommit():
        yield
        return
    cursor.execute(f"SAVEPOINT {_SAVEPOINT}")
    try:
        yield
    finally:
        # Nothing to undo: what failed is dropped. Results that are read go on.
        cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")


def _packets(rows: Any) -> Iterator[Any]:
    """Yield ``rows`` in pieces that one INSERT may carry."""
    size = sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes)))
    step = max(1, len(rows) // (size // PACKET + 1))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _status(connection: Any) -> int:
    """Return where PostgreSQL is: 0 idle, 1 active, 2 in a transaction, 3 in one that failed."""
    if connection.connection is None:
        return 0
    return int(connection.connection.info.transaction_status)


def _is_in_transaction(connection: Any) -> bool:
    return _status(connection) != 0


def _has_failed(connection: Any) -> bool:
    return connection.vendor == "postgresql" and _status(connection) == 3
