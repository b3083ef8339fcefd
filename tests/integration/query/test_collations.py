"""Text keeps the order of the column that it comes from, and what is equal there."""

import pytest
from django.db import connections, transaction
from django.db.models import Count, F
from django.db.models.sql.datastructures import BaseTable

from tests.apps.freight.models import Poster, Sign
from xdbrel.query import collations, shipment
from xdbrel.query.blocks import Block

pytestmark = [
    pytest.mark.django_db(databases=["default", "blog"]),
    pytest.mark.parametrize("column", ["name", "plain"]),
    pytest.mark.parametrize("home", ["default", "blog"]),
]

WORDS = [
    "b",
    "B",
    "a",
    "A",
    "aa",
    "Z",
    "z",
    "é",
    "e",
    "f",
    "a b",
    "a-b",
    "a_b",
    "_",
    "",
    "ß",
    "ss",
]
MODELS = {"default": Poster, "blog": Sign}
OTHER = {"default": "blog", "blog": "default"}


@pytest.fixture(autouse=True)
def words(home, column, monkeypatch):
    monkeypatch.setattr(shipment, "ARRAY_ROWS", 0)
    for word in [*WORDS, None]:
        sign = Sign.objects.create(name=word, plain=word)
        Poster.objects.create(sign=sign, name=word, plain=word)


@pytest.fixture
def brought(home):
    table = MODELS[home]._meta.db_table
    entry = BaseTable(table, table)
    block = Block(home=home, model=MODELS[home], entry=entry)
    block.entries.append(entry)
    return shipment.BlockShipment(home, MODELS[home]._meta.label, block)


def select(brought, using, what, rest=""):
    """Return the rows of a SELECT from the table that was brought."""
    qn = connections[using].ops.quote_name
    with transaction.atomic(using=using):
        brought.load(using, 1_000)
        try:
            with connections[using].cursor() as cursor:
                cursor.execute(f"SELECT {what} FROM {qn(brought.table)} {rest}")
                return list(cursor.fetchall())
        finally:
            brought.drop(using)


def groups(rows, of):
    """Return the words, None left out, in lists of those for which ``of`` is the same."""
    found = []
    for word, value in rows:
        if word is None:
            continue
        if found and found[-1][0] == of(word, value):
            found[-1][1].append(word)
        else:
            found.append((of(word, value), [word]))
    return [sorted(its) for _, its in found]


def at_home(home, column):
    """Return the words in the order of their home, in lists of those that are equal there."""
    table = MODELS[home]._meta.db_table
    qn = connections[home].ops.quote_name
    with connections[home].cursor() as cursor:
        cursor.execute(
            f"SELECT {qn(column)}, DENSE_RANK() OVER (ORDER BY {qn(column)})"
            f" FROM {table} WHERE {qn(column)} IS NOT NULL ORDER BY {qn(column)}"
        )
        return groups(cursor.fetchall(), lambda word, rank: rank)


def test_order_is_that_of_the_home(home, column, brought):
    using = OTHER[home]
    field = MODELS[home]._meta.get_field(column)
    root = brought.block.root
    qn = connections[using].ops.quote_name
    name = brought.column(root, field)
    by, suffix = brought.ordering(root, field, using)
    rows = select(
        brought, using, f"{qn(name)}, {qn(by)}", f"ORDER BY {qn(by)}{suffix}, {qn(name)}"
    )

    expected = at_home(home, column)
    found = [word for word, _ in rows if word is not None]
    # Equal words have no order.
    assert [len(its) for its in expected] == [len(its) for its in regroup(found, expected)]
    assert [sorted(its) for its in regroup(found, expected)] == expected
    assert [value for word, value in rows if word is None] == [None]


def regroup(words, like):
    words = list(words)
    return [[words.pop(0) for _ in its] for its in like]


def test_ranks_are_those_of_the_home(home, column, brought):
    using = OTHER[home]
    field = MODELS[home]._meta.get_field(column)
    qn = connections[using].ops.quote_name
    rank = brought.rank_of(brought.block.root, field)
    rows = select(brought, using, f"{qn(column)}, {qn(rank)}", f"ORDER BY {qn(rank)}")

    assert groups(rows, lambda word, value: value) == at_home(home, column)
    assert (None, None) in rows


def test_what_is_equal_at_home_has_one_value(home, column, brought):
    using = OTHER[home]
    field = MODELS[home]._meta.get_field(column)
    qn = connections[using].ops.quote_name
    first = brought.first_of(brought.block.root, field)
    rows = select(brought, using, f"{qn(column)}, {qn(first)}")

    found = {}
    for word, value in rows:
        if word is not None:
            found.setdefault(value, []).append(word)
    assert sorted(map(sorted, found.values())) == sorted(at_home(home, column))


def test_whether_equality_is_the_same_is_seen(home, column):
    field = MODELS[home]._meta.get_field(column)
    there, here = connections[home], connections[OTHER[home]]
    same = collations.same_equality(field, there, here)
    # The servers at which this runs compare code points unless told otherwise, and PostgreSQL's
    # collations tell those apart as well. MariaDB does as its columns are told.
    tells_apart = column == "plain" if there.vendor == "sqlite" else there.vendor == "postgresql"
    assert same == (tells_apart or here.vendor in ("mysql", there.vendor))


def test_the_servers_are_asked_once(home, column, django_assert_num_queries):
    field = MODELS[home]._meta.get_field(column)
    there, here = connections[home], connections[OTHER[home]]
    collations.same_equality(field, there, here)
    with (
        django_assert_num_queries(0, connection=there),
        django_assert_num_queries(0, connection=here),
    ):
        collations.same_equality(field, there, here)


@pytest.fixture
def across(home, column):
    """The rows of the other model, by a lookup that leads to the words."""
    lookup = {"default": f"posters__{column}", "blog": f"sign__{column}"}[home]
    return MODELS[OTHER[home]].objects.order_by(), lookup


def test_rows_are_grouped_as_at_home(home, column, across):
    rows, lookup = across
    found = {
        one[lookup]: one["number"] for one in rows.values(lookup).annotate(number=Count("pk"))
    }
    assert found.pop(None) == 1
    expected = at_home(home, column)
    assert sorted(found.values()) == sorted(map(len, expected))
    for word, number in found.items():
        (its,) = [its for its in expected if word in its]
        assert len(its) == number


def test_rows_are_distinct_as_at_home(home, column, across):
    rows, lookup = across
    words = list(rows.values_list(lookup, flat=True).distinct())
    expected = at_home(home, column)
    assert len(words) == len(expected) + 1
    assert all(sum(word in its for word in words) == 1 for its in expected)
    assert rows.values(lookup).distinct().count() == len(words)
    counted = rows.aggregate(number=Count(lookup, distinct=True))
    assert counted == {"number": len(expected)}


def test_rows_that_differ_otherwise_keep_their_words(home, column, across):
    rows, lookup = across
    for found in (
        rows.values_list("pk", lookup).distinct(),
        rows.values_list("pk", lookup).annotate(number=Count("pk")).values_list("pk", lookup),
    ):
        assert {word for _, word in found} == {*WORDS, None}


def test_columns_with_collations_are_compared_across(home, column):
    key = {"default": f"sign__{column}", "blog": f"posters__{column}"}[home]
    assert MODELS[home].objects.filter(**{key: F(column)}).count() == len(WORDS)
