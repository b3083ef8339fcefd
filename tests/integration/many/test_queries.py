"""Queries that span the relation, from both sides: the answers are those of one database."""

import pytest
from django.db.models import Count, Exists, F, OuterRef, Q

from tests.apps.clubs.models import Club, Membership, Reader

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(params=["readers", "patrons", "members"])
def name(request):
    """Rows in between beside the club, in a third database, and of a model of their own."""
    return request.param


@pytest.fixture
def back(name):
    return {"readers": "clubs", "patrons": "patron_of", "members": "member_of"}[name]


@pytest.fixture
def clubs(readers, name):
    ada, bob, cyd = readers
    clubs = {one: Club.objects.create(name=one) for one in ("bridge", "chess", "darts")}
    getattr(clubs["chess"], name).set([ada, bob])
    getattr(clubs["bridge"], name).set([bob, cyd])
    return clubs


def names(queryset):
    return [club.name for club in queryset]


def test_filter_and_exclude(clubs, name, back):
    assert names(Club.objects.filter(**{f"{name}__slug": "bob"})) == ["bridge", "chess"]
    assert names(Club.objects.exclude(**{f"{name}__slug": "ada"})) == ["bridge", "darts"]
    assert names(Club.objects.filter(**{f"{name}__isnull": True})) == ["darts"]
    assert names(Club.objects.filter(Q(name="darts") | Q(**{f"{name}__slug__in": ["cyd"]}))) == [
        "bridge",
        "darts",
    ]
    found = Reader.objects.filter(**{f"{back}__name": "chess"})
    assert [reader.slug for reader in found] == ["ada", "bob"]
    found = Reader.objects.exclude(**{f"{back}__name": "chess"})
    assert [reader.slug for reader in found] == ["cyd"]


def test_instances_and_querysets(clubs, readers, name):
    found = Club.objects.filter(**{name: readers[0]})
    assert names(found) == ["chess"]
    found = Club.objects.filter(**{f"{name}__in": Reader.objects.filter(slug="cyd")})
    assert names(found) == ["bridge"]


def test_two_conditions_are_of_one_row_or_of_two(clubs, name):
    one = Club.objects.filter(**{f"{name}__slug": "ada", f"{name}__age": 30})
    two = Club.objects.filter(**{f"{name}__slug": "ada"}).filter(**{f"{name}__slug": "bob"})
    assert names(one) == names(two) == ["chess"]
    assert names(Club.objects.filter(**{f"{name}__slug": "ada", f"{name}__age": 7})) == []


def test_count_group_and_distinct(clubs, name, back):
    counted = Club.objects.annotate(number=Count(name)).values_list("name", "number")
    assert list(counted.order_by("name")) == [("bridge", 2), ("chess", 2), ("darts", 0)]
    counted = Reader.objects.annotate(number=Count(back)).values_list("slug", "number")
    assert list(counted.order_by("slug")) == [("ada", 1), ("bob", 2), ("cyd", 1)]
    assert Club.objects.filter(**{f"{name}__age": 30}).count() == 4
    assert Club.objects.filter(**{f"{name}__age": 30}).distinct().count() == 2
    assert Club.objects.aggregate(n=Count(f"{name}__slug", distinct=True)) == {"n": 3}


def test_values_and_order(clubs, name, back):
    pairs = Club.objects.order_by(f"-{name}__slug", "name").values_list("name", f"{name}__slug")
    assert [pair for pair in pairs if pair[1]] == [
        ("bridge", "cyd"),
        ("bridge", "bob"),
        ("chess", "bob"),
        ("chess", "ada"),
    ]
    pairs = Reader.objects.order_by(f"{back}__name", "slug").values_list(f"{back}__name", "slug")
    assert list(pairs) == [
        ("bridge", "bob"),
        ("bridge", "cyd"),
        ("chess", "ada"),
        ("chess", "bob"),
    ]


def test_subqueries(clubs, name, back):
    young = Reader.objects.filter(**{back: OuterRef("pk"), "slug": "cyd"})
    assert names(Club.objects.filter(Exists(young))) == ["bridge"]
    assert names(Club.objects.filter(~Exists(young))) == ["chess", "darts"]


def test_update_and_delete(clubs, name, back):
    Reader.objects.filter(**{f"{back}__name": "chess"}).update(age=F("age") + 1)
    assert list(Reader.objects.values_list("age", flat=True)) == [31, 31, 30]
    Club.objects.filter(**{f"{name}__age": 30}).delete()
    assert names(Club.objects.all()) == ["chess", "darts"]


def test_through_the_manager(clubs, readers, name, back):
    chess = clubs["chess"]
    manager = getattr(chess, name)
    assert list(manager.filter(slug__gt="ada")) == [readers[1]]
    assert list(manager.filter(**{f"{back}__name": "bridge"})) == []
    assert list(manager.exclude(pk=readers[0].pk).values_list("slug", flat=True)) == ["bob"]
    assert manager.order_by("-slug").first() == readers[1]


def test_rows_in_between(clubs, readers):
    Membership.objects.create(club=clubs["darts"], reader=readers[0], role="chair")
    assert names(Club.objects.filter(membership__role="chair")) == ["darts"]
    found = Reader.objects.filter(membership__role="chair", membership__club__name="darts")
    assert list(found) == [readers[0]]
