"""Findings as rows, in ``XDBREL["INTEGRITY_DATABASE"]``.

Owns how they are written and read. What is found is for ``scan``, which run they belong to
for ``runs``, what is done about them for ``repair``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from django.db import connections, transaction

from xdbrel import keys
from xdbrel.conf import settings
from xdbrel.integrity.exceptions import NoScan
from xdbrel.integrity.reading.ends import End
from xdbrel.models import Orphan, ScanRun

_COLUMNS = ("run_id", "range", "key", "sources")
_dumps = json.JSONEncoder().encode


def add(run: ScanRun, target: End, found: Mapping[Any, int], *, part: int = 0) -> None:
    """Record orphaned keys of range ``part`` and how many sources hold each.

    A scan may find millions, which ``bulk_create()`` would make instances of.
    """
    using = run._state.db or settings.INTEGRITY_DATABASE
    connection = connections[using]
    name = connection.ops.quote_name
    into = f"INSERT INTO {name(Orphan._meta.db_table)} ({', '.join(map(name, _COLUMNS))})"
    encoded = keys.encode(found, target.field)
    with transaction.atomic(using=using, savepoint=False), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # One parameter: a row of parameters each would cost more than all else.
            cursor.execute(
                f"{into} SELECT %s, %s, pair -> 0, (pair ->> 1)::bigint "  # noqa: S608
                f"FROM jsonb_array_elements(%s::jsonb) AS pair",
                [run.pk, part, _dumps([*zip(encoded, found.values(), strict=True)])],
            )
        else:
            cursor.executemany(
                f"{into} VALUES (%s, %s, %s, %s)",
                [
                    (run.pk, part, _dumps(key), sources)
                    for key, sources in zip(encoded, found.values(), strict=True)
                ],
            )


def latest(relation: str) -> ScanRun:
    """Return the latest complete run of the relation; raises ``NoScan``."""
    alias = settings.INTEGRITY_DATABASE
    run = (
        ScanRun.objects.using(alias)
        .filter(relation=relation, status=ScanRun.Status.COMPLETE)
        .exclude(mode=ScanRun.Mode.SAMPLE)
        .order_by("-started_at", "-id")
        .first()
    )
    if run is None:
        raise NoScan(relation, alias)
    return run


def of(run: ScanRun, size: int) -> Iterator[list[tuple[Any, int]]]:
    """Yield the run's findings, ``(encoded key, sources)``, in lists of at most ``size``."""
    last = 0
    while True:
        rows = list(
            Orphan.objects.using(run._state.db)
            .filter(run_id=run.pk, id__gt=last)
            .order_by("id")
            .values_list("id", "key", "sources")[:size]
        )
        if rows:
            yield [(key, sources) for _, key, sources in rows]
        if len(rows) < size:
            return
        last = rows[-1][0]
