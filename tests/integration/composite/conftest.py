"""Hours, rows and queries that the tests of relations over several columns share."""

import datetime

import pytest
from django.db import connections

from tests.apps.climate.models import Guide, Region, Tour, Trip, Weather


def hour(number):
    return datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=number)


def trip(number, place="JFK", **fields):
    return Trip(place=place, hour=None if number is None else hour(number), **fields)


@pytest.fixture
def weather():
    """Five hours of weather at one place, as warm as they are late."""
    return Weather.objects.bulk_create(
        [Weather(place="JFK", hour=hour(number), celsius=number) for number in range(5)]
    )


@pytest.fixture
def trips(weather):
    """A trip in each of these hours, one in an hour without weather, one without an hour."""
    return Trip.objects.bulk_create([trip(number) for number in (*range(5), 7, None)])


@pytest.fixture
def region():
    # Its primary key is no number of its own.
    Region.objects.create(country="FR", number=1)
    return Region.objects.create(country="DE", number=7, name="Bavaria")


@pytest.fixture
def guides(region):
    """A guide who leads tours through two regions, and one of another region who does too."""
    there = Region.objects.get(country="FR")
    found = [
        Guide.objects.create(number=1, tongue="de", region=region),
        Guide.objects.create(number=1, tongue="fr", region=there),
    ]
    Tour.objects.create(guide=found[0], region=region)
    for guide in found:
        Tour.objects.create(guide=guide, region=there)
    return found


@pytest.fixture
def queries(django_assert_num_queries):
    """Assert how many queries a database gets."""

    def expect(number, alias):
        return django_assert_num_queries(number, connection=connections[alias])

    return expect
