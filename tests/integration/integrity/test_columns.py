"""Columns that are not what their fields say, or that no index leads to."""

import uuid

import pytest
from django.db import connections, models
from django.test.utils import isolate_apps

from tests.apps.archive.models import Leaf, Shelf, Topic
from tests.apps.people.models import Device
from xdbrel import keys
from xdbrel.fields import CrossDBForeignKey
from xdbrel.integrity.reading import columns, ends, sources
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning import planner
from xdbrel.integrity.scanning.strategies import STRATEGIES
from xdbrel.relations import Relation

pytestmark = pytest.mark.django_db(databases="__all__")


def declared(column, target):
    """Return the ends of a relation that an unmanaged model declares over a leaf's column."""

    class Notice(models.Model):
        key = CrossDBForeignKey(
            target, models.DO_NOTHING, null=True, db_column=column, related_name="+"
        )

        class Meta:
            app_label = "blog"
            managed = False
            db_table = Leaf._meta.db_table

    return ends.of(Relation(Notice._meta.get_field("key")))


def another(model, field):
    """Return an unmanaged model over the table of ``model`` with another kind of key."""

    class Another(models.Model):
        key = field

        class Meta:
            app_label = "archive"
            managed = False
            db_table = model._meta.db_table

    return Another


def leaves(**held):
    ((name, values),) = held.items()
    Leaf.objects.bulk_create([Leaf(**{name: value}) for value in values])


def found(source, target, after=None):
    choice = planner.choose(source, target)
    assert choice.strategy == "push"
    total = {}
    for batch in STRATEGIES["push"](source, target, KeyRange(after)):
        total.update(batch.found)
    return total


def looked_at_again(source, target, wanted):
    """Return what is counted of findings that were written down and read back."""
    recorded = keys.decode(keys.encode(wanted, target.field), target.field)
    return sorted(sources.count(source, recorded).values())


@isolate_apps("tests.apps.archive", "tests.apps.blog")
def test_texts_for_integers():
    """A text is the number that Django would look up; one that is none is an orphan."""
    source, target = declared("text", Shelf)
    Shelf.objects.bulk_create([Shelf(number=number) for number in (1, 5, -7)])
    leaves(text=["1", "05", " -7", "2", "2", "abc", "", "9" * 30, "1.5", None])
    orphans = found(source, target)
    assert orphans == {"2": 2, "abc": 1, "": 1, "9" * 30: 1, "1.5": 1}
    assert looked_at_again(source, target, orphans) == [1, 1, 1, 1, 2]


@isolate_apps("tests.apps.archive", "tests.apps.blog")
def test_texts_for_integers_are_gone_on_with(monkeypatch):
    """A position in such a column is a text too."""
    monkeypatch.setattr(sources, "PAGE", 2)
    source, target = declared("text", Shelf)
    leaves(text=["1", "10", "2", "abc", "x"])
    batches = list(STRATEGIES["push"](source, target, KeyRange()))
    first = next(batch for batch in batches if batch.upto is not None)
    (after,) = keys.decode(keys.encode([first.upto], source.field), source.field)
    rest = found(source, target, after)
    assert {**first.found, **rest} == dict.fromkeys(["1", "10", "2", "abc", "x"], 1)
    assert not first.found.keys() & rest.keys()


@isolate_apps("tests.apps.archive", "tests.apps.blog")
def test_integers_for_texts():
    """A number is looked up as Django writes it."""
    source, target = declared("number", Topic)
    Topic.objects.bulk_create([Topic(slug=slug) for slug in ("1", "02", "-3")])
    leaves(number=[1, 2, 2, -3, 2**60])
    orphans = found(source, target)
    assert orphans == {2: 2, 2**60: 1}
    assert looked_at_again(source, target, orphans) == [1, 2]


@isolate_apps("tests.apps.archive", "tests.apps.blog")
def test_targets_of_another_type():
    """Texts that a field calls integers are found by what is written there."""
    source, target = declared(
        "number", another(Topic, models.BigIntegerField(primary_key=True, db_column="slug"))
    )
    Topic.objects.bulk_create([Topic(slug=slug) for slug in ("1", "x", "03")])
    leaves(number=[1, 3, 4, 4])
    assert found(source, target) == {3: 1, 4: 2}


@isolate_apps("tests.apps.archive", "tests.apps.blog")
@pytest.mark.parametrize(("column", "written"), [("text", str), ("hexadecimal", lambda k: k.hex)])
def test_texts_for_uuids(column, written):
    """UUIDs in 36 characters or in 32 are UUIDs, whatever this database has for them."""
    source, target = declared(column, Device)
    there, gone = uuid.UUID(int=5 << 96), uuid.UUID(int=6 << 96)
    Device.objects.create(id=there)
    leaves(**{column: [written(there), written(gone), written(gone)]})
    wanted = [there, gone]
    orphans = {}
    for batch in STRATEGIES[planner.choose(source, target).strategy](source, target, KeyRange()):
        orphans.update(batch.found)
    assert {uuid.UUID(str(key)): rows for key, rows in orphans.items()} == {gone: 2}
    assert looked_at_again(source, target, orphans) == [2]
    assert sum(sources.count(source, wanted).values()) == 3


@isolate_apps("tests.apps.archive", "tests.apps.blog")
@pytest.mark.parametrize(
    ("column", "target", "made"),
    [
        ("bare", Shelf, int),
        ("word", Topic, "k{:03}".format),
    ],
)
def test_without_an_index(monkeypatch, django_assert_num_queries, column, target, made):
    """Keys are paged and counted at once: one statement for many keys, and none for orphans."""
    monkeypatch.setattr(sources, "PAGE", 10)
    monkeypatch.setattr(sources, "PAGE_WITHOUT_INDEX", 30)
    source, target = declared(column, target)
    held = [made(number) for number in range(50)]
    leaves(**{column: [*held, *held[::2]]})
    assert not source.column.indexed
    strategy = STRATEGIES["push"]
    with django_assert_num_queries(2, connection=connections["blog"]):
        batches = list(strategy(source, target, KeyRange()))
    assert [batch.seen for batch in batches] == [10] * 5
    orphans = {key: rows for batch in batches for key, rows in batch.found.items()}
    assert orphans == {key: 2 - number % 2 for number, key in enumerate(held)}
    position = batches[2].upto
    rest = [key for batch in strategy(source, target, KeyRange(position)) for key in batch.found]
    assert rest == held[30:]


def test_kinds_of_columns():
    """The catalogs tell what is there."""

    def kind(name):
        column = columns.look_up("blog", Leaf._meta.db_table, name)
        return column.kind, column.indexed

    assert kind("id") == (columns.INTEGER, True)
    assert kind("text") == (columns.TEXT, True)
    assert kind("bare") == (columns.INTEGER, False)
    assert columns.look_up("blog", Leaf._meta.db_table, "hexadecimal").length == 32
