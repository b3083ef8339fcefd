"""The planner: which strategy, why, and what speaks against one that is named."""

from dataclasses import replace

import pytest
from django.db import connections

from tests.apps.archive.models import Entry, Shelf
from tests.settings import LAYOUT
from xdbrel import relations
from xdbrel.integrity.exceptions import UnsuitableStrategy
from xdbrel.integrity.reading import columns, ends
from xdbrel.integrity.scanning import planner

pytestmark = pytest.mark.django_db(databases="__all__")

SHELF = "archive.Entry.shelf"


def planned(handle, *, source=None, target=None):
    """Return the choice for a relation whose columns are described otherwise than they are."""
    both = ends.of(relations.get(handle))
    for end, described in zip(both, (source or {}, target or {}), strict=True):
        end.__dict__["column"] = replace(end.column, **described)
    return planner.choose(*both)


def shelves(*numbers):
    Shelf.objects.bulk_create([Shelf(number=number) for number in numbers])


def test_what_is_known_of_a_column():
    """Type, index and sizes come from the catalogs, for either end."""
    source, target = ends.of(relations.get(SHELF))
    for end in (source, target):
        assert end.column.kind == columns.INTEGER
        assert end.column.indexed
        assert end.column.rows is None or end.column.rows >= 0
    kinds = {
        handle: tuple(end.column.kind for end in ends.of(relations.get(handle)))
        for handle in ("archive.Entry.topic", "archive.Entry.rate", "archive.Entry.coded")
    }
    assert kinds == {
        "archive.Entry.topic": (columns.TEXT, columns.TEXT),
        "archive.Entry.rate": (columns.OTHER, columns.OTHER),
        "archive.Entry.coded": (columns.INTEGER, columns.INTEGER),
    }
    assert columns.look_up("blog", "no such table", "x") == columns.Column()


def test_rows_as_statistics_have_them():
    """PostgreSQL analyzes inside of a transaction; SQLite knows its last row."""
    shelves(*range(200))
    Entry.objects.create(shelf_id=3)
    for end in ends.of(relations.get(SHELF)):
        connection = connections[end.using]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"ANALYZE {connection.ops.quote_name(end.model._meta.db_table)}")
        if connection.vendor != "mysql":
            assert (end.column.rows or 0) >= (200 if end.model is Shelf else 1)


@pytest.mark.parametrize(
    ("sources", "targets", "last", "strategy", "reason"),
    [
        (50, 40, 60, "gaps", "keys are integers, in small tables"),
        (None, 40, 60, "gaps", "keys are integers; the tables' sizes are not known"),
        (
            10_000_000,
            990_000,
            1_000_000,
            "gaps",
            "cheapest for about 10,000,000 sources with 990,000 different keys and 990,000 "
            "targets whose keys take 99% of their range",
        ),
        (
            10_000_000,
            500_000,
            1_000_000,
            "bitmap",
            "cheapest for about 10,000,000 sources with 500,000 different keys and 500,000 "
            "targets whose keys take 50% of their range",
        ),
        (
            3_000_000,
            1_000_000,
            2**62,
            # SQLite looks keys up as fast as others hand them out.
            "push" if LAYOUT == "sqlite" else "merge",
            "cheapest for about 3,000,000 sources with 1,000,000 different keys and 1,000,000 "
            "targets whose keys take less than 1% of their range",
        ),
        (
            1_000,
            50_000_000,
            50_000_000,
            "push",
            "cheapest for about 1,000 sources with 1,000 different keys and 50,000,000 targets "
            "whose keys take 100% of their range",
        ),
    ],
)
def test_choice(sources, targets, last, strategy, reason):
    """Sizes and the density of the target's keys decide, and the reason quotes them."""
    shelves(1, last)
    choice = planned(SHELF, source={"rows": sources, "distinct": None}, target={"rows": targets})
    assert choice == planner.Choice(strategy, reason)


def test_choice_for_other_keys():
    """Keys without an order that both databases share are looked up, batch by batch."""
    assert planned("archive.Entry.topic") == planner.Choice(
        "push", "the two databases do not put such keys in one order"
    )
    alike = ends.ordered_alike(*ends.of(relations.get("blog.Visit.device")))
    many = {"rows": 3_000_000, "distinct": 900_000}
    choice = planned("blog.Visit.device", source=many, target={"rows": 1_000_000})
    assert choice.strategy == ("merge" if alike else "push")
    few = {"rows": 1_000, "distinct": 900}
    choice = planned("blog.Visit.device", source=few, target={"rows": 1_000_000})
    assert choice.strategy == "push"


def test_choice_without_an_index():
    """Without an index on the key only push reads the table seldom."""
    assert planned(SHELF, source={"indexed": False}) == planner.Choice(
        "push", "no index leads to archive.Entry.shelf, so it is read in few pages"
    )


@pytest.mark.parametrize(
    ("handle", "name", "source", "message"),
    [
        (
            "archive.Entry.topic",
            "bitmap",
            {},
            "archive.Entry.topic: strategy 'bitmap' needs integer keys, and archive.Topic.slug "
            "is not one. Use 'push', or name none.",
        ),
        (
            "archive.Entry.topic",
            "merge",
            {},
            "archive.Entry.topic: strategy 'merge' needs keys that both databases put in one "
            "order, which those of archive.Entry.topic and archive.Topic.slug are not. Use "
            "'push', or name none.",
        ),
        (
            SHELF,
            "gaps",
            {"indexed": False},
            "archive.Entry.shelf: strategy 'gaps' needs an index on the key, and "
            "archive.Entry.shelf has none. Use 'push', or name none.",
        ),
        (
            SHELF,
            "gaps",
            {"kind": columns.TEXT, "type": "varchar"},
            "archive.Entry.shelf: strategy 'gaps' needs integer keys, and archive.Entry.shelf, "
            "a column of type varchar, is not one. Use 'push', or name none.",
        ),
    ],
)
def test_unsuitable(handle, name, source, message):
    """A strategy that is named says why it cannot be."""
    both = ends.of(relations.get(handle))
    both[0].__dict__["column"] = replace(both[0].column, **source)
    with pytest.raises(UnsuitableStrategy) as raised:
        planner.validate(name, *both)
    assert str(raised.value) == message
    assert planner.validate("push", *both) == "push"


def test_different_keys_where_no_statistics_are():
    """Some stretches of SQLite's index tell how many rows share a key; ``ANALYZE`` tells more."""
    source, _ = ends.of(relations.get(SHELF))
    if source.vendor != "sqlite":
        pytest.skip("the others keep statistics themselves")
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in range(1_000)] * 4)
    assert source.column.distinct is None
    assert planner._distinct(source, 4_000) == pytest.approx(1_000, rel=0.05)
    with connections[source.using].cursor() as cursor:
        cursor.execute("ANALYZE")
        try:
            assert ends.of(relations.get(SHELF))[0].column.distinct == 1_000
        finally:
            cursor.execute("DROP TABLE sqlite_stat1")


@pytest.mark.parametrize(
    ("vendors", "sources", "different", "targets", "last", "strategy"),
    [
        # Sizes as benchmarked, each beside what was fastest there.
        (("postgresql", "postgresql"), 10_000_000, 990_000, 990_000, 1_000_000, "gaps"),
        (("postgresql", "postgresql"), 10_000_000, 500_000, 500_000, 1_000_000, "bitmap"),
        (("mysql", "postgresql"), 10_000_000, 280_000, 990_000, 1_000_000, "gaps"),
        (("mysql", "mysql"), 10_000_000, 280_000, 990_000, 1_000_000, "gaps"),
        (("sqlite", "sqlite"), 3_000_000, 104_000, 990_000, 1_000_000, "push"),
        (("sqlite", "sqlite"), 3_000_000, 990_000, 990_000, 1_000_000, "gaps"),
        (("sqlite", "sqlite"), 3_000_000, 500_000, 500_000, 1_000_000, "bitmap"),
    ],
)
def test_costs_by_vendor(monkeypatch, vendors, sources, different, targets, last, strategy):
    """A look-up costs little where it has no way to go, a probe much where it meets a disk."""
    shelves(1, last)
    of = dict(zip(["blog", "default"], vendors, strict=True))
    monkeypatch.setattr(planner, "_costs", lambda end: planner.COSTS[of[end.using]])
    source = {"rows": sources, "distinct": different}
    assert planned(SHELF, source=source, target={"rows": targets}).strategy == strategy


def test_columns_are_looked_up_without_a_walk_through_the_server():
    """MariaDB reads the tables of a schema one by one, and of all schemas unless one is named."""
    of_mariadb = [
        end for end in ends.of(relations.get(SHELF)) if connections[end.using].vendor == "mysql"
    ]
    if not of_mariadb:
        pytest.skip("nothing here is in MariaDB")
    for end in of_mariadb:
        with connections[end.using].cursor() as cursor:
            cursor.execute(f"EXPLAIN {columns._MYSQL}", ["t", "t", "n", "t", "n"])
            names = [column[0] for column in cursor.description]
            extras = [dict(zip(names, row, strict=True))["Extra"] or "" for row in cursor]
        scanned = [extra for extra in extras if "Scanned" in extra]
        assert len(scanned) == 3
        assert all("Scanned 0 databases" in extra for extra in scanned), scanned
