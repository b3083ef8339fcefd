"""Spans: the real SDK, with its exporter in memory."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.apps.blog.models import Post
from xdbrel import relations, tracing
from xdbrel.cascade.prune import prune
from xdbrel.cascade.relay import relay
from xdbrel.contrib.opentelemetry import instrument, uninstrument
from xdbrel.integrity import heartbeats, sharing
from xdbrel.integrity.exceptions import NoScan
from xdbrel.integrity.repair import repair
from xdbrel.integrity.restore import restore
from xdbrel.integrity.scan import scan

pytestmark = pytest.mark.django_db(databases="__all__")

HANDLE = "blog.Post.author"


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrument(provider)
    yield exporter.get_finished_spans
    uninstrument()
    provider.shutdown()


def test_a_span_for_each_service(spans):
    """The relation, the alias and the figures are attributes; keys and rows are not."""
    Post.objects.create(title="x", author_id=10**6)
    relation = relations.get(HANDLE)
    scan(relation)
    repair(relation, "quarantine", actor="ada")
    restore(relation)
    relay(using="blog")
    prune("blog")
    found = {span.name: dict(span.attributes) for span in spans()}
    assert found["xdbrel.scan"]["xdbrel.orphans"] == 1
    assert found["xdbrel.confirm"]["xdbrel.relation"] == HANDLE
    repaired = found["xdbrel.repair"]
    assert repaired["xdbrel.relation"] == HANDLE
    assert (repaired["xdbrel.policy"], repaired["xdbrel.rows"]) == ("quarantine", 1)
    assert "xdbrel.counts" not in repaired
    assert found["xdbrel.restore"]["xdbrel.waiting"] == 1
    assert found["xdbrel.relay"] == {
        "xdbrel.alias": "blog",
        "xdbrel.applied": 0,
        "xdbrel.confirmed": 0,
        "xdbrel.failed": 0,
        "xdbrel.rows": 0,
    }
    assert found["xdbrel.prune"]["xdbrel.dry_run"] is False


def test_spans_of_a_shared_scan(spans, monkeypatch):
    """Who begins it and each who takes part has a span, and notes that scans are done."""
    Post.objects.bulk_create(Post(title="x", author_id=10**6 + number) for number in range(200))
    monkeypatch.setattr(sharing, "number_of_ranges", lambda *ends: 3)
    monkeypatch.setattr(heartbeats, "_noted", {})
    sent = []
    # PostgreSQL draws from pages alone, so that there may be fewer ranges.
    begun = sharing.start(relations.get(HANDLE), send=sent.append, mode="full", strategy="push")
    for pk in sent[:1]:
        sharing.take_part(pk)
    first, *parts = spans()
    assert (first.name, first.attributes["xdbrel.relation"]) == ("xdbrel.scan", HANDLE)
    assert first.attributes["xdbrel.run"] == begun.run_id
    assert [(span.name, span.attributes["xdbrel.distinct_keys"]) for span in parts] == [
        ("xdbrel.scan_range", 200) for _ in sent[:1]
    ]
    assert "scan" in heartbeats.last()


def test_errors_are_in_the_span(spans):
    with pytest.raises(NoScan):
        repair(relations.get(HANDLE), "delete")
    (span,) = spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.events[0].attributes["exception.type"].endswith("NoScan")


def test_nobody_watches():
    """Without instrument() a service is called as it is."""
    assert tracing._watcher is None
    assert relay(using="blog").clean
