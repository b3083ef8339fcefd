"""Random rows of an end, drawn in a time that does not depend on the table's size.

On PostgreSQL they are drawn from random pages (``TABLESAMPLE``), one row of each, elsewhere
by random primary keys. What is made of them is for ``sample`` and ``ranges``.
"""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import connections, models
from django.db.models import F, Max, Min

from xdbrel import keys
from xdbrel.integrity.exceptions import CannotSample
from xdbrel.integrity.reading.ends import KEY, End
from xdbrel.query import statistics

#: Random numbers are drawn, at most, so many times the rows that are wanted.
DRAWS = 50

#: Neighbours of random keys that one statement looks up.
LOOKUPS = 100


def draw(source: End, size: int, chance: random.Random) -> tuple[Sequence[Any], int | None]:
    """Return the keys of ``size`` random rows, None for no key, and about how many there are.

    Raises ``CannotSample`` where no rows can be drawn in constant time.
    """
    rows = statistics.rows(source.model, source.using) if source.of_these is None else None
    if source.vendor == "postgresql":
        drawn = _from_pages(source, size)
        if drawn is not None:
            return drawn, rows
    pk = keys.key_field(source.model._meta.pk)
    if len(source.model._meta.pk_fields) == 1:
        if isinstance(pk, (models.IntegerField, models.AutoField)):
            return _by_number(source, size, chance, rows)
        if isinstance(pk, models.UUIDField):
            return _by_uuid(source, size, chance), rows
    raise CannotSample(source.relation.handle, source.model._meta.label, source.using)


def _from_pages(source: End, size: int) -> list[Any] | None:
    """Draw from random pages, one row of each, so that neighbours do not count for many.

    None where that table has no pages of its own: a view, a partitioned table, or a key that
    stands in a parent's.
    """
    model = source.model
    if (
        source.is_composite
        or source.field.model._meta.concrete_model is not model._meta.concrete_model
    ):
        return None
    if source.of_these is not None:
        # Pages have rows of every kind.
        return None
    connection = connections[source.using]
    table = connection.ops.quote_name(model._meta.db_table)
    column = connection.ops.quote_name(source.field.column or "")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relkind, pg_relation_size(oid) / current_setting('block_size')::int"
            " FROM pg_class WHERE oid = to_regclass(%s)",
            [table],
        )
        kind, pages = cursor.fetchone() or ("", 0)
        if kind not in ("r", "m"):
            return None
        # Somewhat more pages than are needed: each is taken, or not, by its own luck.
        share = 100.0 * (size + 4 * math.sqrt(size) + 4) / max(pages, 1)
        found: list[Any] = []
        while len(found) < size and share < 100.0:
            cursor.execute(
                f"SELECT key FROM (SELECT DISTINCT ON (page) key FROM ("  # noqa: S608
                f"SELECT (ctid::text::point)[0] AS page, {column} AS key "
                f"FROM {table} TABLESAMPLE SYSTEM ({share:.10f})) AS drawn "
                f"ORDER BY page, random()) AS one_of_each ORDER BY random() LIMIT %s",
                [size],
            )
            found = cursor.fetchall()
            # Many pages may be empty, of rows that were deleted.
            share *= 4
        if len(found) < size:
            # So few pages with rows are read as quickly as they are chosen from.
            cursor.execute(f"SELECT {column} FROM {table} ORDER BY random() LIMIT %s", [size])  # noqa: S608
            found = cursor.fetchall()
        return [source.key_field.to_python(key) for (key,) in found]


def _by_number(
    source: End, size: int, chance: random.Random, rows: int | None
) -> tuple[list[Any], int | None]:
    """Draw numbers between the smallest and the largest primary key, and take those there are.

    Every row is as likely as every other. Where most numbers are not there, the rows that
    follow them are taken: those behind a gap are likelier then.
    """
    everything = source.all_rows()
    bounds = everything.aggregate(low=Min("pk"), high=Max("pk"))
    low, high = bounds["low"], bounds["high"]
    if low is None:
        return [], 0
    span = high - low + 1
    limit = keys.chunk_size(source.using, source.model._meta.pk)
    if span <= 2 * size:
        found = list(everything.values_list(source.attname, flat=True)[: 2 * size])
        return chance.sample(found, min(size, len(found))), len(found)
    drawn: dict[int, Any] = {}
    tried = 0
    seen: set[int] = set()
    while len(drawn) < size and tried < DRAWS * size and len(seen) < span:
        wanted = {chance.randint(low, high) for _ in range(min(limit, 2 * size))} - seen
        seen |= wanted
        tried += len(wanted) or 1
        for chunk in keys.chunks(wanted, limit):
            there = everything.filter(keys.KeyIn(F("pk"), chunk))
            drawn.update(there.values_list("pk", source.attname))
        if tried >= 4 * size and len(drawn) * DRAWS < tried:
            break
    known = round(len(drawn) / len(seen) * span) if drawn else rows
    if len(drawn) < size and len(drawn) * DRAWS < tried:
        return _followers(source, [chance.randint(low, high) for _ in range(size)]), rows
    chosen = list(drawn.values())
    chance.shuffle(chosen)
    return chosen[:size], known if rows is None or rows < len(drawn) else rows


def _by_uuid(source: End, size: int, chance: random.Random) -> list[Any]:
    return _followers(source, [uuid.UUID(int=chance.getrandbits(128)) for _ in range(size)])


def _followers(source: End, places: Sequence[Any]) -> list[Any]:
    """Return the key of the row at each of these primary keys, or of the next one after it."""
    everything = source.all_rows()
    connection = connections[source.using]
    found: list[Any] = []
    if source.is_composite:
        for place in places:
            rows = everything.filter(pk__gte=place).order_by("pk")
            found += rows.values_list(source.attname, flat=True)[:1]
        return found
    for chunk in keys.chunks(places, LOOKUPS):
        parts, params = [], []
        for number, place in enumerate(chunk):
            next_row = everything.filter(pk__gte=place).order_by("pk")
            listed = next_row.annotate(**{KEY: F(source.attname)}).values_list(KEY)[:1]
            sql, bound = listed.query.get_compiler(using=source.using).as_sql()
            parts.append(f"SELECT * FROM ({sql}) {connection.ops.quote_name(f'drawn_{number}')}")  # noqa: S608
            params += bound
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts), params)
            found += [source.key_field.to_python(key) for (key,) in cursor.fetchall()]
    return found
