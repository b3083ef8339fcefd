"""Prefetching over a many-to-many relation, by Django's way and by xdbrel's."""

import pytest
from django.db.models import Prefetch

from tests.apps.clubs.models import Club, Reader
from xdbrel import prefetch_cross_db
from xdbrel.testing import count_queries

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def clubs(readers):
    ada, bob, cyd = readers
    chess, bridge = Club.objects.create(name="chess"), Club.objects.create(name="bridge")
    for name in ("readers", "patrons"):
        getattr(chess, name).set([ada, bob])
        getattr(bridge, name).set([bob, cyd])
    return [bridge, chess]


def django_way(queryset, *lookups):
    return list(queryset.prefetch_related(*lookups))


def our_way(queryset, *lookups):
    return prefetch_cross_db(list(queryset), *lookups)


@pytest.fixture(params=[django_way, our_way])
def prefetch(request):
    return request.param


def found(objects, name, attribute):
    with count_queries() as counted:
        result = [[getattr(one, attribute) for one in getattr(obj, name).all()] for obj in objects]
    assert not any(counted.values())
    return result


@pytest.mark.parametrize("name", ["readers", "patrons"])
def test_both_directions(clubs, prefetch, name):
    back = {"readers": "clubs", "patrons": "patron_of"}[name]
    loaded = prefetch(Club.objects.all(), name)
    assert found(loaded, name, "slug") == [["bob", "cyd"], ["ada", "bob"]]
    loaded = prefetch(Reader.objects.all(), back)
    assert found(loaded, back, "name") == [["chess"], ["bridge", "chess"], ["bridge"]]


def test_further_steps(clubs, prefetch):
    loaded = prefetch(Club.objects.all(), "readers__clubs")
    readers = [reader for club in loaded for reader in club.readers.all()]
    assert found(readers, "clubs", "name") == [
        ["bridge", "chess"],
        ["bridge"],
        ["chess"],
        ["bridge", "chess"],
    ]


def test_a_queryset_a_slice_and_an_attribute(clubs, prefetch):
    chosen = Reader.objects.filter(slug__gt="ada").order_by("-slug")
    loaded = prefetch(Club.objects.all(), Prefetch("readers", queryset=chosen))
    assert found(loaded, "readers", "slug") == [["cyd", "bob"], ["bob"]]
    loaded = prefetch(
        Club.objects.all(), Prefetch("readers", queryset=Reader.objects.all()[:1], to_attr="first")
    )
    assert [[reader.slug for reader in club.first] for club in loaded] == [["bob"], ["ada"]]


def test_a_filter_on_the_relation_itself(clubs, prefetch):
    """As in one database: it is about the rows that are prefetched by."""
    chosen = Reader.objects.filter(clubs__name="chess")
    loaded = prefetch(Club.objects.all(), Prefetch("readers", queryset=chosen))
    assert found(loaded, "readers", "slug") == [[], ["ada", "bob"]]


def test_chunks(clubs, prefetch, settings):
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 1}
    loaded = prefetch(Club.objects.all(), "readers")
    assert found(loaded, "readers", "slug") == [["bob", "cyd"], ["ada", "bob"]]


def test_a_model_of_its_own_in_between(clubs, prefetch, readers):
    bridge, chess = clubs
    chess.members.set(readers)
    bridge.members.add(readers[0])
    loaded = prefetch(Club.objects.all(), "members")
    assert found(loaded, "members", "slug") == [["ada"], ["ada", "bob", "cyd"]]
    loaded = prefetch(Reader.objects.all(), "member_of")
    assert found(loaded, "member_of", "name") == [["bridge", "chess"], ["chess"], ["chess"]]


def test_writing_forgets_what_was_prefetched(clubs, readers):
    club = Club.objects.prefetch_related("readers").get(name="chess")
    club.readers.add(readers[2])
    assert club.readers.count() == 3
