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
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from django.utils import timezone

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.conf import settings
from xdbrel.integrity.reading import draws, ends, statement_time, targets
from xdbrel.models import ScanRun
from xdbrel.relations import Relation

logger = logging.getLogger(__name__)

#: The normal distribution's quantile for bounds of 95 per cent.
Z = 1.959963984540054


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
        drawn, rows = draws.draw(source, size, random.Random(seed))  # noqa: S311
        counted = Counter(filter(keys.is_whole, drawn))
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
