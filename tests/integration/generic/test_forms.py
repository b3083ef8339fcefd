"""Generic formsets and the admin's inlines, by the content types that rows name."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.forms import generic_inlineformset_factory
from django.test import RequestFactory

from tests.apps.notes.models import Essay, Label, Note, Thing
from xdbrel.admin.generic import (
    CrossDBGenericInlineFormSet,
    CrossDBGenericStackedInline,
    CrossDBGenericTabularInline,
)

pytestmark = pytest.mark.django_db(databases="__all__")


def data(formset, rows):
    """Return what a browser sends for these rows of values."""
    prefix = formset.get_default_prefix()
    sent = {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": 0}
    for at, row in enumerate(rows):
        sent.update({f"{prefix}-{at}-{name}": value for name, value in row.items()})
    initial = sum("id" in row for row in rows)
    return {**sent, f"{prefix}-INITIAL_FORMS": initial}


def test_formset(types, type_id):
    """Shows what is related, changes it, and names new rows' content type as they do."""
    formset = generic_inlineformset_factory(
        Note, formset=CrossDBGenericInlineFormSet, fields=["text"], extra=1
    )
    thing = Thing.objects.create(pk=7)
    Essay.objects.create(pk=7).notes.create(text="another's")
    first = thing.notes.create(text="first")
    assert [form.instance for form in formset(instance=thing).initial_forms] == [first]
    assert formset(instance=Thing()).initial_forms == []
    sent = data(formset, [{"id": first.pk, "text": "changed"}, {"text": "second"}])
    bound = formset(sent, instance=thing)
    assert bound.is_valid(), bound.errors
    second = bound.save()[1]
    assert second._state.db == "blog"
    assert (second.content_type_id, str(second.object_id)) == (type_id(Thing), "7")
    assert [note.text for note in thing.notes.all()] == ["changed", "second"]


class NoteInline(CrossDBGenericTabularInline):
    model = Note


class LabelInline(CrossDBGenericStackedInline):
    model = Label
    ct_field = "kind"
    ct_fk_field = "key"


class ThingAdmin(admin.ModelAdmin):
    inlines = [NoteInline, LabelInline]


def test_admin(types_everywhere):
    """The change page shows and saves rows of two other databases."""
    site = admin.AdminSite(name="generic")
    thing = Thing.objects.create(pk=7, name="a")
    note = thing.notes.create(text="first")
    page = ThingAdmin(Thing, site)
    assert page.check() == []
    user = User.objects.create_superuser("ada")
    request = RequestFactory().get("/")
    request.user = user
    formsets = dict(page.get_formsets_with_inlines(request, thing))
    (notes, labels) = (formset for formset in formsets)
    shown = [form.instance for form in notes(instance=thing).initial_forms]
    assert shown == [note]
    bound = labels(data(labels, [{"word": "new"}]), instance=thing)
    assert bound.is_valid(), bound.errors
    (label,) = bound.save()
    assert list(thing.labels.all()) == [label]
    assert label._state.db == "shop"
