"""Metrics: the real exposition, the figures of xdbrel_status, and the alerts over them."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from django.db import OperationalError, connections
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import xdbrel
from tests.apps.blog.models import Post
from xdbrel import relations
from xdbrel.cascade import clock
from xdbrel.contrib.prometheus import METRICS, Collector, metrics
from xdbrel.integrity.repair import repair
from xdbrel.integrity.scan import scan
from xdbrel.integrity.status import status
from xdbrel.models import CascadeIntent, Heartbeat, PausedRelation, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

ROOT = Path(xdbrel.__file__).parent.parent
HANDLE = "blog.Post.author"
GONE = 10**6


def scrape(rf):
    """Return what a scrape gives: {(name, label values …): value}."""
    response = metrics(rf.get("/metrics"))
    assert response["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, *(sample.labels[label] for label in METRICS[sample.name][0])): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def test_figures(rf):
    """What is exposed is what xdbrel_status says."""
    Post.objects.bulk_create([Post(title=str(n), author_id=GONE + n) for n in range(3)])
    relation = relations.get(HANDLE)
    scan(relation)
    scan(relation)
    repair(relation, "delete", max_rows=1)
    now = clock.read("default")
    CascadeIntent.objects.create(
        relation=HANDLE, source_alias="blog", keys=[1], created_at=now - timedelta(seconds=500)
    )
    CascadeIntent.objects.create(relation=HANDLE, keys=[2], status="set_aside")
    PausedRelation.objects.create(relation=HANDLE)
    ran_at = timezone.now() - timedelta(seconds=7)
    Heartbeat.objects.create(work="relay", ran_at=ran_at, worker="w")
    ScanRun.objects.create(
        relation="shop.Order.customer",
        source_alias="shop",
        target_alias="default",
        status="failed",
    )

    found = scrape(rf)
    assert found["xdbrel_up",] == 1
    assert {found["xdbrel_database_up", alias] for alias in ("default", "blog", "shop")} == {1}
    assert found["xdbrel_orphans", HANDLE] == 2
    assert found["xdbrel_orphans_before", HANDLE] == 3
    assert found["xdbrel_repaired_rows", HANDLE] == 1
    assert found["xdbrel_intents_waiting", HANDLE, "default"] == 1
    assert 500 <= found["xdbrel_intents_oldest_seconds", HANDLE, "default"] < 560
    assert found["xdbrel_intents_set_aside", HANDLE, "default"] == 1
    assert found["xdbrel_relation_paused", HANDLE, "default"] == 1
    assert found["xdbrel_scans", HANDLE, "complete"] == 2
    assert found["xdbrel_repairs", HANDLE, "stopped"] == 1
    assert found["xdbrel_scan_failed", HANDLE] == 0
    assert found["xdbrel_scan_failed", "shop.Order.customer"] == 1
    assert found["xdbrel_repair_failed", HANDLE] == 0
    assert found["xdbrel_heartbeat_timestamp_seconds", "relay"] == ran_at.timestamp()
    assert found["xdbrel_worker_silent", "relay"] == 0
    assert found["xdbrel_worker_silent", "scan"] == 1
    (one,) = [one for one in status().relations if one.relation == HANDLE]
    assert found["xdbrel_scan_seconds", HANDLE, "full"] == one.full.seconds
    assert found["xdbrel_scan_keys", HANDLE, "full"] == one.full.keys
    started = one.full.started_at.timestamp()
    assert found["xdbrel_scan_timestamp_seconds", HANDLE, "full"] == started
    assert {name for name, *_ in found} <= set(METRICS)


def test_what_is_not_known_is_left_out(rf):
    """A relation that was never scanned has no number of orphans, rather than none."""
    found = scrape(rf)
    assert ("xdbrel_orphans", HANDLE) not in found
    assert ("xdbrel_scan_failed", HANDLE) not in found


def test_a_database_that_does_not_answer(rf):
    """It is told, and so is the own database; a scrape never fails."""

    def away(execute, sql, params, many, context):
        raise OperationalError("gone away")

    with connections["blog"].execute_wrapper(away):
        found = scrape(rf)
    assert (found["xdbrel_up",], found["xdbrel_database_up", "blog"]) == (1, 0)
    assert found["xdbrel_database_up", "default"] == 1
    with connections["default"].execute_wrapper(away):
        assert scrape(rf) == {("xdbrel_up",): 0}


def test_registering_asks_no_database(django_assert_num_queries):
    with django_assert_num_queries(0):
        CollectorRegistry().register(Collector())


def test_names_are_good_ones():
    """As promtool would have them: no counter that is none, units spelled out."""
    for name, (_, text) in METRICS.items():
        assert re.fullmatch(r"xdbrel_[a-z_]+", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
        assert text.endswith(".")


class TestAlerts:
    RULES = yaml.safe_load((ROOT / "docs" / "alerts.yml").read_text())["groups"]

    def test_rules_are_whole(self):
        (group,) = self.RULES
        assert set(group) == {"name", "rules"}
        for rule in group["rules"]:
            assert {"alert", "expr", "labels", "annotations"} <= set(rule)
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"]
            assert rule["expr"].count("(") == rule["expr"].count(")")
        names = [rule["alert"] for rule in group["rules"]]
        assert len(set(names)) == len(names)

    def test_metrics_and_labels_exist(self):
        """An alert over a metric that there is not never fires, and nobody notices."""
        for rule in self.RULES[0]["rules"]:
            named = set(re.findall(r"\bxdbrel_\w+", rule["expr"]))
            assert named
            assert named <= set(METRICS), rule["alert"]
            labels = {label for name in named for label in METRICS[name][0]}
            texts = " ".join(rule["annotations"].values())
            asked = set(re.findall(r"\$labels\.(\w+)", texts))
            asked |= set(re.findall(r"(\w+)=\"", rule["expr"]))
            for grouped in re.findall(r"\b(?:on|by) \(([^)]*)\)", rule["expr"]):
                asked |= {label.strip() for label in grouped.split(",")}
            assert asked <= labels, rule["alert"]

    def test_alerts_are_documented(self):
        """The page for operators names the file, and every metric."""
        page = (ROOT / "docs" / "operating.md").read_text()
        assert "(alerts.yml)" in page
        assert set(METRICS) == set(re.findall(r"`(xdbrel_[a-z_]+)(?:\{[^`]*)?`", page)) - {
            "xdbrel_status",
            "xdbrel_prune",
            "xdbrel_repair",
            "xdbrel_restore",
            "xdbrel_relay",
            "xdbrel_scan",
        }
