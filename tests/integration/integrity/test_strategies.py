"""Every strategy finds what a plain difference of sets finds, whatever the keys."""

import datetime
import decimal
import uuid

import pytest
from django.db import connections
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.apps.archive.models import CASELESS, Box, Day, Entry, Rate, Shelf, Topic
from tests.apps.blog.models import Visit
from tests.apps.people.models import Badge, Country, Device, Member, Person
from xdbrel import relations
from xdbrel.integrity.reading import ends, sources, targets
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning import planner
from xdbrel.integrity.scanning.strategies import STRATEGIES, merge, windows

pytestmark = pytest.mark.django_db(databases="__all__")

WHOLE = KeyRange()
INTEGER_STRATEGIES = ["gaps", "bitmap", "merge", "push"]


def found(handle, strategy, within=WHOLE):
    """Return what the strategy yields in all, with the number of sources of each key."""
    source, target = ends.of(relations.get(handle))
    total = {}
    for batch in STRATEGIES[strategy](source, target, within):
        assert not total.keys() & batch.found.keys(), "a key is reported once"
        assert not batch.found or batch.upto is not None, "from any finding on, it can be resumed"
        total.update(batch.found)
    return total


def orderly(handle):
    """Return the strategies that do not mind in which order the databases put keys."""
    source, target = ends.of(relations.get(handle))
    return ["merge", "push"] if ends.ordered_alike(source, target) else ["push"]


def expected(held, there):
    return {key: held.count(key) for key in set(held) - set(there)}


def entries(**columns):
    """Create one entry for each value of the one column."""
    ((attname, values),) = columns.items()
    Entry.objects.bulk_create([Entry(**{attname: value}) for value in values])


@pytest.fixture
def small(monkeypatch):
    """Every batch, page and window is small, so that little data crosses their bounds."""
    monkeypatch.setattr(targets, "SPAN", 16)
    monkeypatch.setattr(targets, "WINDOW", 8)
    monkeypatch.setattr(targets, "STRETCH", 2)
    monkeypatch.setattr(targets, "LOOKUPS", 3)
    monkeypatch.setattr(sources, "PAGE", 5)
    monkeypatch.setattr(sources, "RANGES", 2)
    monkeypatch.setattr(windows, "GATHERED", 2)
    monkeypatch.setattr(windows, "NARROW", 3)
    monkeypatch.setattr(windows, "WIDE_GAPS", 2)
    monkeypatch.setattr(merge, "SPARSE_PAGES", 2)


BIG = 2**63 - 1
INTEGER_CASES = {
    "nothing at all": ([], []),
    "no sources": ([], [1, 2, 3]),
    "no targets": ([1, 1, 2, -5, 0], []),
    "none": ([1, 2, 2], [1, 2, 3]),
    "all orphans": ([10, 11, 11], [1, 2, 3]),
    "negative and zero": ([-3, -2, -1, 0, 0, 1], [-3, -1, 1]),
    "zero is there": ([0, 1], [0]),
    "below, inside and above": ([1, 5, 9, 20], [4, 5, 8]),
    "the largest and the smallest": ([-BIG, BIG, 0, 7], [-BIG, BIG]),
    "beyond the largest target": ([BIG, -BIG], [0]),
    "nulls beside": ([None, None, 4], [1]),
    "one wide gap": ([50, 50, 99, 100], [1, 100]),
    "many wide gaps": (list(range(0, 400, 7)), list(range(0, 400, 10))),
    "dense gaps": (list(range(80)), list(range(0, 80, 2))),
    "dense gaps, then none": (list(range(120)), [*range(0, 60, 2), *range(60, 118)]),
    "many targets, few sources": ([5, 250, 1000], list(range(500))),
    "many orphans in one gap": (list(range(1, 60)) * 2, [0, 60]),
}


@pytest.mark.parametrize(("held", "there"), INTEGER_CASES.values(), ids=INTEGER_CASES)
def test_integers(small, settings, held, there):
    """Every strategy agrees with the difference of sets, across every bound."""
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 6}
    Shelf.objects.bulk_create([Shelf(number=number) for number in there])
    entries(shelf_id=held)
    held = [key for key in held if key is not None]
    for strategy in INTEGER_STRATEGIES:
        assert found("archive.Entry.shelf", strategy) == expected(held, there), strategy


@pytest.mark.parametrize("strategy", INTEGER_STRATEGIES)
def test_proxy(small, strategy):
    """A proxy's rows are those of its model."""
    held, there = INTEGER_CASES["negative and zero"]
    Shelf.objects.bulk_create([Shelf(number=number) for number in there])
    entries(proxied_id=held)
    assert found("archive.Entry.proxied", strategy) == expected(held, there)


def ascii_texts():
    """Texts that no collation takes for each other."""
    return st.text("abcdef0123456789", min_size=1, max_size=4)


#: A kind of keys: the relation, its target, the source's field, and what keys may be.
KINDS = {
    "dense integers": ("archive.Entry.shelf", st.integers(-40, 60)),
    "any integers": ("archive.Entry.shelf", st.integers(-(2**63) + 1, 2**63 - 1)),
    "clustered integers": (
        "archive.Entry.shelf",
        st.builds(lambda far, near: far * 10**6 + near, st.integers(-2, 2), st.integers(0, 20)),
    ),
    "UUIDs": ("blog.Visit.device", st.uuids(version=4)),
    "texts": ("archive.Entry.topic", ascii_texts()),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(data=st.data())
def test_any_keys(small, kind, data):
    """Every strategy that suits gives a plain difference of sets, in one go or in two.

    No arrangement of gaps, bounds and pages is missed or reported twice, and what is found
    up to a position together with what is found behind it is the whole.
    """
    handle, drawn = KINDS[kind]
    pool = data.draw(st.lists(drawn, min_size=1, max_size=60, unique=True))
    held = data.draw(st.lists(st.sampled_from(pool), max_size=60))
    there = data.draw(st.sets(st.sampled_from(pool)))
    relation = relations.get(handle)
    source, target = ends.of(relation)
    relation.source._base_manager.using(source.using).all()._raw_delete(source.using)
    relation.target._base_manager.using(target.using).all()._raw_delete(target.using)
    attname = relation.field.attname
    relation.target._base_manager.using(target.using).bulk_create(
        [relation.target(pk=key) for key in there]
    )
    relation.source._base_manager.using(source.using).bulk_create(
        [relation.source(**{attname: key}) for key in held]
    )
    suitable = [name for name in STRATEGIES if planner.suits(name, source, target)]
    assert "push" in suitable
    for strategy in suitable:
        batches = list(STRATEGIES[strategy](source, target, KeyRange()))
        total = {key: rows for batch in batches for key, rows in batch.found.items()}
        assert total == expected(held, there), strategy
        positions = [number for number, batch in enumerate(batches) if batch.upto is not None]
        if positions:
            cut = data.draw(st.sampled_from(positions), label=f"cut of {strategy}")
            gone = {key for batch in batches[: cut + 1] for key in batch.found}
            rest = found(handle, strategy, KeyRange(batches[cut].upto))
            assert not gone & rest.keys()
            assert gone | rest.keys() == total.keys(), strategy


@pytest.mark.parametrize("strategy", INTEGER_STRATEGIES)
def test_to_field_with_nulls(small, strategy):
    """A unique column that is null in places is scanned by the values that are there."""
    Shelf.objects.bulk_create(
        [Shelf(number=n, code=code) for n, code in enumerate([None, 3, None, 8, 4])]
    )
    entries(coded_id=[3, 4, 5, 5, 8, 9, None])
    assert found("archive.Entry.coded", strategy) == {5: 2, 9: 1}


@pytest.mark.parametrize("strategy", INTEGER_STRATEGIES)
def test_multi_table_target(small, strategy):
    """A key counts as there only where the child has a row, not only its parent."""
    Box.objects.create(number=1)
    Box.objects.create(number=5)
    Shelf.objects.create(number=3)
    entries(box_id=[1, 3, 3, 5, 6])
    assert found("archive.Entry.box", strategy) == {3: 2, 6: 1}


@pytest.mark.parametrize("strategy", INTEGER_STRATEGIES)
def test_automatic_keys(strategy):
    """Automatic keys, and those of a multi-table child, are integers like others."""
    members = [Member.objects.create(name="m") for _ in range(4)]
    person = Person.objects.create(name="p")
    Visit.objects.bulk_create(
        [Visit(member_id=pk) for pk in (members[0].pk, members[3].pk, person.pk)]
    )
    assert found("blog.Visit.member", strategy) == {person.pk: 1}
    Badge.objects.create(number=7)
    Visit.objects.bulk_create([Visit(badge_id=number) for number in (7, 8, 8)])
    assert found("blog.Visit.badge", strategy) == {8: 2}


@pytest.mark.parametrize("strategy", INTEGER_STRATEGIES)
def test_relation_that_does_not_cross(strategy):
    """A relation inside one database has no constraint either, and is scanned as well."""
    first = Entry.objects.create()
    Entry.objects.create(follows_id=first.pk)
    Entry.objects.create(follows_id=first.pk + 1000)
    assert found("archive.Entry.follows", strategy) == {first.pk + 1000: 1}


def test_uuid_versions(small):
    """Time-based UUIDs, which MariaDB sorts by their last bytes, are no exception."""
    made = [uuid.UUID(int=(n << 96) | (1 << 76) | (8 << 60) | (50 - n)) for n in range(50)]
    Device.objects.bulk_create([Device(id=key) for key in made[::2]])
    Visit.objects.bulk_create([Visit(device_id=key) for key in made])
    for strategy in orderly("blog.Visit.device"):
        assert found("blog.Visit.device", strategy) == expected(made, made[::2])


def test_countries(small):
    """Text keys, of a page's length and longer."""
    codes = [f"{a}{b}" for a in "ABCDE" for b in "ABCDE"]
    Country.objects.bulk_create([Country(code=code) for code in codes[::3]])
    Visit.objects.bulk_create([Visit(country_id=code) for code in codes * 2])
    assert found("blog.Visit.country", "push") == expected(codes * 2, codes[::3])


def equal_at_target(first, second):
    """Tell whether the target's database takes two texts for one."""
    with connections["default"].cursor() as cursor:
        Topic.objects.all()._raw_delete("default")
        Topic.objects.create(slug=first)
        table = connections["default"].ops.quote_name(Topic._meta.db_table)
        cursor.execute(f"SELECT COUNT(*) FROM {table} WHERE slug = %s", [second])
        (count,) = cursor.fetchone()
    Topic.objects.all()._raw_delete("default")
    return bool(count)


@pytest.mark.parametrize("other", ["ABC", "abc ", "äbc", "abd", "abc\u200b"])
def test_text_is_compared_as_the_target_does(small, other):
    """Case, accents and trailing spaces count where they count in the target's database."""
    equal = equal_at_target("abc", other)
    Topic.objects.create(slug="abc")
    entries(topic_id=["abc", other, other])
    assert found("archive.Entry.topic", "push") == ({} if equal else {other: 2})


def test_variants_of_a_text_are_kept_apart(small):
    """Keys that the source's collation takes for one are counted, and paged, one by one."""
    variants = ["abc", "ABC", "Abc", "aBc", "abC", "ABc", "AbC", "aBC"]
    entries(topic_id=[*variants, "abc", "zzz", "b", "c", "d", "e", "f"])
    counted = found("archive.Entry.topic", "push")
    assert counted == {
        **dict.fromkeys(variants, 1),
        "abc": 2,
        **dict.fromkeys(["zzz", "b", "c", "d", "e", "f"], 1),
    }


def test_caseless_collation_is_tested_where_there_is_one():
    """The layouts of one vendor other than PostgreSQL have a column that ignores case."""
    alike = connections["default"].vendor == connections["blog"].vendor
    assert (CASELESS is None) == (not alike or connections["default"].vendor == "postgresql")


def test_decimals_and_dates(small):
    """Keys that are neither integers, UUIDs nor texts are looked up at the target."""
    rates = [decimal.Decimal(n) / 4 for n in range(20)]
    Rate.objects.bulk_create([Rate(value=value) for value in rates[::2]])
    entries(rate_id=rates)
    assert found("archive.Entry.rate", "push") == expected(rates, rates[::2])
    days = [datetime.date(2024, 2, 20) + datetime.timedelta(n) for n in range(20)]
    Day.objects.bulk_create([Day(date=day) for day in days[::2]])
    entries(day_id=days)
    assert found("archive.Entry.day", "push") == expected(days, days[::2])
