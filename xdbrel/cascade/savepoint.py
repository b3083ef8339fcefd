"""A savepoint that is one, also where no transaction has begun yet, and leaves nothing open.

Without autocommit SQLite's driver begins a transaction with the first write only. A savepoint
before that would be the outermost, and its release a commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction


@contextmanager
def savepoint(using: str) -> Iterator[None]:
    """Open a savepoint in the open transaction on ``using``; a transaction where there is none.

    A connection that cannot go back to autocommit after its transaction is closed: for
    what is done on it from then on Django would see a transaction that nobody commits.
    """
    connection = connections[using]
    in_autocommit = connection.get_autocommit()
    if (
        connection.vendor == "sqlite"
        and (connection.in_atomic_block or not in_autocommit)
        and not connection.connection.in_transaction
    ):
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
    try:
        with transaction.atomic(using=using):
            yield
    except BaseException:
        if in_autocommit and not (connection.autocommit or connection.in_atomic_block):
            connection.close()
        raise
