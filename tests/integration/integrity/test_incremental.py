"""Scans for what has changed: what they look at, when they may not, and open transactions."""

import datetime
import threading

import pytest
from django.db import connections, transaction
from django.utils import timezone

from tests.apps.archive.models import Entry, Shelf
from tests.apps.people.models import Device
from tests.settings import LAYOUT
from xdbrel import compat, relations
from xdbrel.integrity.scan import scan
from xdbrel.integrity.scanning import incremental
from xdbrel.models import CascadeIntent, Orphan, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

RELATION = "archive.Entry.shelf"


@pytest.fixture(autouse=True)
def nobody_writes(monkeypatch):
    """The transaction of the test itself, and of others on the server, are none."""
    monkeypatch.setattr(incremental, "_oldest", lambda using: 0.0)


def shelves(*numbers):
    Shelf.objects.bulk_create([Shelf(number=number) for number in numbers])


def entries(*numbers):
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in numbers])


def scanned(mode="incremental"):
    return scan(relations.get(RELATION), mode=mode)


def keys_of(result):
    return sorted(Orphan.objects.filter(run_id=result.run_id).values_list("key", "sources"))


def test_looks_at_what_has_changed(monkeypatch):
    """Deleted targets, new sources, and what was found before; nothing else is read."""
    shelves(1, 2, 3, 4)
    entries(1, 2, 3, 4, 90, 91)
    first = scanned("full")
    assert keys_of(first) == [(90, 1), (91, 1)]
    # Deleted where an intent tells of it, and where none does.
    CascadeIntent.objects.create(relation=RELATION, source_alias="blog", keys=[2, 3])
    compat.raw_delete(Shelf.objects.filter(number__in=[2, 4]), "default")
    Entry.objects.filter(shelf_id=91).delete()
    entries(1, 90, 92)
    second = scanned()
    assert (second.mode, second.strategy) == ("incremental", "changes")
    assert second.reason == f"changes since run {first.run_id}"
    assert keys_of(second) == [(2, 1), (90, 2), (92, 1)]
    assert (second.orphans, second.distinct_keys) == (4, 3)
    # Nothing tells of 4: that is what a full scan is for.
    entries(93)
    assert keys_of(scanned()) == [(2, 1), (90, 2), (92, 1), (93, 1)]
    assert keys_of(scanned("full")) == [(2, 1), (4, 1), (90, 2), (92, 1), (93, 1)]


def test_other_relations_intents_are_theirs():
    entries(5)
    scanned("full")
    CascadeIntent.objects.create(relation="blog.Post.author", source_alias="blog", keys=[2])
    assert keys_of(scanned()) == [(5, 1)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"horizon": None}, "transactions were open when run {run} began"),
        ({"distinct_keys": 100_001}, "run {run} has more than 100000 findings"),
        (
            {"started_at": timezone.now() - datetime.timedelta(days=8)},
            "run {run} is older than the intents that are kept",
        ),
        ({"status": "failed"}, "there is no complete scan to build on"),
    ],
)
def test_full_where_changes_are_not_known(change, reason):
    """A scan that cannot be incremental is full, and says why."""
    entries(5)
    first = scanned("full")
    ScanRun.objects.update(**change)
    result = scanned()
    assert result.mode == "full"
    assert result.reason.endswith(f"; full, since {reason.format(run=first.run_id)}") or (
        result.resumed and result.run_id == first.run_id
    )


def test_full_where_the_primary_key_does_not_tell(monkeypatch):
    """New rows are known by a number that the database gives, and by nothing else."""
    assert incremental._goes_by_number(_source(RELATION))
    monkeypatch.setattr(Entry._meta, "pk", Device._meta.pk)
    assert not incremental._goes_by_number(_source(RELATION))


def _source(handle):
    from xdbrel.integrity.reading import ends

    return ends.of(relations.get(handle))[0]


def test_auto(settings):
    """Full the first time and when the last full one is too old, incremental in between."""
    entries(5)
    assert [scanned("auto").mode for _ in range(3)] == ["full", "incremental", "incremental"]
    old = timezone.now() - datetime.timedelta(seconds=86_401)
    ScanRun.objects.filter(mode="full").update(started_at=old)
    assert [scanned("auto").mode for _ in range(2)] == ["full", "incremental"]


def test_many_new_sources(monkeypatch):
    monkeypatch.setattr(incremental, "MOST_NEW", 3)
    first = scanned("full")
    entries(*range(5))
    result = scanned()
    assert result.mode == "full"
    assert result.reason.endswith(
        f"; full, since there are more than 3 new sources since run {first.run_id}"
    )


def test_horizon_before_open_transactions(monkeypatch):
    """A mark is safe once nobody is left who was there when it was made."""
    entries(1, 2)
    scanned("full")
    first = ScanRun.objects.get()
    last = Entry.objects.latest("pk").pk
    assert (first.horizon["pk"], first.horizon["safe"]) == (last, last)
    entries(3)
    # Somebody has been at it for an hour: no mark is old enough but the first one's own.
    monkeypatch.setattr(incremental, "_oldest", lambda using: 3600.0)
    scanned("full")
    second = ScanRun.objects.latest("pk")
    assert second.horizon["pk"] > last
    assert second.horizon["safe"] == last
    # The one that is open now began after the second mark was made.
    monkeypatch.setattr(incremental, "_oldest", lambda using: 0.001)
    ScanRun.objects.filter(pk=second.pk).update(
        horizon={**second.horizon, "at": "2000-01-01T00:00:00+00:00"}
    )
    scanned()
    third = ScanRun.objects.latest("pk")
    assert third.mode == "incremental"
    assert third.horizon["safe"] == second.horizon["pk"]


@pytest.mark.skipif(LAYOUT == "sqlite", reason="SQLite has one writer at a time")
@pytest.mark.django_db(databases="__all__", transaction=True)
def test_ids_are_not_commit_order(monkeypatch):
    """A source with a low id that is committed late is found by the next run."""
    monkeypatch.undo()
    begun, go = threading.Event(), threading.Event()
    scanned("full")

    def writer():
        try:
            with transaction.atomic(using="blog"):
                entries(77)
                begun.set()
                assert go.wait(30)
        finally:
            connections.close_all()

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        assert begun.wait(30)
        entries(78)
        with_it_open = scanned()
        assert keys_of(with_it_open) == [(78, 1)]
    finally:
        go.set()
        thread.join()
    result = scanned()
    assert keys_of(result) == [(77, 1), (78, 1)]
    # Which of both it is depends on who else has a transaction open on this server.
    assert {with_it_open.mode, result.mode} <= {"incremental", "full"}


def test_killed(monkeypatch):
    """An incremental run that is cut short has what it found once, when it is gone on with."""
    shelves(1)
    entries(1, 90)
    scanned("full")
    entries(91)

    def interrupt(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(relations.get(RELATION), mode="incremental", on_progress=interrupt)
    result = scanned()
    assert (result.resumed, result.mode) == (1, "incremental")
    assert keys_of(result) == [(90, 1), (91, 1)]
