"""How far a replica is behind its primary.

Owns the question. A scan never reads a replica that the project names; it waits for one
that it would slow down (``throttle``), and for a home that is one itself (``confirm``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError, connections

from xdbrel import placement
from xdbrel.caching import uncached
from xdbrel.conf import settings

logger = logging.getLogger(__name__)

_POSTGRESQL = (
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0"
    " WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0"
    " ELSE EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END"
)


def replicas(*homes: str) -> Sequence[str]:
    """Return the aliases of ``XDBREL["REPLICAS"]`` that copy one of these homes."""
    known = settings.REPLICAS
    if not known:
        return ()
    return tuple(alias for alias in known if placement.primary(alias) in homes)


def behind(alias: str) -> float:
    """Return by how many seconds ``alias`` lags behind; 0 for a primary.

    0 too for one that does not answer or may not say: a scan does not wait for ever for a
    replica that was taken away.
    """
    connection: Any = connections[alias]
    try:
        with uncached(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(_POSTGRESQL)
                (seconds,) = cursor.fetchone()
                return float(seconds or 0.0)
            if connection.vendor == "mysql":
                asked = "SLAVE" if connection.mysql_is_mariadb else "REPLICA"
                cursor.execute(f"SHOW {asked} STATUS")
                row = cursor.fetchone()
                if row is None:
                    return 0.0
                names = [column[0] for column in cursor.description]
                told = dict(zip(names, row, strict=True))
                seconds = told.get("Seconds_Behind_Master", told.get("Seconds_Behind_Source"))
                return float(seconds or 0.0)
    except (DatabaseError, InterfaceError) as error:
        logger.warning(
            "How far %s lags behind is not known: %s",
            alias,
            error,
            extra={"action": "lag_unknown", "relation": None, "alias": alias},
        )
    return 0.0
