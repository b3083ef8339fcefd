"""A choice among the targets, in forms and in the admin."""

import json

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory

from tests.apps.climate.models import Fare, Region, Trip, Weather
from tests.integration.composite.conftest import hour, trip

pytestmark = pytest.mark.django_db(databases="__all__")


def field_of(model, name):
    return model._meta.get_field(name)


class TripForm(forms.ModelForm):
    weather = field_of(Trip, "weather").formfield(required=False)
    region = field_of(Trip, "region").formfield(label="Where", empty_label="nowhere")

    class Meta:
        model = Trip
        fields = ("title", "weather", "region")


def text(*key):
    return json.dumps(key)


EARLY = text("JFK", hour(1).isoformat())


def test_forms_that_do_not_declare_it():
    """A model's form has the columns, and nothing that would set them a second time."""
    assert list(forms.modelform_factory(Fare, fields="__all__").base_fields) == [
        "country",
        "region_number",
    ]


def test_a_form_offers_and_saves(weather, region, queries):
    """Each target is a choice, and the one that is chosen sets all columns."""
    form = TripForm()
    assert form["region"].label == "Where"
    with queries(1, "default"):
        shown = str(form["region"])
    assert '<option value="" selected>nowhere</option>' in shown
    assert "[&quot;DE&quot;, 7]" in shown
    sent = {"title": "out", "weather": EARLY, "region": text("DE", 7)}
    made = TripForm(sent).save()
    assert (made._state.db, made.weather, made.region) == ("blog", weather[1], region)
    row = Trip.objects.values_list("place", "hour", "country", "region_number").get()
    assert row == ("JFK", hour(1), "DE", 7)


def test_a_form_shows_what_is_there(weather, region):
    """The target of an object is chosen at first; what is chosen again has not changed."""
    made = trip(1, title="out", region=region)
    made.save()
    form = TripForm(instance=made)
    assert form["weather"].value() == EARLY
    chosen = [line for line in str(form["weather"]).splitlines() if "selected" in line]
    assert len(chosen) == 1
    assert "2013-01-01T01:00:00" in chosen[0]
    sent = {"title": "out", "weather": EARLY, "region": text("DE", 7)}
    assert TripForm(sent, instance=made).changed_data == []
    changed = TripForm(sent | {"region": text("FR", 1)}, instance=made)
    assert changed.changed_data == ["region"]
    assert changed.save().region == Region.objects.get(country="FR")
    # None clears what may be NULL, and nothing is chosen then.
    emptied = TripForm(sent | {"weather": ""}, instance=made).save()
    assert (emptied.place, emptied.hour) == ("JFK", None)
    assert TripForm(instance=emptied)["weather"].value() is None


@pytest.mark.parametrize(
    "value",
    [
        text("DE", 8),
        text("DE"),
        text("DE", 7, 1),
        text("DE", None),
        text("DE", 10**30),
        text("D\0", 7),
        text("DE", {}),
        "DE",
        "7",
        "null",
    ],
)
def test_what_is_no_choice(region, value):
    form = TripForm({"title": "out", "region": value})
    assert form.errors == {
        "region": ["Select a valid choice. That choice is not one of the available choices."]
    }


def test_required(region):
    assert TripForm({"title": "out"}).errors == {"region": ["This field is required."]}


def test_limit_choices_to(region, monkeypatch):
    """What the relation does not allow is no choice."""
    limit = {"name": "Bavaria"}
    monkeypatch.setattr(field_of(Fare, "region").remote_field, "limit_choices_to", limit)

    class FareForm(forms.ModelForm):
        region = field_of(Fare, "region").formfield()

        class Meta:
            model = Fare
            fields = ("region",)

    assert [label for _, label in FareForm().fields["region"].choices][1:] == [str(region)]
    assert FareForm({"region": text("FR", 1)}).errors
    assert FareForm({"region": text("DE", 7)}).save().region == region


def test_a_form_of_no_model(weather):
    class Ask(forms.Form):
        weather = field_of(Trip, "weather").formfield(queryset=Weather.objects.filter(celsius=1))

    form = Ask({"weather": EARLY})
    assert form.is_valid()
    assert form.cleaned_data["weather"] == weather[1]
    assert Ask({"weather": text("JFK", hour(2).isoformat())}).errors
    assert Ask(initial={"weather": weather[1]})["weather"].value() == EARLY
    assert str(Ask(initial={"weather": weather[1]})["weather"]).count("selected") == 1


def test_the_admin(weather, region):
    """A ModelAdmin with that form shows, saves and logs it as any other field."""

    class TripAdmin(admin.ModelAdmin):
        form = TripForm

    view = TripAdmin(Trip, admin.AdminSite())
    assert view.check() == []
    request = RequestFactory().get("/")
    request.user = User(is_active=True, is_staff=True, is_superuser=True, pk=1)
    assert list(view.get_fields(request)) == ["title", "weather", "region"]
    page = view.get_form(request)
    form = page({"title": "out", "weather": EARLY, "region": text("DE", 7)})
    assert view.construct_change_message(request, form, [], add=False) == [
        {"changed": {"fields": ["Title", "Weather", "Where"]}}
    ]
    assert form.save().weather == weather[1]
