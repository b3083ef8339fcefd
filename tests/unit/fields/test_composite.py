"""The field over several columns, without a database."""

import copy
import pickle

import pytest
from django.core.exceptions import FieldError
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ModelState, ProjectState
from django.test.utils import isolate_apps

from tests.apps.climate.models import Fare, Outing, Region, Trip, TripProxy, Weather
from xdbrel import CrossDBCompositeForeignKey, relations


def field_of(model, name):
    return model._meta.get_field(name)


def test_deconstruct():
    """Options that were given come back; what follows from the columns does not."""
    name, path, args, kwargs = field_of(Trip, "region").deconstruct()
    assert (name, path, args) == ("region", "xdbrel.CrossDBCompositeForeignKey", [])
    assert kwargs == {
        "to": "climate.region",
        "on_delete": models.SET_NULL,
        "from_fields": ("country", "region_number"),
        "to_fields": ("country", "number"),
        "dangling": "none",
        "related_name": "trips",
    }
    assert kwargs["on_delete"] is models.SET_NULL
    _, _, _, kwargs = field_of(Trip, "weather").deconstruct()
    assert "to_fields" not in kwargs
    assert field_of(Fare, "region").deconstruct()[3]["verify"] is True


@pytest.mark.parametrize("name", ["weather", "region"])
def test_clone_and_copy(name):
    field = field_of(Trip, name)
    assert field.clone().deconstruct() == (None, *field.deconstruct()[1:])
    assert copy.copy(field).deconstruct() == field.deconstruct()
    assert pickle.loads(pickle.dumps(field)) is field


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"from_fields": ("x",)}, "from_fields must name two different fields or more."),
        ({"from_fields": "xy"}, "from_fields must name two different fields or more."),
        ({"from_fields": ("x", "x")}, "from_fields must name two different fields or more."),
        ({"to_fields": ("a",)}, "to_fields must name as many fields as from_fields."),
        ({"dangling": "hide"}, 'dangling must be "raise" or "none", not \'hide\'.'),
        (
            {"on_update": models.CASCADE},
            "on_update must be models.PROTECT or models.DO_NOTHING, not <function CASCADE at",
        ),
    ],
)
def test_options(options, said):
    given = {"from_fields": ("x", "y"), **options}
    with pytest.raises(ValueError) as caught:
        CrossDBCompositeForeignKey(Weather, models.CASCADE, **given)
    assert str(caught.value).startswith(f"CrossDBCompositeForeignKey: {said}")


def test_no_column():
    """The field is none of the columns, and adds none."""
    assert field_of(Trip, "weather") not in Trip._meta.concrete_fields
    assert "weather_key" not in {field.column for field in Trip._meta.concrete_fields}
    assert field_of(Trip, "weather").null
    assert not field_of(Fare, "region").serialize
    assert field_of(Outing, "weather").model is Trip


def test_records():
    """The registry knows of the columns on both sides."""
    found = relations.get("climate.Trip.region")
    assert found.is_composite
    assert [field.name for field in found.source_fields] == ["country", "region_number"]
    assert [field.name for field in found.target_fields] == ["country", "number"]
    assert found.policy == "SET_NULL"
    assert relations.get("climate.Trip.weather").target_field is Weather._meta.pk
    assert not relations.get("climate.Report.trip").is_composite
    assert relations.between(Trip, Weather)
    assert relations.between(Region, Outing)
    assert relations.between(TripProxy, Region)


def changes(before, after):
    """The operations that lead from some models to others."""
    detector = MigrationAutodetector(*(_state(models) for models in (before, after)))
    return [
        operation
        for migrations in detector._detect_changes().values()
        for migration in migrations
        for operation in migration.operations
    ]


def _state(states):
    state = ProjectState()
    for model in states:
        state.add_model(model.clone())
    return state


def test_makemigrations():
    """The autodetector sees the field come, change and go, and nothing once it is there."""
    with_it = [ModelState.from_model(model) for model in (Region, Weather, Trip)]
    without = [state.clone() for state in with_it]
    without[2].fields.pop("region")
    assert changes(with_it, with_it) == []
    (added,) = changes(without, with_it)
    assert (type(added).__name__, added.name) == ("AddField", "region")
    # Nobody is asked for a default: there is no column to fill.
    assert added.preserve_default
    (gone,) = changes(with_it, without)
    assert (type(gone).__name__, gone.name) == ("RemoveField", "region")
    other = [state.clone() for state in with_it]
    other[2].fields["region"] = CrossDBCompositeForeignKey(
        "climate.Region",
        models.CASCADE,
        from_fields=("country", "region_number"),
        to_fields=("country", "number"),
        related_name="trips",
    )
    (changed,) = changes(with_it, other)
    assert type(changed).__name__ == "AlterField"


def test_target_that_is_not_known():
    with isolate_apps("tests.apps.climate"):

        class Walk(models.Model):
            x = models.IntegerField()
            y = models.IntegerField()
            area = CrossDBCompositeForeignKey(
                "climate.Nowhere", models.CASCADE, from_fields=("x", "y")
            )

            class Meta:
                app_label = "climate"

        with pytest.raises(FieldError, match=r"climate\.Walk\.area: some of its columns are not"):
            _ = Walk._meta.get_field("area").target_field
        assert {found.id for found in Walk._meta.get_field("area").check()} == {"fields.E300"}


def test_abstract_bases():
    """Each child of an abstract base has a relation of its own."""
    with isolate_apps("tests.apps.climate"):

        class Hourly(models.Model):
            place = models.CharField(max_length=10)
            hour = models.DateTimeField()
            weather = CrossDBCompositeForeignKey(
                Weather, models.CASCADE, from_fields=("place", "hour"), related_name="+"
            )

            class Meta:
                abstract = True
                app_label = "climate"

        class First(Hourly):
            class Meta:
                app_label = "climate"

        class Second(Hourly):
            class Meta:
                app_label = "climate"

        assert First._meta.get_field("weather").model is First
        assert Second._meta.get_field("weather_key").model is Second
        assert First._meta.get_field("weather").local_related_fields == (
            First._meta.get_field("place"),
            First._meta.get_field("hour"),
        )
