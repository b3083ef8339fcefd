"""Scans and repairs of relations over several columns."""

import json
from collections import Counter

import pytest
from django.core.management import call_command
from django.db.models import F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.apps.climate.models import Cell, Marker, Region, Stop, Trip, Weather
from tests.integration.composite.conftest import hour, trip
from xdbrel import compat, relations
from xdbrel.integrity.confirm import confirm
from xdbrel.integrity.exceptions import BadMapping, CannotRepair, UnsuitableStrategy
from xdbrel.integrity.reading import ends, tuples
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.repair import repair
from xdbrel.integrity.restore import restore
from xdbrel.integrity.sample import sample
from xdbrel.integrity.scan import scan
from xdbrel.integrity.scanning import incremental, planner
from xdbrel.integrity.scanning.planner import Choice
from xdbrel.integrity.scanning.strategies import STRATEGIES
from xdbrel.models import Orphan, QuarantinedRow, ScanRun
from xdbrel.testing import assert_no_orphans

pytestmark = pytest.mark.django_db(databases="__all__")

WEATHER = relations.get("climate.Trip.weather")
CELL = relations.get("climate.Marker.cell")
REGION = relations.get("climate.Trip.region")


def findings(result):
    found = Orphan.objects.filter(run_id=result.run_id).values_list("key", "sources")
    return {tuple(key): number for key, number in found}


@pytest.fixture
def small(monkeypatch):
    """Let a page hold a few keys, so that few rows have several."""
    monkeypatch.setattr(tuples, "PAGE", 3)


@pytest.fixture
def orphans(trips):
    """Besides the one of ``trips``: three at a place that has no weather."""
    return Trip.objects.bulk_create([trip(3, "LGA"), trip(3, "LGA"), trip(4, "LGA")])


@pytest.mark.parametrize("strategy", [None, "push", "merge"])
def test_scan(orphans, small, strategy):
    result = scan(WEATHER, strategy=strategy)
    assert (result.orphans, result.distinct_keys) == (4, 3)
    assert findings(result) == {
        ("JFK", hour(7).isoformat()): 1,
        ("LGA", hour(3).isoformat()): 2,
        ("LGA", hour(4).isoformat()): 1,
    }


def test_planner(weather):
    """Texts are sorted by no index of both databases; numbers and moments would be."""
    source, target = ends.of(WEATHER)
    reason = "keys hold texts, which no index has in one order on both sides"
    assert planner.choose(source, target) == Choice("push", reason)
    assert planner.suits("merge", source, target)
    with pytest.raises(UnsuitableStrategy, match="needs integer keys"):
        scan(WEATHER, strategy="gaps")


def test_planner_without_texts():
    """Keys of numbers and moments are in one order, and so read from both sides in turn."""
    source, target = ends.of(CELL)
    Cell.objects.bulk_create(Cell(x=x, y=y) for x in range(4) for y in range(4))
    Marker.objects.bulk_create(Marker(x=x, y=y) for x in range(5) for y in (0, 0, 4, None))
    assert planner.choose(source, target).strategy == "merge"
    assert scan(CELL).reason.startswith("keys are in one order on both sides")
    assert (
        findings(scan(CELL))
        == findings(scan(CELL, strategy="push"))
        == {(4, 0): 2, **{(x, 4): 1 for x in range(5)}}
    )


def ordinals():
    """Keys whose texts no collation takes for each other."""
    return st.tuples(st.sampled_from(["a", "b", "ab", "ß", "\U0001f600"]), st.integers(0, 5))


@settings(max_examples=10)
@given(
    held=st.lists(st.tuples(ordinals(), st.booleans()), max_size=30),
    there=st.sets(ordinals(), max_size=20),
    cut=st.integers(0, 10),
)
def test_any_keys(small, held, there, cut):
    """Every strategy that suits gives a plain difference of sets, in one go or in two."""
    compat.raw_delete(Trip.objects.all(), "blog")
    compat.raw_delete(Weather.objects.all(), "default")
    Weather.objects.bulk_create(Weather(place=place, hour=hour(at)) for place, at in there)
    Trip.objects.bulk_create(trip(None if lacks else at, place) for (place, at), lacks in held)
    expected = {
        (place, hour(at)): number
        for (place, at), number in Counter(key for key, lacks in held if not lacks).items()
        if (place, at) not in there
    }
    source, target = ends.of(WEATHER)
    for strategy in ("push", "merge"):
        batches = list(STRATEGIES[strategy](source, target, KeyRange()))
        assert sum(len(batch.found) for batch in batches) == len(expected)
        assert {k: n for batch in batches for k, n in batch.found.items()} == expected
        positions = [number for number, batch in enumerate(batches) if batch.upto is not None]
        if positions:
            position = positions[min(cut, len(positions) - 1)]
            gone = {key for batch in batches[: position + 1] for key in batch.found}
            behind = KeyRange(batches[position].upto)
            rest = [
                key
                for batch in STRATEGIES[strategy](source, target, behind)
                for key in batch.found
            ]
            assert gone.isdisjoint(rest)
            assert gone.union(rest) == expected.keys()


def test_incremental_and_confirm(orphans, monkeypatch):
    """What is new is found, what has healed is not, and a position is read back from JSON."""
    # The transaction of the test itself, and of others on the server, are none.
    monkeypatch.setattr(incremental, "_oldest", lambda using: 0.0)
    first = scan(WEATHER)
    Weather.objects.create(place="LGA", hour=hour(3))
    Trip.objects.bulk_create([trip(9, "EWR")])
    result = scan(WEATHER, mode="incremental")
    assert result.mode == "incremental"
    assert findings(result) == {
        ("JFK", hour(7).isoformat()): 1,
        ("LGA", hour(4).isoformat()): 1,
        ("EWR", hour(9).isoformat()): 1,
    }
    monkeypatch.setattr("xdbrel.integrity.confirm.waits_for", lambda run: "")
    confirmed = confirm(ScanRun.objects.get(pk=first.run_id))
    assert (confirmed.healed, confirmed.distinct_keys) == (1, 2)


def test_resumed(orphans, small, monkeypatch):
    """A run that was cut short goes on behind the tuple that it had come to."""
    whole = tuples.count

    def failing(*args):
        monkeypatch.setattr(tuples, "count", whole)
        raise KeyboardInterrupt

    monkeypatch.setattr(tuples, "count", failing)
    with pytest.raises(KeyboardInterrupt):
        scan(WEATHER)
    result = scan(WEATHER)
    assert (result.resumed, result.orphans, result.distinct_keys) == (1, 4, 3)


def test_deleted_past_the_orm(trips):
    """Targets that raw SQL deletes are found."""
    Trip.objects.filter(hour=hour(7)).delete()
    assert_no_orphans(WEATHER)
    compat.raw_delete(Weather.objects.filter(hour=hour(2)), "default")
    with pytest.raises(AssertionError) as caught:
        assert_no_orphans(WEATHER)
    assert f"key ('JFK', {hour(2)!r}) (1 source)" in str(caught.value)


def test_sample(orphans):
    found = sample(WEATHER, 100, seed=1)
    assert (found.sampled, found.orphaned) == (10, 4)


def test_repair_delete(orphans):
    """Sources without a target go, and what hangs on them."""
    Stop.objects.create(trip=Trip.objects.filter(place="LGA").first())
    scan(WEATHER)
    assert repair(WEATHER, "report").rows == 4
    result = repair(WEATHER, "delete")
    assert (result.rows, result.keys) == (4, 3)
    assert result.counts == {"climate.Trip": 4, "climate.Stop": 1}
    assert Trip.objects.count() == 6
    assert scan(WEATHER).orphans == 0


def test_repair_set_null(region):
    """Those of the columns that may be NULL become it; half a key relates to nothing."""
    Trip.objects.create(country="DE", region_number=8)
    Trip.objects.create(country="DE", region_number=7)
    scan(REGION)
    assert repair(REGION, "set_null").rows == 1
    assert sorted(Trip.objects.values_list("country", "region_number"), key=str) == [
        ("DE", 7),
        ("DE", None),
    ]
    assert scan(REGION).orphans == 0


def test_repair_repoint(region, tmp_path):
    """A mapping names keys by lists."""
    Trip.objects.create(country="DE", region_number=8)
    Trip.objects.create(country="FR", region_number=8)
    scan(REGION)
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps([[["DE", 8], ["FR", 1]]]))
    call_command("xdbrel_repair", REGION.handle, policy="repoint", mapping=str(path))
    assert set(Trip.objects.values_list("country", "region_number")) == {("FR", 1), ("FR", 8)}
    with pytest.raises(BadMapping, match="is no list of 2 values"):
        repair(REGION, "repoint", mapping=[("FR", ["FR", 1])])


def test_repair_quarantine(orphans):
    scan(WEATHER)
    result = repair(WEATHER, "quarantine")
    assert (result.rows, Trip.objects.count()) == (4, 6)
    held = set(
        map(tuple, QuarantinedRow.objects.using("blog").values_list("target_key", flat=True))
    )
    assert held == {
        ("JFK", hour(7).isoformat()),
        ("LGA", hour(3).isoformat()),
        ("LGA", hour(4).isoformat()),
    }
    Weather.objects.bulk_create(
        [Weather(place="JFK", hour=hour(7)), *(Weather(place="LGA", hour=hour(n)) for n in (3, 4))]
    )
    assert restore(WEATHER).rows == 4
    assert Trip.objects.count() == 10
    assert scan(WEATHER).orphans == 0


def test_repair_set_default(orphans):
    scan(WEATHER)
    with pytest.raises(CannotRepair, match="the field has no default"):
        repair(WEATHER, "set_default")


def test_repair_what_has_healed(orphans):
    """A target that came back in between keeps its sources."""
    scan(WEATHER)
    Weather.objects.create(place="LGA", hour=hour(3))
    result = repair(WEATHER, "delete")
    assert (result.rows, result.keys) == (2, 2)
    assert Trip.objects.filter(place="LGA").count() == 2


def test_commands(orphans, capsys):
    """Keys are lists where commands show them."""
    call_command("xdbrel_scan", WEATHER.handle, format="json")
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["relation"], told["orphans"], told["distinct_keys"]) == (WEATHER.handle, 4, 3)
    with pytest.raises(SystemExit):
        call_command("xdbrel_status", WEATHER.handle)
    assert "climate.Trip.weather" in capsys.readouterr().out


def test_unique_set_of_its_own(region):
    Region.objects.filter(country="FR").update(number=F("number") + 1)
    Trip.objects.bulk_create(
        Trip(country=country, region_number=number)
        for country, number in [("FR", 1), ("FR", 2), ("DE", 7), ("DE", None)]
    )
    assert findings(scan(REGION, strategy="merge")) == {("FR", 1): 1}
