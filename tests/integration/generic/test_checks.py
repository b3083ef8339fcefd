"""Checks that look at content types and at the admin's inlines: xdbrel.W111 and W112."""

import pytest
from django.contrib import admin
from django.contrib.admin.sites import AdminSite
from django.contrib.contenttypes.admin import GenericTabularInline
from django.core.checks import Warning

from tests.apps.notes.models import Essay, Label, Note, Thing
from xdbrel.admin.generic import CrossDBGenericTabularInline
from xdbrel.checks import generic

pytestmark = pytest.mark.django_db(databases="__all__")


class PlainInline(GenericTabularInline):
    model = Note


class Inline(CrossDBGenericTabularInline):
    model = Note


@pytest.fixture
def site():
    """An admin site of the test's own, which is gone with it."""
    return AdminSite(name="notes")


def test_w112_inlines(types_everywhere, site):
    """Django's inline reads content types in ``default``, where notes do not name them."""
    site.register(Thing, type("ThingAdmin", (admin.ModelAdmin,), {"inlines": [PlainInline]}))
    site.register(Essay, type("EssayAdmin", (admin.ModelAdmin,), {"inlines": [Inline]}))
    assert [one for one in generic.check_inlines() if one.obj is PlainInline] == [
        Warning(
            f"{__name__}.PlainInline asks for content types in 'default', and rows of notes.Note "
            "name those of 'blog'.",
            hint="Subclass CrossDBGenericTabularInline or CrossDBGenericStackedInline of "
            "xdbrel.admin.generic.",
            obj=PlainInline,
            id="xdbrel.W112",
        )
    ]
    assert not [one for one in generic.check_inlines() if one.obj is Inline]


def test_inlines_of_content_types_in_one_home(site):
    site.register(Thing, type("ThingAdmin", (admin.ModelAdmin,), {"inlines": [PlainInline]}))
    assert generic.check_inlines() == []


def test_w111_plain_keys(types_everywhere, monkeypatch):
    """Rows of a plain generic key that name a model of another database."""
    field = Label.subject.field
    monkeypatch.setattr(field, "crosses_generically", False)
    databases = ["default", "blog", "shop"]
    assert generic.check_content_types(databases=databases) == []
    Label.objects.create(kind=kind_of(Thing), key=1)
    Label.objects.create(kind=kind_of(Label), key=1)
    assert generic.check_content_types(databases=databases) == [
        Warning(
            "notes.Label.subject in 'shop' names models that live elsewhere, whose content types "
            "have other ids there: notes.thing in 'default'. A plain GenericForeignKey takes one "
            "for the other.",
            hint='Declare CrossDBGenericForeignKey in its place; "manage.py xdbrel_contenttypes" '
            "shows the differences and rows that hold wrong ids.",
            obj=field,
            id="xdbrel.W111",
        )
    ]
    assert generic.check_content_types(databases=["shop"]) == []
    assert generic.check_content_types() == []


def kind_of(model):
    return Label.subject.field.get_content_type(model=model)


def test_the_models_of_the_tests_are_right():
    assert generic.check_content_types(databases=["default", "blog", "shop"]) == []
