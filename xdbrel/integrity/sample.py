"""An estimate from a few rows: which share of a relation's sources are orphans.

In a time that does not depend on the tables' size. Rows are drawn at random: on PostgreSQL
from random pages (``TABLESAMPLE``), one row of each, elsewhere by random primary keys.
The bounds are Wilson's for a share, of 95 per cent. A sample is a run without findings.
"""

from __future__ import annotations

import logging
import math
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connections, models
from django.db.models import F, Max, Min
from django.utils import timezone

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.conf import settings
from xdbrel.integrity import ends, statement_time, targets
from xdbrel.integrity.ends import End
from xdbrel.integrity.exceptions import CannotSample
from xdbrel.models import ScanRun
from xdbrel.query import statistics
from xdbrel.relations import Relation

logger = logging.getLogger(__name__)

#: The normal distribution's quantile for bounds of 95 per cent.
Z = 1.959963984540054

#: Random numbers are drawn, at most, so many times the rows that are wanted.
DRAWS = 50

#: Neighbours of random keys that one statement looks up.
LOOKUPS = 100


@dataclass(frozen=True)
class Estimate:
    """What a sample tells: the ``share`` of orphans with its bounds, and what that makes.

    ``rows`` is about how many rows there are, None where nobody knows; ``orphans`` and its
    bounds are of them.
    """

    relation: str
    run_id: int
    source_alias: str
    target_alias: str
    sampled: int
    orphaned: int
    share: float
    low: float
    high: float
    rows: int | None
    seconds: float

    @property
    def orphans(self) -> tuple[int, int, int] | None:
        """About how many orphans there are, with the lower and the upper bound."""
        if self.rows is None:
            return None
        share, low, high = (round(part * self.rows) for part in (self.share, self.low, self.high))
        return share, low, high

    def as_dict(self) -> dict[str, Any]:
        """Return what commands and tasks hand out as JSON."""
        told = asdict(self)
        told["run"] = told.pop("run_id")
        told["orphans"] = self.orphans and dict(
            zip(("estimate", "low", "high"), self.orphans, strict=True)
        )
        return {"relation": self.relation, "mode": ScanRun.Mode.SAMPLE.value, **told}


def sample(relation: Relation, size: int, *, seed: int | None = None) -> Estimate:
    """Estimate the share of orphans among the sources of ``relation`` from ``size`` rows.

    Fewer are looked at where there are fewer. Rows without a key count as sound. ``seed``
    makes the draw repeatable, but for PostgreSQL's.

    Raises ``CannotSample`` where no rows can be drawn in constant time, and what the
    databases raise.
    """
    if size < 1:
        raise ValueError(f"A sample of {size} rows tells nothing; ask for 1 or more.")
    source, target = ends.of(relation)
    began = timezone.now()
    started = time.perf_counter()
    with uncached(), statement_time.bounded(source, target):
        drawn, rows = _draw(source, size, random.Random(seed))  # noqa: S311
        counted = Counter(key for key in drawn if key is not None)
        absent = targets.missing(target, list(counted)) if counted else []
        orphaned = sum(counted[key] for key in absent)
        share = orphaned / len(drawn) if drawn else 0.0
        low, high = wilson(orphaned, len(drawn))
        seconds = round(time.perf_counter() - started, 6)
        figures = {"sampled": len(drawn), "orphaned": orphaned, "share": share}
        run = ScanRun.objects.using(settings.INTEGRITY_DATABASE).create(
            relation=relation.handle,
            source_alias=source.using,
            target_alias=target.using,
            mode=ScanRun.Mode.SAMPLE,
            strategy="sample",
            status=ScanRun.Status.COMPLETE,
            started_at=began,
            finished_at=timezone.now(),
            seconds=seconds,
            seen=len(drawn),
            estimate={**figures, "low": low, "high": high, "rows": rows},
        )
    logger.info(
        "Sampled %s: %s of %s sources are orphans",
        relation.handle,
        orphaned,
        len(drawn),
        extra={"action": "sample", "relation": relation.handle, "alias": source.using},
    )
    return Estimate(
        relation=relation.handle,
        run_id=run.pk,
        source_alias=source.using,
        target_alias=target.using,
        sampled=len(drawn),
        orphaned=orphaned,
        share=share,
        low=low,
        high=high,
        rows=rows,
        seconds=seconds,
    )


def wilson(hits: int, number: int) -> tuple[float, float]:
    """Return the bounds of 95 per cent for a share, of ``hits`` among ``number``.

    E. B. Wilson's score interval (1927): right for few hits too, where the usual one is not.
    """
    if not number:
        return 0.0, 1.0
    share = hits / number
    spread = Z * math.sqrt(share * (1 - share) / number + Z * Z / (4 * number * number))
    middle = share + Z * Z / (2 * number)
    scale = 1 + Z * Z / number
    low = 0.0 if hits == 0 else (middle - spread) / scale
    high = 1.0 if hits == number else (middle + spread) / scale
    return max(0.0, low), min(1.0, high)


def _draw(source: End, size: int, chance: random.Random) -> tuple[Sequence[Any], int | None]:
    """Return the keys of ``size`` random rows, None for no key, and about how many there are."""
    rows = statistics.rows(source.model, source.using)
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
    if source.field.model._meta.concrete_model is not model._meta.concrete_model:
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
        if pages <= size:
            # So few pages are read as quickly as they are chosen from.
            cursor.execute(f"SELECT {column} FROM {table} ORDER BY random() LIMIT %s", [size])  # noqa: S608
        else:
            # Somewhat more pages than are needed: each is taken, or not, by its own luck.
            share = min(100.0, 100.0 * (size + 4 * math.sqrt(size) + 4) / pages)
            cursor.execute(
                f"SELECT key FROM (SELECT DISTINCT ON (page) key FROM ("  # noqa: S608
                f"SELECT (ctid::text::point)[0] AS page, {column} AS key "
                f"FROM {table} TABLESAMPLE SYSTEM ({share:.10f})) AS drawn "
                f"ORDER BY page, random()) AS one_of_each ORDER BY random() LIMIT %s",
                [size],
            )
        return [source.key_field.to_python(key) for (key,) in cursor.fetchall()]


def _by_number(
    source: End, size: int, chance: random.Random, rows: int | None
) -> tuple[list[Any], int | None]:
    """Draw numbers between the smallest and the largest primary key, and take those there are.

    Every row is as likely as every other. Where most numbers are not there, the rows that
    follow them are taken: those behind a gap are likelier then.
    """
    everything = source.model._base_manager.using(source.using).order_by()
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
    everything = source.model._base_manager.using(source.using)
    connection = connections[source.using]
    found: list[Any] = []
    for chunk in keys.chunks(places, LOOKUPS):
        parts, params = [], []
        for number, place in enumerate(chunk):
            next_row = everything.filter(pk__gte=place).order_by("pk")
            listed = next_row.annotate(**{ends.KEY: F(source.attname)}).values_list(ends.KEY)[:1]
            sql, bound = listed.query.get_compiler(using=source.using).as_sql()
            parts.append(f"SELECT * FROM ({sql}) {connection.ops.quote_name(f'drawn_{number}')}")  # noqa: S608
            params += bound
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts), params)
            found += [source.key_field.to_python(key) for (key,) in cursor.fetchall()]
    return found
