"""Reading and assigning along a relation over several columns, both ways, at once and batched."""

import copy
import pickle

import pytest
from django.core.exceptions import ValidationError
from django.db.models import Prefetch

from tests.apps.climate.models import Fare, Guide, Outing, Region, Trip, TripProxy, Weather
from tests.integration.composite.conftest import hour, trip
from xdbrel import prefetch_cross_db
from xdbrel.compat import HAS_FETCH_MODES
from xdbrel.conf import settings as xdbrel_settings
from xdbrel.testing import count_queries

pytestmark = pytest.mark.django_db(databases="__all__")


def test_forward(trips, queries):
    found = Trip.objects.get(hour=hour(2))
    with queries(1, "default"), queries(0, "blog"):
        assert found.weather.celsius == 2
        assert found.weather._state.db == "default"


def test_key(trips):
    """The key is a tuple, and to give the tuple is to give its parts."""
    found = Trip.objects.get(hour=hour(2))
    assert found.weather_key == ("JFK", hour(2))
    found.weather_key = ("JFK", hour(3))
    assert (found.hour, found.weather.celsius) == (hour(3), 3)


@pytest.mark.parametrize("batched", [False, True])
def test_dangling(trips, batched):
    """A key that no target has is said, with the relation and the database, on every path."""
    found = Trip.objects.filter(hour=hour(7))
    (one,) = found.prefetch_related("weather") if batched else found
    with pytest.raises(Weather.DoesNotExist) as caught:
        _ = one.weather
    assert str(caught.value) == (
        f"climate.Trip.weather: key ('JFK', {hour(7)!r}) has no climate.Weather in database "
        "'default'. The target was deleted or never existed; \"manage.py xdbrel_scan "
        'climate.Trip.weather" lists such keys.'
    )


@pytest.mark.parametrize("batched", [False, True])
def test_dangling_none(region, batched):
    Trip.objects.create(country="DE", region_number=8)
    (one,) = Trip.objects.prefetch_related("region") if batched else Trip.objects.all()
    assert one.region is None


def test_null_in_any_column_relates_to_nothing(trips, queries):
    """SQL's MATCH SIMPLE: of half a key no target is looked for."""
    found = Trip.objects.get(hour=None)
    with queries(0, "default"):
        assert found.weather is None


def test_assign(weather):
    found = trip(None)
    found.weather = weather[3]
    assert (found.place, found.hour) == ("JFK", hour(3))
    found.save()
    assert Trip.objects.get().weather == weather[3]


def test_assign_nothing_clears_what_may_be_null(trips):
    """The other columns may belong to another relation as well."""
    found = Trip.objects.get(hour=hour(2))
    found.weather = None
    assert found.weather_key == ("JFK", None)
    assert found.weather is None


def test_instance_of_another_model_is_refused(region):
    with pytest.raises(ValueError, match=r'"Trip\.weather" must be a "Weather" instance'):
        Trip().weather = region


def test_another_column_another_target(trips, queries):
    """What was fetched before a column changed belongs to the key of before."""
    found = Trip.objects.get(hour=hour(2))
    assert found.weather.celsius == 2
    found.hour = hour(4)
    assert found.weather.celsius == 4


def test_init(weather):
    assert Trip(weather=weather[1]).weather_key == ("JFK", hour(1))
    assert Trip(weather_key=("JFK", hour(1))).hour == hour(1)


def test_reverse(trips, weather, queries):
    with queries(1, "blog"), queries(0, "default"):
        (found,) = weather[2].trips.all()
    assert found.hour == hour(2)
    with queries(0, "default"):
        assert found.weather == weather[2]


def test_reverse_add_remove_set_clear(trips, weather):
    first, second = weather[0].trips, weather[1].trips
    first.add(second.get())
    assert (first.count(), second.count()) == (2, 0)
    first.remove(first.first())
    assert first.count() == 1
    assert Trip.objects.filter(place="JFK", hour=None).count() == 2
    second.set(Trip.objects.filter(hour=hour(0)))
    assert (first.count(), second.count()) == (0, 1)
    second.clear()
    assert second.count() == 0
    assert first.create(title="new").weather_key == ("JFK", hour(0))


def test_reverse_add_one_by_one(trips, weather):
    """``bulk=False`` saves what is not saved yet."""
    weather[0].trips.add(Trip(title="new"), bulk=False)
    assert {one.title for one in weather[0].trips.all()} == {"", "new"}
    weather[0].trips.clear(bulk=False)
    assert weather[0].trips.count() == 0


def test_reverse_add_of_what_is_not_saved(weather):
    with pytest.raises(ValueError, match="instance isn't saved"):
        weather[0].trips.add(Trip())
    with pytest.raises(TypeError, match="'Trip' instance expected"):
        weather[0].trips.add(weather[1])


def test_prefetch_forward(trips, queries):
    with queries(1, "default"), queries(1, "blog"):
        found = list(Trip.objects.filter(hour__lt=hour(5)).prefetch_related("weather"))
        assert [one.weather.celsius for one in found] == [one.hour.hour for one in found]


def test_prefetch_reverse(trips, queries):
    with queries(1, "default"), queries(1, "blog"):
        for one in Weather.objects.prefetch_related("trips"):
            assert [found.hour for found in one.trips.all()] == [one.hour]


def test_prefetch_some_of_each(trips, weather, queries):
    """A slice is one for each instance."""
    Trip.objects.bulk_create([trip(1, title="a"), trip(1, title="b")])
    some = Prefetch("trips", Trip.objects.order_by("-title")[:2], to_attr="some")
    with queries(1, "default"), queries(1, "blog"):
        found = Weather.objects.order_by("celsius").prefetch_related(some)
        assert [[one.title for one in each.some] for each in found] == [
            [""], ["b", "a"], [""], [""], [""],
        ]  # fmt: skip


def test_prefetch_cross_db(trips, weather, queries):
    with queries(1, "default"), queries(1, "blog"):
        found = prefetch_cross_db(Trip.objects.exclude(hour=hour(7)), "weather")
        assert sorted(one.weather.celsius for one in found if one.weather) == [0, 1, 2, 3, 4]
    with queries(0, "default"), queries(1, "blog"):
        found = prefetch_cross_db(weather, "trips")
        assert [len(one.trips.all()) for one in found] == [1] * 5


def test_prefetch_in_chunks(settings, trips, queries):
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 2}
    assert xdbrel_settings.CHUNK_SIZE == 2
    with queries(3, "default"):
        list(Trip.objects.filter(hour__lt=hour(5)).prefetch_related("weather"))


@pytest.mark.skipif(not HAS_FETCH_MODES, reason="fetch modes come with Django 6.1")
def test_fetch_peers(trips, queries):
    from django.db.models import FETCH_PEERS

    found = list(Trip.objects.filter(hour__lt=hour(5)).fetch_mode(FETCH_PEERS))
    with queries(1, "default"):
        assert [one.weather.celsius for one in found] == [one.hour.hour for one in found]


def test_children_and_proxies(weather):
    """The columns of a multi-table child are its parent's, and a proxy has those of its model."""
    Outing.objects.create(place="JFK", hour=hour(1), guests=4)
    assert Outing.objects.get(weather_key=("JFK", hour(1))).weather == weather[1]
    assert Outing.objects.get(weather__celsius=1).guests == 4
    assert TripProxy.objects.get(weather_key=("JFK", hour(1))).weather == weather[1]
    (found,) = prefetch_cross_db(Outing.objects.all(), "weather")
    assert found.weather == weather[1]


def test_pickle_and_copy(trips):
    found = Trip.objects.get(hour=hour(2))
    assert found.weather.celsius == 2
    for again in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert again.weather == found.weather
        assert again.weather_key == found.weather_key


def test_full_clean(region):
    """Validation looks in the target's home."""
    good = Fare(country="DE", region_number=7)
    good.full_clean()
    Fare(country="DE", region_number=None).clean_fields(exclude=["region_number"])
    with pytest.raises(ValidationError) as caught:
        Fare(country="DE", region_number=8).full_clean()
    assert caught.value.message_dict == {
        "region": ["region instance with country, number ('DE', 8) is not a valid choice."]
    }


def test_many_keys(queries):
    """As many as one statement takes on any backend."""
    Weather.objects.bulk_create(
        Weather(place=f"P{number}", hour=hour(number), celsius=number) for number in range(1_200)
    )
    Trip.objects.bulk_create(trip(number, f"P{number}") for number in range(1_200))
    found = list(Trip.objects.prefetch_related("weather"))
    assert [one.weather.celsius for one in found] == [int(one.place[1:]) for one in found]


def test_unique_set_with_other_names(region):
    Trip.objects.create(country="DE", region_number=7)
    Trip.objects.create(country="FR", region_number=7)
    assert Trip.objects.get(country="DE").region == region
    assert [one.country for one in region.trips.all()] == ["DE"]
    assert Region.objects.get(trips__country="DE") == region


def by_django(queryset, name):
    return list(queryset.prefetch_related(name))


def by_xdbrel(queryset, name):
    return prefetch_cross_db(list(queryset), name)


@pytest.mark.parametrize("prefetch", [by_django, by_xdbrel])
def test_many_to_many_by_several_columns(guides, prefetch):
    """The model in between has a relation over several columns to each side."""
    sides = [
        (Guide.objects.order_by("tongue"), "regions", [["DE", "FR"], ["FR"]]),
        (Region.objects.order_by("country"), "guides", [["de"], ["de", "fr"]]),
    ]
    for queryset, name, expected in sides:
        attribute = "country" if name == "regions" else "tongue"

        def found(objects, name=name, attribute=attribute):
            return [
                sorted(getattr(one, attribute) for one in getattr(obj, name).all())
                for obj in objects
            ]

        assert found(queryset) == expected
        loaded = prefetch(queryset, name)
        with count_queries() as counted:
            assert found(loaded) == expected
        assert not any(counted.values())
