"""Deleting targets: their notes and labels follow, in their own databases."""

import pytest
from django.contrib.admin.utils import NestedObjects
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import transaction
from django.db.models.signals import post_delete

import xdbrel
from tests.apps.notes.models import (
    Essay,
    Gadget,
    Label,
    Note,
    Reply,
    SpecialThing,
    Stranger,
    Thing,
    ThingProxy,
)
from xdbrel import relations
from xdbrel.models import CascadeIntent
from xdbrel.testing import crash_between_commits, drain

in_transactions = pytest.mark.django_db(databases="__all__")
committed = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status


def left():
    return {model.__name__: model.objects.count() for model in (Note, Reply, Label)}


def make(target):
    """Give a target two notes, a reply to one of them and, if it has such, a label."""
    note = Note.objects.create(about=target)
    Note.objects.create(about=target)
    Reply.objects.create(note=note)
    if hasattr(target, "labels"):
        Label.objects.create(subject=target)
    return target


@in_transactions
@pytest.mark.parametrize("model", [Thing, Gadget, Essay, SpecialThing])
def test_what_is_related_goes(model, types):
    """Only what is about the deleted object goes, whatever else has the same key."""
    target = make(model.objects.create())
    other = make(model.objects.create())
    same_key = Note.objects.create(about=Stranger.objects.create(), object_id=str(target.pk))
    expected = {model._meta.label: 1, "notes.Note": 2, "notes.Reply": 1}
    if hasattr(target, "labels"):
        expected["notes.Label"] = 1
    if model is SpecialThing:
        expected["notes.Thing"] = 1
    deleted, counts = target.delete()
    assert {label: n for label, n in counts.items() if n} == expected
    assert deleted == sum(expected.values())
    assert set(Note.objects.all()) == {same_key, *other.notes.all()}
    assert Reply.objects.count() == 1


@in_transactions
def test_of_a_child_both_kinds_go(types_everywhere):
    """What was said of it as its parent goes with it, too."""
    special = SpecialThing.objects.create()
    parent = special.thing_ptr
    make(special)
    make(parent)
    special.delete()
    assert left() == {"Note": 0, "Reply": 0, "Label": 0}


@in_transactions
def test_a_proxy_is_deleted_as_its_model(types_everywhere):
    make(ThingProxy.objects.create())
    ThingProxy.objects.all().delete()
    assert left() == {"Note": 0, "Reply": 0, "Label": 0}


@in_transactions
def test_many_are_deleted_by_queryset(types_everywhere):
    for _ in range(5):
        make(Thing.objects.create())
    make(Gadget.objects.create())
    Thing.objects.all().delete()
    assert left() == {"Note": 2, "Reply": 1, "Label": 0}


@in_transactions
def test_past_the_collector(types_everywhere):
    """``_raw_delete()`` is followed as ``delete()`` is."""
    make(Thing.objects.create())
    Thing.objects.all()._raw_delete("default")
    assert left() == {"Note": 0, "Reply": 0, "Label": 0}


@in_transactions
def test_receivers_get_notes_that_know_their_target(types_everywhere):
    """With somebody listening, instances are deleted, whose target can still be asked for."""
    heard = []

    def listen(instance, **kwargs):
        heard.append((instance.pk, instance.about.name))

    thing = make(Thing.objects.create(name="a"))
    expected = [(note.pk, "a") for note in thing.notes.all()]
    post_delete.connect(listen, sender=Note)
    try:
        thing.delete()
    finally:
        post_delete.disconnect(listen, sender=Note)
    assert sorted(heard) == expected
    assert left() == {"Note": 0, "Reply": 0, "Label": 0}


@in_transactions
def test_the_admins_tree_of_objects(types_everywhere):
    thing = make(Thing.objects.create())
    collector = NestedObjects(using="default", origin=thing)
    collector.collect([thing])
    notes = list(thing.notes.all())
    reply = Reply.objects.get()
    assert collector.nested() == [thing, [notes[0], [reply], notes[1], thing.labels.get()]]


@in_transactions
def test_plan(types_everywhere):
    """plan_delete() counts what would go, and nothing goes."""
    thing = make(Thing.objects.create())
    plan = xdbrel.plan_delete(thing)
    assert plan.counts == {
        "default": {"notes.Thing": 1},
        "blog": {"notes.Note": 2, "notes.Reply": 1},
        "shop": {"notes.Label": 1},
    }
    assert left() == {"Note": 2, "Reply": 1, "Label": 1}


@in_transactions
def test_who_does_not_declare_it_is_not_followed(types_everywhere):
    make(stranger := Stranger.objects.create())
    stranger.delete()
    assert left() == {"Note": 2, "Reply": 1, "Label": 0}


@committed
def test_in_autocommit_all_is_gone_when_delete_returns():
    thing = make(Thing.objects.create())
    key = thing.pk
    make(Gadget.objects.create())
    _, counts = thing.delete()
    assert counts == {
        "notes.Thing": 1,
        "notes.Note": 2,
        "notes.Reply": 1,
        "notes.Label": 1,
    }
    assert left() == {"Note": 2, "Reply": 1, "Label": 0}
    intents = CascadeIntent.objects.using("default").order_by("relation")
    assert [(one.relation, one.keys, one.status) for one in intents] == [
        ("notes.Label.subject[notes.Thing]", [key], "applied"),
        ("notes.Note.about[notes.Thing]", [key], "applied"),
    ]


@committed
def test_a_rollback_leaves_everything():
    thing = make(Thing.objects.create())
    with pytest.raises(RuntimeError), transaction.atomic(using="default"):
        thing.delete()
        raise RuntimeError
    assert left() == {"Note": 2, "Reply": 1, "Label": 1}
    assert not CascadeIntent.objects.all()


@committed
def test_the_relay_finishes_what_could_not_be_applied():
    """With the notes' database away, the intent stays until a relay can apply it."""
    gadget = make(Gadget.objects.create())
    with crash_between_commits():
        gadget.delete()
    assert left() == {"Note": 2, "Reply": 1, "Label": 0}
    drain()
    assert left() == {"Note": 0, "Reply": 0, "Label": 0}


@committed
def test_further_on():
    """What is deleted by a cascade has notes that follow in turn, without instances."""
    essay = Essay.objects.create()
    make(essay)
    assert relations.get("notes.Label.subject[notes.Essay]").crosses
    Essay.objects.all().delete()
    assert left() == {"Note": 0, "Reply": 0, "Label": 0}


@committed
def test_a_content_type_that_goes_takes_its_notes_along():
    """As Django's own foreign key to it does."""
    make(Thing.objects.create())
    ContentType.objects.clear_cache()
    kind = ContentType.objects.get(app_label="notes", model="thing")
    kind.delete()
    ContentType.objects.clear_cache()
    assert left() == {"Note": 0, "Reply": 0, "Label": 0}


@in_transactions
@pytest.mark.parametrize("answer", ["no", "yes"])
def test_stale_content_types_say_what_would_go_with_them(answer, monkeypatch, capsys):
    """In every database, before anything is deleted."""
    thing = Thing.objects.create()
    gone = ContentType.objects.create(app_label="notes", model="gone")
    note = Note.objects.create(content_type=gone, object_id="1")
    Reply.objects.create(note=note)
    kept = Note.objects.create(about=thing)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    call_command("remove_stale_contenttypes", verbosity=2)
    said = capsys.readouterr().out
    assert "    - Content type for notes.gone\n" in said
    assert "    - 1 notes.Note object(s)\n" in said
    assert "    - 1 notes.Reply object(s)\n" in said
    left = [kept] if answer == "yes" else [note, kept]
    assert list(Note.objects.all()) == left
    assert Reply.objects.count() == len(left) - 1
    assert ContentType.objects.filter(pk=gone.pk).exists() is (answer == "no")
