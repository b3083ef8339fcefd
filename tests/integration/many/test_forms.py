"""Forms, formsets and the admin."""

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.forms import inlineformset_factory, modelform_factory
from django.test import RequestFactory
from django.urls import path

from tests.apps.clubs.models import Club, Membership, Reader

pytestmark = pytest.mark.django_db(databases="__all__")

NAMES = ["readers", "guests", "patrons", "friends", "members"]


def test_a_form_offers_and_saves(readers):
    form = modelform_factory(Club, fields=["name", *NAMES])
    assert all(isinstance(form.base_fields[n], forms.ModelMultipleChoiceField) for n in NAMES)
    assert ">ada</option>" in str(form()["patrons"])
    chosen = [str(reader.pk) for reader in readers[:2]]
    bound = form({"name": "chess", "readers": chosen, "patrons": chosen, "guests": chosen})
    club = bound.save()
    assert list(club.readers.all()) == list(club.patrons.all()) == readers[:2]
    edited = form({"name": "chess", "patrons": []}, instance=club)
    assert edited.initial["patrons"] == readers[:2]
    edited.save()
    assert not club.patrons.exists()


def test_a_choice_that_is_gone():
    form = modelform_factory(Club, fields=["name", "readers"])
    assert form({"name": "chess", "readers": ["987654"]}).errors == {
        "readers": ["Select a valid choice. 987654 is not one of the available choices."]
    }


def test_limit_choices_to(club, readers):
    Club.objects.create(name="closed", open=False)
    form = modelform_factory(Reader, fields=["slug", "likes"])
    assert list(form().fields["likes"].queryset) == [club]


def test_rows_in_between_as_a_formset(club, readers):
    formset = inlineformset_factory(Club, Club.patrons.through, fields=["reader"], extra=1)
    prefix = formset.get_default_prefix()
    data = {
        f"{prefix}-TOTAL_FORMS": "1",
        f"{prefix}-INITIAL_FORMS": "0",
        f"{prefix}-0-reader": str(readers[0].pk),
    }
    bound = formset(data, instance=club)
    assert bound.is_valid(), bound.errors
    (row,) = bound.save()
    assert row._state.db == "shop"
    assert list(club.patrons.all()) == readers[:1]


class PatronInline(admin.TabularInline):
    model = Club.patrons.through
    extra = 1


class MembershipInline(admin.TabularInline):
    model = Membership
    fk_name = "club"
    extra = 0


class ClubAdmin(admin.ModelAdmin):
    fields = ("name", "readers", "guests", "friends")
    filter_horizontal = ("readers",)
    autocomplete_fields = ("guests",)
    inlines = (PatronInline, MembershipInline)
    list_filter = ("readers",)
    search_fields = ("readers__slug",)


class ReaderAdmin(admin.ModelAdmin):
    search_fields = ("slug",)


@pytest.fixture
def site(settings):
    """The site that the URLs are of, for the test."""
    admin.site.register(Reader, ReaderAdmin)
    admin.site.register(Club, ClubAdmin)
    # The usual ones may have been made before.
    settings.ROOT_URLCONF = (path("admin/", admin.site.urls),)
    yield admin.site
    admin.site.unregister([Reader, Club])


def request_of(method, path, data=None):
    request = getattr(RequestFactory(), method)(path, data)
    request.user = User(is_active=True, is_staff=True, is_superuser=True, pk=1)
    request._dont_enforce_csrf_checks = True
    request.session = {}
    request._messages = type("Messages", (), {"add": lambda *args: None})()
    return request


def test_the_admins_checks_pass(site):
    assert ClubAdmin(Club, site).check() == []


def test_the_admins_form(site, club, readers):
    view = ClubAdmin(Club, site)
    club.guests.add(readers[2])
    page = view.get_form(request_of("get", "/"), club)
    form = page(instance=club)
    text = form.as_p()
    assert "selectfilter" in text  # filter_horizontal
    assert "admin-autocomplete" in text
    assert ">cyd</option>" in text
    bound = page(
        {"name": "chess", "readers": [str(readers[0].pk)], "guests": [str(readers[1].pk)]},
        instance=club,
    )
    saved = bound.save()
    assert list(saved.readers.all()) == readers[:1]
    assert list(saved.guests.all()) == readers[1:2]
    formsets = [inline.model for inline in view.get_inline_instances(request_of("get", "/"))]
    assert formsets == [Club.patrons.through, Membership]


def test_the_admins_list(site, club, readers):
    Club.objects.create(name="bridge")
    club.readers.set(readers)
    view = ClubAdmin(Club, site)
    for data in ({"q": "ada"}, {"readers__id__exact": str(readers[0].pk)}):
        changes = view.get_changelist_instance(request_of("get", "/", data))
        assert list(changes.get_queryset(request_of("get", "/", data))) == [club]
