"""What goes past the ORM: triggers write intents for generic relations as well."""

import pytest
from django.db import connections

from tests.apps.notes.models import Essay, Gadget, Label, Note, Thing
from xdbrel.cascade.triggers.captures import aliases
from xdbrel.cascade.triggers.install import install, remove
from xdbrel.models import CascadeIntent
from xdbrel.testing import drain

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

RELATIONS = [f"notes.{one}" for one in ("Note.about[notes.Thing]", "Note.about[notes.Gadget]")]


@pytest.fixture
def triggers(settings):
    """Triggers for the notes of things and gadgets, gone after the test."""
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": RELATIONS}
    yield install("default")
    for alias in aliases():
        remove(alias)


def test_deleted_past_the_orm(triggers):
    """Notes of the rows that SQL has deleted follow; those of others stay."""
    thing, gadget = Thing.objects.create(pk=7), Gadget.objects.create()
    left = [Note.objects.create(about=one) for one in (Essay.objects.create(pk=7), Thing(pk=8))]
    Note.objects.create(about=thing)
    Note.objects.create(about=gadget)
    label = Label.objects.create(subject=thing)
    quote = connections["default"].ops.quote_name
    with connections["default"].cursor() as cursor:
        for model in (Thing, Gadget):
            cursor.execute(f"DELETE FROM {quote(model._meta.db_table)}")
    intents = CascadeIntent.objects.using("default").values_list("relation", "keys")
    assert dict(intents) == {RELATIONS[0]: [7], RELATIONS[1]: [str(gadget.pk)]}
    drain()
    assert list(Note.objects.all()) == left
    assert list(Label.objects.all()) == [label]
