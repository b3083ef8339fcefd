"""Deleting, and changing, targets that are known by several columns."""

import json

import pytest
from django.core import checks as django_checks
from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import ProtectedError

from tests.apps.climate.models import (
    Cell,
    Fare,
    Guide,
    Marker,
    Outing,
    Record,
    Region,
    Report,
    Stop,
    Tour,
    Trip,
    Weather,
)
from tests.integration.composite.conftest import hour, trip
from xdbrel import compat, plan_delete
from xdbrel.cascade.relay import relay
from xdbrel.cascade.triggers.captures import survey
from xdbrel.exceptions import KeyInUse
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def left():
    """The hours of the trips that are there."""
    return sorted(one.hour for one in Trip.objects.values_list("hour", flat=True) if one)


@pytest.fixture
def hanging(trips):
    """What hangs on the trips of two hours, in their own database and in another."""
    for number in (1, 2):
        there = Trip.objects.get(hour=hour(number))
        Stop.objects.create(trip=there)
        Report.objects.create(trip=there)


def test_cascade(hanging):
    """Sources go, and what hangs on them in any database."""
    deleted = Weather.objects.get(hour=hour(1)).delete()
    assert deleted == (
        4,
        {"climate.Weather": 1, "climate.Trip": 1, "climate.Stop": 1, "climate.Report": 1},
    )
    assert left() == [0, 2, 3, 4, 7]
    assert (Stop.objects.count(), Report.objects.count()) == (1, 1)


def test_what_hangs_on_sources_by_columns_of_djangos_own(guides, region):
    """A ``ForeignObject`` has no one key to be found by: Django's collector follows it."""
    deleted = region.delete()
    assert deleted == (4, {"climate.Region": 1, "climate.Guide": 1, "climate.Tour": 2})
    assert list(Guide.objects.all()) == [guides[1]]
    assert [tour.guide for tour in Tour.objects.all()] == [guides[1]]


def test_intents_hold_lists(trips):
    Weather.objects.filter(hour__gte=hour(3)).delete()
    intents = CascadeIntent.objects.filter(relation="climate.Trip.weather")
    held = sorted(key for intent in intents for key in intent.keys)
    assert held == [["JFK", hour(number).isoformat()] for number in (3, 4)]
    assert left() == [0, 1, 2, 7]


def test_one_home(weather, region):
    """Where both ends live in one database, Django's own collector does it all."""
    Record.objects.create(place="JFK", hour=hour(1), country="DE", region_number=7)
    kept = Record.objects.create(place="JFK", hour=hour(2), country="DE", region_number=7)
    assert weather[1].delete() == (2, {"climate.Weather": 1, "climate.Record": 1})
    region.delete()
    assert Record.objects.get() == kept
    assert Record.objects.get().region_key == ("DE", None)
    assert not CascadeIntent.objects.filter(relation__startswith="climate.Record").exists()


def test_half_a_key_is_none(weather):
    """A row that names the place alone goes with nobody's weather."""
    Trip.objects.bulk_create([trip(None), trip(1)])
    Weather.objects.all().delete()
    assert Trip.objects.get().hour is None


def test_rollback(hanging):
    with transaction.atomic("default"):
        Weather.objects.all().delete()
        transaction.set_rollback(True, using="default")
    assert left() == [0, 1, 2, 3, 4, 7]
    assert not CascadeIntent.objects.exists()


def test_relay(hanging):
    """What a crash left behind is done by the relay, once, and not for targets that are back."""
    intent = CascadeIntent.objects.create(
        relation="climate.Trip.weather",
        source_alias="blog",
        keys=[["JFK", hour(number).isoformat()] for number in (1, 2)],
    )
    compat.raw_delete(Weather.objects.filter(hour=hour(1)), "default")
    relay()
    assert left() == [0, 2, 3, 4, 7]
    assert (Stop.objects.count(), Report.objects.count()) == (1, 1)
    assert CascadeIntent.objects.get(pk=intent.pk).status == CascadeIntent.Status.APPLIED


def test_relay_puts_intents_together(trips):
    """Of many deletions one intent is left, with the keys of all."""
    for number in (0, 1):
        CascadeIntent.objects.create(
            relation="climate.Trip.weather",
            source_alias="blog",
            keys=[["JFK", hour(number).isoformat()]],
        )
    compat.raw_delete(Weather.objects.filter(hour__lt=hour(2)), "default")
    relay()
    assert left() == [2, 3, 4, 7]
    held = [key for one in CascadeIntent.objects.all() for key in one.keys]
    assert sorted(held) == [["JFK", hour(number).isoformat()] for number in (0, 1)]


def test_set_null_clears_what_may_be_null(region):
    """The country stays: it may be another relation's as well."""
    Trip.objects.create(country="DE", region_number=7)
    Outing.objects.create(country="DE", region_number=7)
    Trip.objects.create(country="FR", region_number=1)
    assert region.delete() == (1, {"climate.Region": 1})
    assert sorted(Trip.objects.values_list("country", "region_number"), key=str) == [
        ("DE", None),
        ("DE", None),
        ("FR", 1),
    ]


def test_set_null_at_once(region):
    """In the sources' own open transaction, where the block sees it."""
    Trip.objects.create(country="DE", region_number=7)
    with transaction.atomic("default"), transaction.atomic("blog"):
        region.delete()
        assert Trip.objects.get().region_key == ("DE", None)


def test_protect(region):
    fare = Fare.objects.create(country="DE", region_number=7)
    with pytest.raises(ProtectedError) as caught:
        region.delete()
    assert caught.value.protected_objects == {fare}
    assert str(caught.value.args[0]) == (
        "Cannot delete some instances of model 'Region' because they are referenced through "
        "protected foreign keys: 'Fare.region'."
    )
    # Of half a key nobody is protected.
    Fare.objects.update(region_number=None)
    region.delete()


def test_do_nothing():
    Cell.objects.bulk_create([Cell(x=1, y=1), Cell(x=1, y=2)])
    Marker.objects.create(x=1, y=1)
    Cell.objects.all().delete()
    assert Marker.objects.get().cell_key == (1, 1)


def test_plan(hanging):
    found = plan_delete(Weather.objects.filter(hour=hour(1)))
    assert found.counts == {
        "default": {"climate.Weather": 1},
        "blog": {"climate.Stop": 1, "climate.Trip": 1},
        "shop": {"climate.Report": 1},
    }


def test_raw_delete_is_followed(trips):
    """``_raw_delete()`` of targets lets sources follow as any delete."""
    Weather.objects.filter(hour=hour(1))._raw_delete("default")
    assert left() == [0, 2, 3, 4, 7]


def test_many(django_assert_max_num_queries):
    """The statements do not grow with the keys."""
    Weather.objects.bulk_create(Weather(place=f"P{n}", hour=hour(0)) for n in range(1_000))
    Trip.objects.bulk_create(trip(0, f"P{n}") for n in range(1_000))
    with django_assert_max_num_queries(60, connection=connections["blog"]):
        Weather.objects.all().delete()
    assert not Trip.objects.exists()


def test_key_change_is_refused(region):
    fare = Fare.objects.create(country="DE", region_number=7)
    with pytest.raises(KeyInUse) as caught:
        Region.objects.filter(pk=region.pk).update(number=8)
    assert str(caught.value) == (
        "climate.Fare.region: the key ('DE', 7) of climate.Region in database 'default' cannot "
        "become ('DE', 8) while 1 climate.Fare in database 'shop' hold it, "
        f"{fare.pk!r} the first; nothing was written. Give these another key first, or declare "
        "the field with on_update=models.DO_NOTHING to leave them behind."
    )
    region.country = "AT"
    with pytest.raises(KeyInUse):
        region.save()
    assert Region.objects.get(pk=region.pk).country == "DE"


def test_key_change_that_nobody_holds(region):
    """Other columns, the same values and keys without sources are free to be written."""
    Fare.objects.create(country="DE", region_number=7)
    Region.objects.filter(pk=region.pk).update(country="DE", number=7, name="Bayern")
    Region.objects.filter(country="FR").update(number=2)
    Cell.objects.create(x=1, y=1)
    Marker.objects.create(x=1, y=1)
    Cell.objects.update(y=2)
    assert Marker.objects.get().cell_key == (1, 1)


def test_w073_no_trigger_writes_several_columns(settings):
    """Deletes by the ORM are followed all the same; what goes past it is for scans."""
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": ["climate.Trip.weather"]}
    found = survey("default")
    assert found.captures == ()
    assert found.refused == {
        "climate.Trip.weather": "a trigger writes one column down, and its keys are of several"
    }
    messages = django_checks.run_checks(tags=["database"], databases=["default"])
    assert "xdbrel.W073" in {message.id for message in messages}


def test_with_triggers_around(settings, trips):
    """Where others are captured by triggers, this one is by the ORM."""
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": "triggers"}
    Weather.objects.filter(hour=hour(1)).delete()
    assert left() == [0, 2, 3, 4, 7]


def test_relations_command(capsys):
    call_command("xdbrel_relations", format="json")
    rows = {one["handle"]: one for one in json.loads(capsys.readouterr().out)}
    assert rows["climate.Trip.region"]["to_field"] == "country, number"
    assert rows["climate.Trip.weather"]["policy"] == "CASCADE"
