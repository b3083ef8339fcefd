"""``verify=True`` over several columns: targets are looked for whenever a part is written."""

import json
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import transaction
from django.db.models import F

from tests.apps.climate.models import Fare
from xdbrel.exceptions import MissingTarget

pytestmark = pytest.mark.django_db(databases="__all__")


@contextmanager
def refused(*key):
    with pytest.raises(MissingTarget) as caught, transaction.atomic(using="shop"):
        yield
    assert str(caught.value) == (
        f"climate.Fare.region: key {key!r} not found among climate.Region in database "
        "'default'; nothing was written. Create the missing rows first, or declare the field "
        "with verify=False to check later by scanning."
    )
    assert caught.value.keys == [key]


@pytest.fixture
def fare(region):
    return Fare.objects.create(country="DE", region_number=7)


def test_insert(region, queries):
    with queries(1, "default"):
        Fare.objects.create(country="DE", region_number=7)
    with refused("DE", 8):
        Fare.objects.create(country="DE", region_number=8)
    Fare.objects.create(country="XX", region_number=None)


def test_bulk_create(region, queries):
    with queries(1, "default"):
        Fare.objects.bulk_create(
            [Fare(country="DE", region_number=7), Fare(country="FR", region_number=1)]
        )
    with refused("FR", 7):
        Fare.objects.bulk_create([Fare(country="FR", region_number=7)])


def test_save(fare, queries):
    fare.region_number = 1
    with refused("DE", 1):
        fare.save()
    fare.country = "FR"
    with queries(1, "default"):
        fare.save()


def test_update_of_one_column(fare):
    """The other column's values are the rows' own."""
    with refused("FR", 7):
        Fare.objects.update(country="FR")
    with refused("DE", 8):
        Fare.objects.update(region_number=F("region_number") + 1)
    Fare.objects.update(region_number=None)


def test_update_of_other_rows(fare):
    """Rows that the statement does not choose are not asked for."""
    Fare.objects.filter(country="FR").update(region_number=8)
    Fare.objects.filter(region__name="Bavaria").update(region_number=7)


def test_bulk_update(fare):
    fare.region_number = 12
    with refused("DE", 12):
        Fare.objects.bulk_update([fare], ["region_number"])
    fare.country, fare.region_number = "FR", 1
    Fare.objects.bulk_update([fare], ["country", "region_number"])
    assert Fare.objects.get().region_key == ("FR", 1)


def test_other_columns(fare, queries):
    """Who writes no part of a key is not asked for it."""
    with queries(0, "default"), queries(1, "shop"):
        Fare.objects.update(id=F("id"))


def test_fixtures_pass(tmp_path):
    """Their targets may be loaded later, into another database."""
    path = tmp_path / "fares.json"
    row = {"model": "climate.fare", "pk": 1, "fields": {"country": "DE", "region_number": 99}}
    path.write_text(json.dumps([row]))
    call_command("loaddata", str(path), database="shop", verbosity=0)
    assert Fare.objects.get().region_key == ("DE", 99)
