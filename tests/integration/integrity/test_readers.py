"""Several connections that read at once: the same findings, and none left open."""

import logging
import threading

import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import CaptureQueriesContext

from tests.apps.archive.models import Entry, Shelf
from tests.settings import LAYOUT
from xdbrel import relations
from xdbrel.integrity.reading import ends, readers, statement_time, targets
from xdbrel.integrity.reading.beside import Beside
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scan import scan
from xdbrel.integrity.scanning.strategies import STRATEGIES
from xdbrel.integrity.scanning.throttle import Throttle

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.skipif(LAYOUT == "sqlite", reason="SQLite is in the process itself"),
]

HANDLE = "archive.Entry.shelf"


@pytest.fixture(autouse=True)
def several(monkeypatch):
    """Small parts and windows, and several connections for each server."""
    monkeypatch.setattr(readers, "PART", 3)
    monkeypatch.setattr(readers, "_WAITING", {"mysql", "postgresql"})
    monkeypatch.setattr(targets, "SPAN", 32)


@pytest.fixture
def orphans():
    """Sources of every third key, targets of every fifth and far away: key → rows."""
    there = [*range(0, 300, 5), 5_000]
    held = [*range(0, 300, 3), *range(0, 300, 6), 1_000, 4_999, 9_000]
    Shelf.objects.bulk_create([Shelf(number=number) for number in there])
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in held])
    return {key: held.count(key) for key in sorted(set(held) - set(there))}


def made(monkeypatch):
    """Return a list that takes every connection made beside the scan's own."""
    found = []
    copy = BaseDatabaseWrapper.copy

    def noted(connection, alias=None):
        found.append(copy(connection, alias))
        return found[-1]

    monkeypatch.setattr(BaseDatabaseWrapper, "copy", noted)
    return found


def misled(monkeypatch):
    """Let no connection be made beside the scan's own."""
    copy = BaseDatabaseWrapper.copy

    def elsewhere(connection, alias=None):
        other = copy(connection, alias)
        other.settings_dict["NAME"] = "xdbrel_there_is_none"
        return other

    monkeypatch.setattr(BaseDatabaseWrapper, "copy", elsewhere)


def none_left(others):
    assert all(other.connection is None for other in others)
    assert not [thread for thread in threading.enumerate() if "xdbrel" in thread.name]


@pytest.mark.parametrize("strategy", ["gaps", "bitmap"])
def test_same_findings_position_by_position(orphans, strategy, monkeypatch):
    others = made(monkeypatch)
    monkeypatch.setattr("xdbrel.integrity.scanning.strategies.gaps.DENSE", 1)
    source, target = ends.of(relations.get(HANDLE))
    found, upto = {}, -1
    for batch in STRATEGIES[strategy](source, target, KeyRange(), 4):
        assert all(key > upto for key in batch.found)
        found.update(batch.found)
        upto = upto if batch.upto is None else batch.upto
    assert found == orphans
    assert len(others) == 4
    none_left(others)


def test_scan_by_several(orphans, settings, monkeypatch):
    """They are bounded like the scan's own connection, and write nothing."""
    others = made(monkeypatch)
    bounded = []
    bound = statement_time.bound
    monkeypatch.setattr(
        statement_time,
        "bound",
        lambda connection: (bounded.append(connection), bound(connection))[1],
    )
    monkeypatch.setattr("xdbrel.integrity.scanning.strategies.gaps.DENSE", 1)
    settings.XDBREL = {**settings.XDBREL, "SCAN_READERS": 2}
    result = scan(relations.get(HANDLE), strategy="gaps")
    assert (result.distinct_keys, result.orphans) == (len(orphans), sum(orphans.values()))
    assert len(others) == 2
    assert [one for one in bounded if one in others]
    none_left(others)


def test_closed_before_the_end(orphans, monkeypatch):
    others = made(monkeypatch)
    monkeypatch.setattr("xdbrel.integrity.scanning.strategies.gaps.DENSE", 1)
    source, target = ends.of(relations.get(HANDLE))
    batches = STRATEGIES["gaps"](source, target, KeyRange(), 4)
    while not next(batches).found:
        pass
    assert others
    batches.close()
    none_left(others)


def test_server_without_a_connection_to_give(orphans, monkeypatch, caplog):
    """Where no other connection can be made, the scan goes on by its own, and says so once."""
    misled(monkeypatch)
    monkeypatch.setattr("xdbrel.integrity.scanning.strategies.gaps.DENSE", 1)
    source, target = ends.of(relations.get(HANDLE))
    with caplog.at_level(logging.WARNING, "xdbrel"):
        found = {}
        for batch in STRATEGIES["gaps"](source, target, KeyRange(), 4):
            found.update(batch.found)
    assert found == orphans
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "The scan of archive.Entry.shelf goes on by one connection to blog: "
    )
    assert (record.action, record.relation, record.alias) == ("scan_alone", HANDLE, "blog")


def test_own_transaction(orphans):
    """What the transaction has written, no other connection would see."""
    source, _ = ends.of(relations.get(HANDLE))
    with transaction.atomic(using="blog"):
        Entry.objects.create(shelf_id=7)
        with Beside(source, 4) as beside:
            reading = readers.Readers(source, beside)
            assert reading.number == 1
            assert reading.count([7, 11, 13, 17]).result() == {7: 1}


@pytest.fixture
def dense():
    """Targets of all keys but every seventh, sources of every third: key → rows."""
    there = [number for number in range(300) if number % 7]
    held = [*range(0, 300, 3), *range(0, 300, 6), 1_000]
    Shelf.objects.bulk_create([Shelf(number=number) for number in there])
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in held])
    return {key: held.count(key) for key in sorted(set(held) - set(there))}


def ran(strategy, number):
    """Return what a strategy finds, and how many statements asked for words by our own."""
    source, target = ends.of(relations.get(HANDLE))
    found = {}
    with CaptureQueriesContext(connections[target.using]) as queries:
        for batch in STRATEGIES[strategy](source, target, KeyRange(), number):
            assert all(key > max(found, default=-1) for key in batch.found)
            found.update(batch.found)
    asked = [query["sql"] for query in queries if "bit_or" in query["sql"].lower()]
    return found, [sql for sql in asked if Shelf._meta.db_table in sql]


@pytest.mark.parametrize("strategy", ["gaps", "bitmap"])
def test_targets_are_read_ahead(dense, strategy, monkeypatch):
    """The scan's own connection reads the first two windows, another one all that follow."""
    others = made(monkeypatch)
    alone, by_own = ran(strategy, 1)
    assert (alone, others) == (dense, [])
    assert len(by_own) == 11
    found, by_own = ran(strategy, 2)
    assert found == dense
    assert len(by_own) == 2
    home = relations.get(HANDLE).target_home
    assert [other for other in others if other.alias == home]
    none_left(others)


def test_one_window_is_not_read_ahead(dense, monkeypatch):
    monkeypatch.setattr(targets, "SPAN", 1 << 17)
    others = made(monkeypatch)
    found, by_own = ran("bitmap", 2)
    assert (found, len(by_own)) == (dense, 1)
    assert others == []


def test_targets_read_ahead_and_given_up(dense, monkeypatch):
    others = made(monkeypatch)
    source, target = ends.of(relations.get(HANDLE))
    batches = STRATEGIES["bitmap"](source, target, KeyRange(), 2)
    while not others:
        next(batches)
    batches.close()
    none_left(others)


def test_targets_server_without_a_connection_to_give(dense, monkeypatch, caplog):
    misled(monkeypatch)
    with caplog.at_level(logging.WARNING, "xdbrel"):
        found, by_own = ran("bitmap", 2)
    assert (found, len(by_own)) == (dense, 11)
    home = relations.get(HANDLE).target_home
    (record,) = [one for one in caplog.records if one.alias == home]
    assert record.getMessage().startswith(
        f"The scan of archive.Entry.shelf goes on by one connection to {home}: "
    )


def test_targets_of_the_own_transaction_are_not_read_ahead(dense, monkeypatch):
    others = made(monkeypatch)
    home = relations.get(HANDLE).target_home
    with transaction.atomic(using=home):
        Shelf.objects.filter(number=3)._raw_delete(using=home)
        found, by_own = ran("bitmap", 2)
        assert found == {**dense, 3: 1}
        assert len(by_own) == 11
    assert [other for other in others if other.alias == home] == []


def test_one_where_load_is_spared(settings):
    settings.XDBREL = {**settings.XDBREL, "SCAN_READERS": 3}
    assert Throttle().readers() == 3
    assert Throttle(max_load=0.5).readers() == 1
    assert Throttle(keys_per_second=10).readers() == 1
