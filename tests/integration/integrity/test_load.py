"""What a scan asks of the databases: throttle, bounded statements, reads alone."""

import pytest
from django.db import OperationalError, connections

from tests.apps.archive.models import Entry, Shelf
from tests.settings import LAYOUT
from xdbrel import relations
from xdbrel.integrity.confirm import confirm
from xdbrel.integrity.reading import ends, statement_time
from xdbrel.integrity.sample import sample
from xdbrel.integrity.scan import scan
from xdbrel.integrity.scanning import lag, throttle
from xdbrel.integrity.scanning.throttle import Throttle
from xdbrel.models import ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

RELATION = "archive.Entry.shelf"

on_servers = pytest.mark.skipif(LAYOUT == "sqlite", reason="SQLite bounds no statements")


class Clock:
    """Time that passes only where it is slept or spent."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        self.slept = []
        monkeypatch.setattr(throttle, "time", self)
        monkeypatch.setattr(throttle, "_sleep", self.sleep)

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def rest_after(self, limits, seconds, seen=100, **options):
        self.now += seconds
        return limits.rest(seen, **options)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_no_rest_by_default(clock):
    limits = Throttle(_began=clock.now)
    assert [clock.rest_after(limits, 0.1) for _ in range(5)] == [0.0] * 5
    assert clock.slept == []


def test_share_of_the_time(clock):
    """A quarter of the time means to rest for three times as long as was worked."""
    limits = Throttle(max_load=0.25, _began=clock.now)
    assert clock.rest_after(limits, 0.2) == pytest.approx(0.6)
    assert clock.rest_after(limits, 0.1) == pytest.approx(0.3)


def test_keys_per_second(clock):
    limits = Throttle(keys_per_second=1000.0, _began=clock.now)
    assert clock.rest_after(limits, 0.5, seen=3000) == pytest.approx(2.5)
    assert clock.slept == pytest.approx([1.0, 1.0, 0.5])
    assert clock.rest_after(limits, 0.5, seen=100) == 0.0


def test_slow_step(clock):
    """A step that takes far longer than usual is followed by a rest as long, at most ten."""
    limits = Throttle(_began=clock.now)
    for _ in range(5):
        clock.rest_after(limits, 0.1)
    assert clock.rest_after(limits, 2.0) == pytest.approx(2.0)
    assert clock.rest_after(limits, 0.1) == 0.0
    assert clock.rest_after(limits, 60.0) == pytest.approx(10.0)


def test_lagging_replica(clock, monkeypatch):
    """The scan waits until the replica has caught up, and keeps its lease meanwhile."""
    behind = iter([31.0, 30.5, 12.0])
    monkeypatch.setattr(lag, "behind", lambda alias: next(behind))
    limits = Throttle(replicas=["copy"], _began=clock.now)
    kept = []
    assert clock.rest_after(limits, 0.1, keep=lambda: kept.append(clock.now)) == 2.0
    assert len(kept) == 2
    assert clock.rest_after(limits, 0.1) == 0.0


def test_stop_ends_a_rest(clock):
    limits = Throttle(max_load=0.01, _began=clock.now)
    assert clock.rest_after(limits, 1.0, stop=lambda: len(clock.slept) >= 2) == 2.0


def test_limits_by_the_settings(settings):
    settings.XDBREL = {
        **settings.XDBREL,
        "SCAN_MAX_LOAD": 0.5,
        "SCAN_KEYS_PER_SECOND": 9.0,
        "REPLICAS": {"copy": "blog", "other": "shop"},
    }
    both = ends.of(relations.get(RELATION))
    limits = Throttle.from_settings(*both)
    assert (limits.max_load, limits.keys_per_second, limits.max_lag) == (0.5, 9.0, 30.0)
    assert limits.replicas == ("copy",)
    assert Throttle.from_settings(*both, max_load=0.1, keys_per_second=3).max_load == 0.1


@pytest.mark.parametrize("alias", ["default", "blog"])
def test_a_primary_lags_behind_nobody(alias):
    assert lag.behind(alias) == 0.0


@on_servers
@pytest.mark.parametrize("alias", ["default", "blog"])
def test_statements_are_bounded(settings, alias):
    """A statement that takes too long is ended by its server; afterwards all is as before."""
    both = ends.of(relations.get(RELATION))
    settings.XDBREL = {**settings.XDBREL, "SCAN_STATEMENT_SECONDS": 0.2}
    connection = connections[alias]
    name, sleeping = {
        "postgresql": ("SHOW statement_timeout", "SELECT pg_sleep(20)"),
        "mysql": (
            "SELECT @@max_statement_time",
            "SELECT SLEEP(20) FROM information_schema.tables",
        ),
    }[connection.vendor]

    def bound():
        with connection.cursor() as cursor:
            cursor.execute(name)
            return cursor.fetchone()

    before = bound()
    with statement_time.bounded(*both):
        assert bound() != before
    assert bound() == before
    with connection.cursor() as cursor:
        strict, value = {
            "postgresql": ("SET statement_timeout = 100", ("100ms",)),
            "mysql": ("SET SESSION max_statement_time = 0.1", (0.1,)),
        }[connection.vendor]
        cursor.execute(strict)
        # A stricter bound of the project's own is kept.
        with statement_time.bounded(*both):
            assert bound() == value
            with pytest.raises(OperationalError):
                cursor.execute(sleeping)
            connection.needs_rollback = False
            cursor.execute("ROLLBACK" if connection.vendor == "postgresql" else "SELECT 1")
            if connection.vendor == "postgresql":
                cursor.execute("BEGIN")
                cursor.execute(strict)
    with connection.cursor() as cursor:
        cursor.execute(
            "SET statement_timeout = 0"
            if connection.vendor == "postgresql"
            else "SET SESSION max_statement_time = 0"
        )


#: How what only reads, or bounds the session's own statements, begins.
READS = ("SELECT", "SHOW", "WITH before", "SET SESSION max_stat")


def test_reads_alone(settings):
    """Of the two ends nothing is written, locked or created; findings are elsewhere."""
    settings.XDBREL = {**settings.XDBREL, "INTEGRITY_DATABASE": "shop", "CONFIRM_AFTER": 0.0}
    Shelf.objects.bulk_create([Shelf(number=number) for number in (1, 2, 9)])
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in (1, 4, 4, 7)])
    statements = []

    def note(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    relation = relations.get(RELATION)
    with (
        connections["default"].execute_wrapper(note),
        connections["blog"].execute_wrapper(note),
    ):
        for options in ({"strategy": "gaps"}, {"strategy": "merge"}, {"mode": "incremental"}):
            run_id = scan(relation, **options).run_id
        confirm(ScanRun.objects.using("shop").get(pk=run_id))
        sample(relation, 3)
    assert len(statements) > 10
    for sql in statements:
        assert sql.lstrip("( \n").startswith(READS), sql
        assert "FOR UPDATE" not in sql
