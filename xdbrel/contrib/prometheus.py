"""The figures of ``xdbrel_status`` as Prometheus metrics; needs ``xdbrel[prometheus]``.

They are read from the databases when they are asked for, so that any one process can expose
them, whoever did the work. Everything is a gauge: what is counted is what is on record, and
records are pruned. Either mount the view::

    path("metrics/xdbrel", xdbrel.contrib.prometheus.metrics)

or register the collector beside a process's other metrics::

    prometheus_client.REGISTRY.register(xdbrel.contrib.prometheus.Collector())

Both are open to whoever can reach them: keep them from the public as any other metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from django.db import Error
from django.http import HttpRequest, HttpResponse

from xdbrel.integrity.heartbeats import WORKS
from xdbrel.integrity.status import RelationStatus, RunFigures, StatusReport, status

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    from prometheus_client.registry import Collector as _Collector
except ImportError as error:
    raise ImportError(
        "xdbrel.contrib.prometheus needs prometheus-client: pip install 'xdbrel[prometheus]'"
    ) from error

logger = logging.getLogger(__name__)

_RELATION = ("relation",)
_PLACE = ("relation", "alias")

#: Every metric: its name, its labels and what it tells.
METRICS: dict[str, tuple[tuple[str, ...], str]] = {
    "xdbrel_up": ((), "Whether the figures could be read: 1 or 0."),
    "xdbrel_database_up": (("alias",), "Whether the intents of a database could be read."),
    "xdbrel_intents_waiting": (_PLACE, "Intents that wait to be applied."),
    "xdbrel_intents_oldest_seconds": (_PLACE, "Age of the oldest intent that waits."),
    "xdbrel_intents_second_look": (_PLACE, "Applied intents that wait for their second look."),
    "xdbrel_intents_overdue_seconds": (_PLACE, "How long the first second look is overdue."),
    "xdbrel_intents_set_aside": (_PLACE, "Intents that failed too often and were set aside."),
    "xdbrel_relation_paused": (_PLACE, "Whether the relation is paused: 1 or 0."),
    "xdbrel_orphans": (_RELATION, "Orphans of the last complete scan, without those repaired."),
    "xdbrel_orphans_before": (_RELATION, "Orphans that the complete scan before it found."),
    "xdbrel_repaired_rows": (_RELATION, "Rows repaired since the last complete scan."),
    "xdbrel_scan_seconds": (("relation", "mode"), "How long the last complete scan took."),
    "xdbrel_scan_keys": (("relation", "mode"), "Keys that the last complete scan looked at."),
    "xdbrel_scan_timestamp_seconds": (("relation", "mode"), "When it began, in Unix time."),
    "xdbrel_scan_failed": (_RELATION, "Whether the last scan failed: 1 or 0."),
    "xdbrel_scans": (("relation", "status"), "Scans on record, by status."),
    "xdbrel_repairs": (("relation", "status"), "Repairs on record, by status."),
    "xdbrel_repair_failed": (_RELATION, "Whether the last repair failed: 1 or 0."),
    "xdbrel_heartbeat_timestamp_seconds": (("work",), "When a worker last did it, in Unix time."),
    "xdbrel_worker_silent": (("work",), "Whether no worker has done it for too long: 1 or 0."),
}

#: A metric's name, the values of its labels and its value.
Sample = tuple[str, tuple[str, ...], float | None]


class Collector(_Collector):
    """Reads the figures anew for each scrape."""

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics without values: registering asks no database."""
        return _families().values()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics; where the figures cannot be read, ``xdbrel_up`` is 0."""
        families = _families()
        try:
            samples = list(_samples(status()))
        except Error as error:
            logger.error(
                "The figures for metrics could not be read: %s",
                error,
                extra={"action": "metrics", "relation": None, "alias": None},
            )
            families["xdbrel_up"].add_metric([], 0)
            return [families["xdbrel_up"]]
        for name, labels, value in samples:
            if value is not None:
                families[name].add_metric(labels, value)
        return families.values()


def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics in Prometheus' text format. Mount it where your monitoring asks."""
    registry = CollectorRegistry()
    registry.register(Collector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(name, text, labels=labels)
        for name, (labels, text) in METRICS.items()
    }


def _samples(report: StatusReport) -> Iterator[Sample]:
    yield "xdbrel_up", (), 1
    for alias in report.aliases:
        yield "xdbrel_database_up", (alias,), alias not in report.backlog.unreachable
    for one in report.relations:
        yield from _of_relation(one)
    # Relations that are gone from the code may still have intents.
    for waiting in report.backlog.relations:
        place = (waiting.relation, waiting.alias)
        yield "xdbrel_intents_waiting", place, waiting.depth
        yield "xdbrel_intents_oldest_seconds", place, waiting.oldest
        yield "xdbrel_intents_second_look", place, waiting.second_look
        yield "xdbrel_intents_overdue_seconds", place, waiting.overdue
        yield "xdbrel_intents_set_aside", place, waiting.set_aside
        yield "xdbrel_relation_paused", place, waiting.paused
    silent = {silence.work for silence in report.silent}
    for work in WORKS:
        yield "xdbrel_worker_silent", (work,), work in silent
    for beat in report.heartbeats:
        yield "xdbrel_heartbeat_timestamp_seconds", (beat.work,), beat.ran_at.timestamp()


def _of_relation(one: RelationStatus) -> Iterator[Sample]:
    name = (one.relation,)
    yield "xdbrel_orphans", name, one.orphans
    yield "xdbrel_orphans_before", name, one.orphans_before
    for run in (one.full, one.incremental):
        if run is not None:
            yield from _of_run(one.relation, run)
    if one.last is not None:
        yield "xdbrel_repaired_rows", name, one.repaired
        yield "xdbrel_scan_failed", name, one.last.status == "failed"
    if one.last_repair is not None:
        yield "xdbrel_repair_failed", name, one.last_repair.status == "failed"
    for metric, by_status in (("xdbrel_scans", one.scans), ("xdbrel_repairs", one.repairs)):
        for state, number in by_status.items():
            yield metric, (one.relation, state), number


def _of_run(relation: str, run: RunFigures) -> Iterator[Sample]:
    labels = (relation, run.mode)
    yield "xdbrel_scan_seconds", labels, run.seconds
    yield "xdbrel_scan_keys", labels, run.keys
    yield "xdbrel_scan_timestamp_seconds", labels, run.started_at.timestamp()


__all__ = ["METRICS", "Collector", "metrics"]
