"""Queries that span databases along a relation over several columns: as one database answers."""

import pytest
from django.db.models import Count, Exists, F, FilteredRelation, Max, OuterRef, Q, Subquery

from tests.apps.climate.models import Fare, Region, Stop, Trip, Weather
from tests.integration.composite.conftest import hour, trip

pytestmark = pytest.mark.django_db(databases="__all__")


def hours(queryset):
    """The hours of trips, None for none, in the order in which they come."""
    return [found and found.hour for found in queryset.values_list("hour", flat=True)]


def test_filter(trips):
    assert hours(Trip.objects.filter(weather__celsius__lt=2).order_by("hour")) == [0, 1]
    assert Trip.objects.filter(weather__celsius__lt=2).count() == 2
    assert hours(Trip.objects.filter(weather__celsius=3, weather__place="JFK")) == [3]
    assert not Trip.objects.filter(weather__celsius=99).exists()


def test_exclude(trips):
    """Rows without weather are not excluded by what weather is."""
    found = Trip.objects.exclude(weather__celsius__lt=3).order_by("id")
    assert hours(found) == [3, 4, 7, None]
    assert hours(Trip.objects.exclude(weather__celsius__gte=3).order_by("id")) == [
        0, 1, 2, 7, None,
    ]  # fmt: skip


def test_or_and_not(trips):
    found = Trip.objects.filter(Q(weather__celsius=1) | Q(hour=hour(7))).order_by("hour")
    assert hours(found) == [1, 7]
    found = Trip.objects.filter(~Q(weather__celsius=1), hour__lt=hour(3)).order_by("hour")
    assert hours(found) == [0, 2]


def test_isnull(trips):
    assert hours(Trip.objects.filter(weather__isnull=True)) == [None]
    assert Trip.objects.filter(weather__isnull=False).count() == 6
    assert hours(Trip.objects.filter(weather__celsius__isnull=True).order_by("id")) == [7, None]


def test_what_is_partly_null_has_no_place(trips):
    """The place stands in the trip's own column as well, but the trip is related to nothing."""
    assert hours(Trip.objects.filter(weather__place="JFK").order_by("hour")) == [0, 1, 2, 3, 4]
    assert hours(Trip.objects.filter(weather__place=None).order_by("id")) == [7, None]
    found = Trip.objects.order_by("id").values_list("weather__place", "place")
    assert list(found)[-1] == (None, "JFK")


def test_a_column_beside_one_that_is_never_null(trips, queries):
    """It is the trip's own, whether or not there is such weather."""
    with queries(0, "default"):
        assert hours(Trip.objects.filter(weather__hour=hour(7))) == [7]


def test_order_and_values(trips):
    found = Trip.objects.filter(weather__celsius__gt=1).order_by("-weather__celsius")
    assert list(found.values_list("weather__celsius", flat=True)) == [4, 3, 2]
    assert list(found.values_list("weather__celsius", "weather_key")[:1]) == [
        (4, ("JFK", hour(4)))
    ]
    assert hours(found[1:3]) == [3, 2]


def test_by_instance_and_key(trips, weather):
    """Nothing of the weather is asked for that is not in the trip's own columns."""
    assert hours(Trip.objects.filter(weather=weather[2])) == [2]
    assert hours(Trip.objects.filter(weather__in=weather[:2]).order_by("hour")) == [0, 1]
    assert hours(Trip.objects.filter(weather_key=("JFK", hour(2)))) == [2]
    keys = [("JFK", hour(2)), ("LGA", hour(1))]
    assert hours(Trip.objects.filter(weather_key__in=keys)) == [2]


def test_among_a_queryset(trips):
    """A subquery's tuples are brought column by column."""
    cold = Weather.objects.filter(celsius__lt=2)
    assert hours(Trip.objects.filter(weather__in=cold).order_by("hour")) == [0, 1]
    among = cold.values("place", "hour")
    assert hours(Trip.objects.filter(weather_key__in=among).order_by("hour")) == [0, 1]
    late = Trip.objects.filter(hour__gt=hour(2))
    found = Weather.objects.filter(pk__in=late.values("place", "hour")).order_by("celsius")
    assert [one.celsius for one in found] == [3, 4]


def test_filtered_relation(trips):
    warm = FilteredRelation("weather", condition=Q(weather__celsius__gt=2))
    found = Trip.objects.annotate(warm=warm).filter(warm__celsius__isnull=False)
    assert hours(found.order_by("hour")) == [3, 4]


def test_select_related(trips, queries):
    found = list(Trip.objects.filter(weather__celsius__lt=3).select_related("weather"))
    with queries(0, "default"):
        assert sorted(one.weather.celsius for one in found) == [0, 1, 2]
    (lacking,) = Trip.objects.filter(hour=None).select_related("weather")
    assert lacking.weather is None


def test_exclude_against_its_direction(trips, weather):
    """Every column counts: Django's own subquery would compare the first alone."""
    Trip.objects.filter(hour=hour(1)).update(title="long")
    found = Weather.objects.exclude(trips__title="long").order_by("celsius")
    assert [one.celsius for one in found] == [0, 2, 3, 4]
    stop = Stop.objects.create(trip=Trip.objects.get(hour=hour(3)))
    assert Weather.objects.exclude(trips__stops=stop).count() == 4
    again = Trip.objects.filter(weather__isnull=False).exclude(weather__trips__title="long")
    assert hours(again.order_by("hour")) == [0, 2, 3, 4, 7]


def test_reverse(trips, weather):
    Trip.objects.bulk_create([trip(1, title="long"), trip(3, title="long")])
    found = Weather.objects.filter(trips__title="long").order_by("-celsius")
    assert [one.celsius for one in found] == [3, 1]
    assert Weather.objects.exclude(trips__title="long").count() == 3
    assert Weather.objects.filter(trips=None).count() == 0
    counted = Weather.objects.annotate(number=Count("trips")).order_by("celsius")
    assert [one.number for one in counted] == [1, 2, 1, 2, 1]
    found = Weather.objects.filter(trips__title="long").values_list("celsius", "trips__title")
    assert sorted(found) == [(1, "long"), (3, "long")]


def test_aggregates(trips):
    assert Trip.objects.aggregate(most=Max("weather__celsius")) == {"most": 4}
    Weather.objects.update(celsius=F("celsius") % 2)
    grouped = Trip.objects.values("weather__celsius").annotate(number=Count("id"))
    assert {one["weather__celsius"]: one["number"] for one in grouped} == {0: 3, 1: 2, None: 2}


def test_subqueries(trips):
    there = Weather.objects.filter(place=OuterRef("place"), hour=OuterRef("hour"), celsius__gt=2)
    assert hours(Trip.objects.filter(Exists(there)).order_by("hour")) == [3, 4]
    by_key = Weather.objects.filter(pk=OuterRef("weather_key"))
    annotated = Trip.objects.annotate(celsius=Subquery(by_key.values("celsius")))
    assert hours(annotated.filter(celsius=4)) == [4]


def test_f(trips):
    Trip.objects.filter(hour__gt=hour(2)).update(region_number=3)
    assert hours(Trip.objects.filter(weather__celsius=F("region_number"))) == [3]


def test_update_and_delete(trips):
    assert Trip.objects.filter(weather__celsius__lt=2).update(title="cold") == 2
    deleted, _ = Trip.objects.filter(weather__celsius__gte=2).delete()
    assert deleted == 3
    assert Trip.objects.filter(title="cold").count() == 2


def test_through_another_relation(trips):
    """A condition goes on from a row's own relation to what that hangs on."""
    Stop.objects.create(trip=Trip.objects.get(hour=hour(3)))
    Stop.objects.create(trip=Trip.objects.get(hour=hour(1)))
    found = Stop.objects.filter(trip__weather__celsius__gt=2)
    assert found.get().trip.hour == hour(3)


def test_three_databases(region):
    """Trips and fares are in two databases, and their region in a third."""
    Trip.objects.create(country="DE", region_number=7, title="home")
    Fare.objects.create(country="DE", region_number=7)
    Fare.objects.create(country="FR", region_number=1)
    assert Fare.objects.get(region__trips__title="home").country == "DE"
    assert Region.objects.filter(fares__isnull=False, trips__isnull=False).get() == region


def test_many_rows(queries):
    """Where few rows are asked for, few come."""
    Weather.objects.bulk_create(
        Weather(place=f"P{number}", hour=hour(0), celsius=number % 50) for number in range(1_500)
    )
    Trip.objects.bulk_create(trip(0, f"P{number}") for number in range(0, 1_500, 3))
    Trip.objects.bulk_create(trip(1, f"P{number}") for number in range(0, 1_500, 3))
    assert Trip.objects.filter(weather__celsius=7).count() == 10
    found = Trip.objects.filter(weather__celsius=7).order_by("-weather__place")[:2]
    assert [one.weather.celsius for one in found] == [7, 7]
    plan = Trip.objects.filter(weather__celsius=7).explain_cross_db()
    assert (
        "climate.Weather along climate.Trip.weather: rows that fulfil the conditions (30 rows)"
    ) in str(plan)
    # None of the others are asked for, which differ from these in one column alone.
    assert Trip.objects.exclude(weather__celsius=7).count() == 990
