"""What PostgreSQL alone has: TRUNCATE triggers, partitions, schemas, settings of a session."""

import pytest
from django.db import connections, models, transaction

from tests.apps.archive.models import Entry, Shelf
from tests.apps.blog.models import Quote, Visit
from tests.apps.people.models import Day, Device, Rate
from tests.integration.cascade.triggers.conftest import run, table, written
from xdbrel.cascade.relay import relay
from xdbrel.cascade.triggers import drift
from xdbrel.cascade.triggers.install import install, remove

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.skipif(
        connections["default"].vendor != "postgresql", reason="only PostgreSQL has these"
    ),
]

SHELF = "archive.Entry.shelf"


def all_keys(relation):
    return sorted(key for intent in written(relation) for key in intent.keys)


def test_truncate(capturing):
    """A table that is emptied is captured in bounded pieces, and the sources follow."""
    capturing(INTENT_KEYS=2)
    devices = [Device.objects.create() for _ in range(5)]
    for device in devices:
        Visit.objects.create(device=device)
    kept = Visit.objects.create()
    run(f"TRUNCATE {table(Device)}")
    found = written("blog.Visit.device")
    assert sorted(len(intent.keys) for intent in found) == [1, 2, 2]
    assert all_keys("blog.Visit.device") == sorted(str(device.pk) for device in devices)
    assert relay().failed == 0
    assert Visit.objects.get() == kept


@pytest.mark.parametrize("rows", [3, 4, 7])
def test_more_keys_than_fit_in_memory(capturing, monkeypatch, rows):
    """Past a number of keys a statement is captured another way, and by the same intents."""
    monkeypatch.setattr("xdbrel.cascade.triggers.postgresql._IN_MEMORY", 3)
    capturing(["blog.Visit.device"], INTENT_KEYS=2)
    keys = sorted(str(Device.objects.create().pk) for _ in range(rows))
    run(f"DELETE FROM {table(Device)}")
    assert all_keys("blog.Visit.device") == keys
    assert all(len(intent.keys) <= 2 for intent in written())
    assert len(written()) == (rows + 1) // 2


def test_compression(capturing):
    """The keys are compressed by what is quick, where the server has it."""
    capturing()
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "SELECT 'lz4' = ANY (enumvals) FROM pg_settings"
            " WHERE name = 'default_toast_compression'"
        )
        (has_lz4,) = cursor.fetchone()
        cursor.execute(
            "SELECT DISTINCT attcompression FROM pg_attribute"
            " WHERE attrelid = 'xdbrel_cascadeintent'::regclass"
            " AND attname IN ('keys', 'new_keys')"
        )
        assert cursor.fetchall() == [("l" if has_lz4 else "",)]


def test_truncate_rolled_back(capturing):
    capturing()
    Device.objects.create()
    with transaction.atomic():
        run(f"TRUNCATE {table(Device)}")
        transaction.set_rollback(True)
    assert written() == []
    assert Device.objects.exists()


def test_styles_of_a_session(triggers):
    """Keys are written the same whatever the session's styles of dates."""
    day = Day.objects.create(date="2024-02-01")
    Quote.objects.create(day=day)
    with transaction.atomic():
        run("SET LOCAL datestyle = 'SQL, DMY'")
        run("SET LOCAL timezone = 'Asia/Tokyo'")
        run(f"DELETE FROM {table(Day)}")
    assert all_keys("blog.Quote.day") == ["2024-02-01"]


def test_many_in_one_transaction(triggers):
    """Each statement writes its own."""
    for value in range(3):
        Rate.objects.create(value=value)
    with transaction.atomic():
        for value in range(3):
            run(f"DELETE FROM {table(Rate)} WHERE value = %s", [value])
    assert all_keys("blog.Quote.rate") == ["0.00", "1.00", "2.00"]


@pytest.fixture
def parted(settings, standing_elsewhere):
    """Shelves in partitions, one of them parted again, in a schema and by names of their own."""
    run('CREATE SCHEMA "Odd one"')
    standing_elsewhere(Shelf, 'Odd one"."shelves by number')
    run(
        f'CREATE TABLE {table(Shelf)} ("order" bigint PRIMARY KEY, "group by" integer)'
        f' PARTITION BY RANGE ("order")'
    )
    partition("low", 0, 100)
    partition("high", 100, 1000, ' PARTITION BY RANGE ("order")')
    partition("high first", 100, 500, parent="high")
    settings.XDBREL = {
        **settings.XDBREL, "CAPTURE": [SHELF, "archive.Entry.coded"]
    }  # fmt: skip
    assert {state.state for state in install("default")} == {"installed"}
    yield
    remove("default")
    run('DROP SCHEMA "Odd one" CASCADE')


def partition(name, start, end, more="", parent="shelves by number"):
    run(
        f'CREATE TABLE "Odd one"."{name}" PARTITION OF "Odd one"."{parent}"'
        f" FOR VALUES FROM ({start}) TO ({end}){more}"
    )


def shelve(*numbers):
    for number in numbers:
        run(f"INSERT INTO {table(Shelf)} VALUES (%s, %s)", [number, number])


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ('DELETE FROM "Odd one"."shelves by number"', [1, 2, 150, 200]),
        ('DELETE FROM "Odd one"."low"', [1, 2]),
        ('DELETE FROM "Odd one"."high"', [150, 200]),
        ('DELETE FROM "Odd one"."high first"', [150, 200]),
        ('TRUNCATE "Odd one"."shelves by number"', [1, 2, 150, 200]),
        ('TRUNCATE "Odd one"."low", "Odd one"."high"', [1, 2, 150, 200]),
        ('TRUNCATE "Odd one"."high first"', [150, 200]),
    ],
)
def test_partitions(parted, verb, expected):
    """Whatever the statement names, each row is captured once."""
    shelve(1, 2, 150, 200)
    run(verb)
    assert all_keys(SHELF) == expected
    assert all_keys("archive.Entry.coded") == expected


def test_sources_of_partitioned_targets_follow(parted):
    shelve(1, 150)
    for number in (1, 150):
        Entry.objects.create(shelf_id=number)
    run('DELETE FROM "Odd one"."low"')
    assert relay().failed == 0
    assert Entry.objects.get().shelf_id == 150


def test_keys_change_in_partitions(parted, monkeypatch):
    """Through the parent and in a partition; a row that moves on has not gone."""
    for name in ("shelf", "coded"):
        monkeypatch.setattr(Entry._meta.get_field(name), "on_update", models.CASCADE)
    install("default")
    shelve(1, 150)
    run(f'UPDATE {table(Shelf)} SET "group by" = 7 WHERE "order" = 1')
    run('UPDATE "Odd one"."high first" SET "order" = 151')
    changes = [(intent.relation, intent.keys, intent.new_keys) for intent in written()]
    assert changes == [("archive.Entry.coded", [1], [7]), (SHELF, [150], [151])]
    # From one partition to another PostgreSQL tells triggers nothing of the kind.
    run(f'UPDATE {table(Shelf)} SET "order" = 3 WHERE "order" = 151')
    assert len(written()) == 2


def test_a_new_partition_is_found(parted):
    """What is deleted in it directly is not captured until it has its trigger."""
    assert not any(state.is_finding for state in drift.check("default"))
    partition("last", 500, 1000, parent="high")
    amiss = [state for state in drift.check("default") if state.is_finding]
    assert {(state.state, state.table) for state in amiss} == {("missing", '"Odd one".last')}
    assert {state.state for state in install("default")} == {"current", "installed"}
    shelve(600)
    run('DELETE FROM "Odd one".last')
    assert all_keys(SHELF) == [600]


def test_a_partition_that_was_detached(parted):
    """It is no target's table any more, and its triggers are strays."""
    run('ALTER TABLE "Odd one"."shelves by number" DETACH PARTITION "Odd one".low')
    amiss = [state for state in drift.check("default") if state.is_finding]
    assert {(state.state, state.table) for state in amiss} == {("stray", '"Odd one".low')}
    install("default")
    assert not any(state.is_finding for state in drift.check("default"))
