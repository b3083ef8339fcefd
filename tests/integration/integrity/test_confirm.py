"""The second look: when it is due, what heals, and writers that really write meanwhile."""

import datetime
import threading
import time

import pytest
from django.db import connections, transaction
from django.utils import timezone

from tests.apps.archive.models import Entry, Shelf
from tests.settings import LAYOUT
from xdbrel import relations
from xdbrel.cascade.horizon import oldest_transaction
from xdbrel.integrity import confirm as module
from xdbrel.integrity.confirm import ConfirmResult, confirm, confirm_due, due, waits_for
from xdbrel.integrity.scan import scan
from xdbrel.models import Orphan, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

RELATION = "archive.Entry.shelf"

on_servers = pytest.mark.skipif(LAYOUT == "sqlite", reason="SQLite has one writer at a time")


@pytest.fixture
def at_once(settings):
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 0.0}


def scanned(**options):
    result = scan(relations.get(RELATION), **options)
    return ScanRun.objects.get(pk=result.run_id)


def entries(*numbers):
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in numbers])


def keys_of(run):
    return sorted(Orphan.objects.filter(run=run).values_list("key", "sources"))


def test_not_before_its_time(settings):
    """A run waits for its time, and says for how long."""
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 60.0}
    entries(5)
    run = scanned()
    assert run.confirmed_at is None
    assert not due(run)
    assert waits_for(run).startswith("its time has not come, ")
    result = confirm(run)
    assert (result.confirmed, result.looked_at) == (False, 0)
    run.finished_at = timezone.now() - datetime.timedelta(seconds=61)
    run.save()
    assert due(run)
    assert confirm(run).confirmed
    assert not due(run)


def test_clean_run_has_nothing_to_wait_for():
    run = scanned()
    assert run.confirmed_at == run.finished_at


@pytest.mark.usefixtures("at_once")
def test_what_has_healed_is_removed_and_counted():
    """A target that is there again, sources that are gone, and some of several that are."""
    entries(1, 1, 2, 3, 3, 3, 4)
    run = scanned()
    Shelf.objects.create(number=1)
    Entry.objects.filter(shelf_id=2).delete()
    Entry.objects.filter(shelf_id=3)[:1].get().delete()
    result = confirm(run)
    assert result == ConfirmResult(
        relation=RELATION,
        run=run.pk,
        confirmed=True,
        waits_for="",
        looked_at=4,
        healed=2,
        orphans=3,
        distinct_keys=2,
    )
    assert keys_of(run) == [(3, 2), (4, 1)]
    run.refresh_from_db()
    assert (run.orphans, run.distinct_keys, run.healed) == (3, 2, 2)
    assert run.confirmed_at is not None
    assert confirm(run).looked_at == 0


@pytest.mark.usefixtures("at_once")
def test_goes_on_where_it_was(settings, monkeypatch):
    """One that was cut short does not look again at what it has looked at."""
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 4}
    entries(*range(10))
    run = scanned()
    Shelf.objects.bulk_create([Shelf(number=number) for number in (0, 5)])
    missing = module.targets.missing
    asked = []

    def cut_short(target, wanted):
        if len(asked) == 1:
            asked.append(None)
            raise KeyboardInterrupt
        asked.append(list(wanted))
        return missing(target, wanted)

    monkeypatch.setattr(module.targets, "missing", cut_short)
    with pytest.raises(KeyboardInterrupt):
        confirm(run)
    run.refresh_from_db()
    assert (run.distinct_keys, run.healed, run.confirmed_at) == (9, 1, None)
    assert run.confirmed_upto == Orphan.objects.filter(run=run).order_by("pk")[2].pk
    result = confirm(run)
    assert (result.looked_at, result.healed, result.distinct_keys) == (6, 1, 8)
    assert [len(wanted) for wanted in asked if wanted] == [4, 4, 2]


@pytest.mark.usefixtures("at_once")
def test_latest_run_of_each_relation():
    """An older run's findings are nobody's concern any more; those that wait are told of."""
    entries(5)
    older, latest = scanned(), scanned()
    (result,) = confirm_due()
    assert (result.run, result.confirmed) == (latest.pk, True)
    older.refresh_from_db()
    assert older.confirmed_at is None


@on_servers
@pytest.mark.usefixtures("at_once")
@pytest.mark.django_db(databases="__all__", transaction=True)
def test_waits_for_open_transactions():
    """A target that was inserted before the scan and is committed after it is no orphan's."""
    begun, seen = threading.Event(), threading.Event()

    def writer():
        try:
            with transaction.atomic(using="default"):
                Shelf.objects.create(number=7)
                begun.set()
                assert seen.wait(30)
        finally:
            connections.close_all()

    thread = threading.Thread(target=writer)
    thread.start()
    try:
        assert begun.wait(30)
        entries(7, 8)
        run = scanned()
        assert keys_of(run) == [(7, 1), (8, 1)]
        while not oldest_transaction("default"):
            # InnoDB shows no new ones to who asks more than ten times in a second.
            time.sleep(0.2)
        assert "was open while the scan ran" in waits_for(run)
        assert waits_for(run).startswith("a transaction on 'default' is ")
        assert not confirm(run).confirmed
    finally:
        seen.set()
        thread.join()
    until = time.monotonic() + 30
    while not due(run) and time.monotonic() < until:
        pass
    assert confirm(run).healed == 1
    assert keys_of(run) == [(8, 1)]


@on_servers
@pytest.mark.usefixtures("at_once")
@pytest.mark.django_db(databases="__all__", transaction=True)
def test_writers_really_write(monkeypatch):
    """Targets and sources come and go while scans run: nothing false, nothing lost.

    Each writer inserts a target and its source, in this order or in one transaction beside the
    other, or deletes a source and then its target. Orphans that nobody touches stay.
    """
    real = list(range(-5, 0))
    entries(*real)
    Shelf.objects.bulk_create([Shelf(number=number) for number in range(0, 4000, 2)])
    entries(*range(0, 4000, 2))
    stop = threading.Event()
    errors = []

    def writer(number):
        key = 1 + 2 * number
        try:
            while not stop.is_set():
                with transaction.atomic(using="default"):
                    Shelf.objects.create(number=key)
                    with transaction.atomic(using="blog"):
                        # Committed before its target is.
                        entry = Entry.objects.create(shelf_id=key)
                entry.delete()
                Shelf.objects.filter(number=key)._raw_delete("default")
                key = (key + 8) % 4000
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    confirmed = 0
    try:
        for strategy in ("gaps", "merge") * 2:
            run = scanned(strategy=strategy)
            until = time.monotonic() + 30
            # InnoDB tells of transactions what it knew before, as long as it is asked again
            # within a tenth of a second.
            while not due(run) and time.monotonic() < until:
                stop.wait(0.2)
            result = confirm(run)
            assert result.confirmed
            confirmed += result.distinct_keys == len(real)
            assert keys_of(run) == [(key, 1) for key in real]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert confirmed == 4
