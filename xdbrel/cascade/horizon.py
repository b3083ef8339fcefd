"""How far back an open transaction may still reach: the horizon of the second look.

A source can be written while its target is being deleted: by a transaction that saw the
target and commits after the cascade. Ids and times of rows do not tell, since they are
not given in the order of commits; the age of the oldest open transaction does.
"""

from __future__ import annotations

import logging

from django.db import OperationalError, connections

from xdbrel.caching import uncached

logger = logging.getLogger(__name__)

#: MariaDB's and MySQL's "you need the PROCESS privilege".
_PROCESS_DENIED = 1227

#: InnoDB hands out what it knows of transactions from a cache: as it was a tenth of a second
#: ago, or longer where somebody asks all the time.
_UNSEEN = {"mysql": 0.5}

_OLDEST = {
    "postgresql": (
        # A role sees its own sessions, and with pg_monitor everybody's.
        "SELECT EXTRACT(EPOCH FROM max(clock_timestamp() - xact_start))::float8"
        " FROM (SELECT xact_start FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " UNION ALL SELECT prepared FROM pg_prepared_xacts"
        " WHERE database = current_database()) AS open"
    ),
    "mysql": (
        "SELECT TIMESTAMPDIFF(MICROSECOND, MIN(trx_started), NOW(6)) / 1000000"
        " FROM information_schema.innodb_trx"
        " JOIN information_schema.processlist ON id = trx_mysql_thread_id"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}


def oldest_transaction(using: str) -> float:
    """Return the age, in seconds, of the oldest transaction open on ``using``; 0 for none.

    SQLite has one writer, and who reads before it writes must begin anew: 0. A transaction
    that the database does not show to this role counts as none; a scan finds what it left.
    """
    connection = connections[using]
    query = _OLDEST.get(connection.vendor)
    if query is None:
        return 0.0
    try:
        with uncached(), connection.cursor() as cursor:
            cursor.execute(query)
            (age,) = cursor.fetchone()
    except OperationalError as error:
        if error.args[:1] != (_PROCESS_DENIED,):
            raise
        logger.warning(
            "The open transactions on %s cannot be seen: grant this user PROCESS. Until then "
            "the second look of cascades waits for its time alone.",
            using,
            extra={"action": "horizon_unknown", "relation": None, "alias": using},
        )
        return 0.0
    return float(age or 0.0)


def unseen(using: str) -> float:
    """Return how old, in seconds, a transaction on ``using`` may be and not be shown yet."""
    return _UNSEEN.get(connections[using].vendor, 0.0)
