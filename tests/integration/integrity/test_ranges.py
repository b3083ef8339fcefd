"""Ranges: every key in one of them, by the data's density."""

import random
import uuid
from itertools import pairwise

import pytest

from tests.apps.archive.models import Entry, Shelf
from tests.apps.blog.models import Visit
from tests.apps.climate.models import Cell, Marker, Trip
from tests.integration.composite.conftest import hour, trip
from xdbrel import relations
from xdbrel.integrity.reading import ends, ranges
from xdbrel.integrity.reading.ranges import KeyRange, split
from xdbrel.integrity.scanning.strategies import STRATEGIES

pytestmark = pytest.mark.django_db(databases="__all__")

SHELF = "archive.Entry.shelf"
#: Most keys lie close together, some lie as far away as can be.
SKEWED = [*range(400), *range(10**6, 10**6 + 100, 2), *(2**40 + n * 10**9 for n in range(30))]


def parted(handle, parts, strategy):
    source, target = ends.of(relations.get(handle))
    found = split(source, target, parts, strategy=strategy)
    assert found[0].after is None
    assert found[-1].upto is None
    assert all(one.upto == following.after for one, following in pairwise(found))
    return source, target, found


def orphans(source, target, within, strategy):
    total = {}
    for batch in STRATEGIES[strategy](source, target, within):
        assert not total.keys() & batch.found.keys()
        total.update(batch.found)
    return total


@pytest.mark.parametrize("strategy", ["gaps", "bitmap", "merge", "push"])
def test_skewed_keys(strategy):
    """Ranges hold about as many rows each, and together what the whole holds."""
    Shelf.objects.bulk_create([Shelf(number=number) for number in SKEWED if number % 7])
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in SKEWED])
    source, target, found = parted(SHELF, 4, strategy)
    assert len(found) == 4
    walked = target if strategy == "gaps" else source
    rows = [walked.rows(walked.between(one.after, one.upto)).count() for one in found]
    assert sum(rows) == walked.rows().count()
    assert max(rows) <= 1.7 * sum(rows) / 4
    parts = [orphans(source, target, one, strategy) for one in found]
    together = {key: rows for part in parts for key, rows in part.items()}
    assert len(together) == sum(map(len, parts))
    assert together == {number: 1 for number in SKEWED if not number % 7}


def test_texts_and_uuids():
    """Keys of other types are parted in the order of the source's database."""
    chance = random.Random(5)
    codes = [f"{chance.choice('aAbBzZ')}{chance.choice('01234567')}" for _ in range(300)]
    devices = [uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(300)]
    Visit.objects.bulk_create(
        [
            Visit(country_id=code, device_id=device)
            for code, device in zip(codes, devices, strict=True)
        ]
    )
    for handle, held in (("blog.Visit.country", codes), ("blog.Visit.device", devices)):
        source, target, found = parted(handle, 3, "push")
        assert len(found) == 3
        parts = [orphans(source, target, one, "push") for one in found]
        assert all(parts)
        assert sum(map(len, parts)) == len(set(held))
        assert {key for part in parts for key in part} == set(held)


def test_keys_of_several_columns():
    """A range begins and ends at a tuple, also within what one value of the first column has."""
    places = "aBé"
    Trip.objects.bulk_create(
        Trip(place=places[n % 3 and n % 2 + 1], hour=hour(n // 3) if n % 10 else None)
        for n in range(900)
    )
    held = {key for key in Trip.objects.values_list("place", "hour") if key[1] is not None}
    source, target, found = parted("climate.Trip.weather", 6, "push")
    assert len(found) == 6
    assert len({one.upto[0] for one in found[:-1]}) < 5
    parts = [orphans(source, target, one, "push") for one in found]
    assert all(len(part) < 2 * len(held) / 6 for part in parts)
    assert sum(map(len, parts)) == len(held)
    assert {key for part in parts for key in part} == held
    # By their bytes texts stand in no index: each range would read the whole table.
    assert split(source, target, 6, strategy="merge") == [KeyRange()]


def test_numbers_of_several_columns():
    """Both strategies find in the ranges together what there is, and once."""
    Marker.objects.bulk_create(Marker(x=n % 7, y=n // 7 or None) for n in range(700))
    Cell.objects.bulk_create(Cell(x=x, y=y) for x in range(7) for y in range(1, 100, 3))
    expected = {(x, y): 1 for x in range(7) for y in range(1, 100) if y % 3 != 1}
    for strategy in ("merge", "push"):
        source, target, found = parted("climate.Marker.cell", 4, strategy)
        assert len(found) == 4
        parts = [orphans(source, target, one, strategy) for one in found]
        assert sum(map(len, parts)) == len(expected)
        assert {key: rows for part in parts for key, rows in part.items()} == expected


def test_several_columns_without_an_order(monkeypatch):
    """Where only a database knows how it sorts what follows, the first column parts alone."""
    monkeypatch.setattr(ranges, "sorts_as_python", lambda end: False)
    Trip.objects.bulk_create(trip(n // 4, "ABCD"[n % 4]) for n in range(200))
    source, target, found = parted("climate.Trip.weather", 3, "push")
    assert [one.upto and one.upto[0] for one in found] == ["B", "C", None]
    parts = [orphans(source, target, one, "push") for one in found]
    assert sum(map(len, parts)) == len({key for part in parts for key in part}) == 200


def test_one_heavy_key():
    """A key that most rows hold is not parted, and takes no other range's place twice."""
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in [5] * 300 + [6, 7, 8]])
    _, _, found = parted(SHELF, 4, "merge")
    assert found == [KeyRange(None, 5), KeyRange(5, None)]


@pytest.mark.parametrize("rows", range(540, 551))
def test_as_many_parts_as_asked_for(monkeypatch, rows):
    """Whichever number of rows is drawn: 3/6 of 544 is reached by a row, and by no fraction."""
    monkeypatch.setattr(ranges.draws, "draw", lambda *arguments: (range(rows), rows))
    Entry.objects.create(shelf_id=1)
    _, _, found = parted(SHELF, 6, "merge")
    shares = [one.upto - (-1 if one.after is None else one.after) for one in found[:-1]]
    assert len(found) == 6
    assert set(shares) <= {rows // 6, rows // 6 + 1}


def test_nothing_to_part(monkeypatch):
    """No rows, one part, no index: one range."""
    whole = [KeyRange()]
    source, target = ends.of(relations.get(SHELF))
    assert split(source, target, 4, strategy="gaps") == whole
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in range(50)])
    assert split(source, target, 1, strategy="merge") == whole

    def none(*arguments):
        raise ranges.CannotSample(SHELF, "archive.Entry", "blog")

    monkeypatch.setattr(ranges.draws, "draw", none)
    assert split(source, target, 4, strategy="merge") == whole
