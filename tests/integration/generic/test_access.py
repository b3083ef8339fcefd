"""Reading, assigning and copying both sides, wherever content types stand."""

import copy
import pickle
import uuid

import pytest
from asgiref.sync import async_to_sync
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connections, transaction
from django.db.models import Count, F, Q

from tests.apps.notes.models import (
    Essay,
    Gadget,
    Label,
    Note,
    SpecialThing,
    Stranger,
    Thing,
    ThingProxy,
)
from xdbrel import CrossDBGenericForeignKey, CrossDBGenericRelation

pytestmark = pytest.mark.django_db(databases="__all__")


def row(note):
    """Return what stands in the note's row."""
    return Note.objects.filter(pk=note.pk).values_list("content_type_id", "object_id").get()


@pytest.mark.parametrize("model", [Thing, Gadget, Essay, Stranger, SpecialThing])
def test_there_and_back(model, type_id):
    """The target's model decides the database, and the id is that beside the note."""
    target = model.objects.create()
    note = Note.objects.create(about=target)
    assert row(note) == (type_id(model), str(target.pk))
    found = Note.objects.get()
    assert found.about == target
    assert found.about._state.db == ("blog" if model is Essay else "default")
    assert type(found.about) is model


@pytest.mark.parametrize("model", [Thing, Gadget, Essay, SpecialThing, ThingProxy])
def test_fields_of_a_target(model):
    """What a model declares with its side of the relation is none of its fields to fill."""
    assert all(field.concrete for field in model._meta.fields)
    assert model.check() == []
    target = model.objects.create()
    target.clean_fields(exclude=["name", "title"])
    rows = model.objects.all()
    assert list(rows.raw(*rows.query.get_compiler(using=rows.db).as_sql())) == [target]


def test_another_object_of_the_same_id_in_another_database(types):
    """A key is looked for where its model lives, not beside the note."""
    thing, essay = Thing.objects.create(pk=7), Essay.objects.create(pk=7)
    first, second = Note.objects.create(about=thing), Note.objects.create(about=essay)
    assert [note.about for note in Note.objects.all()] == [thing, essay]
    assert list(thing.notes.all()) == [first]
    assert list(essay.notes.all()) == [second]


def test_assignment(types, type_id):
    """Assigning another object, or None, changes both columns and what is read."""
    thing, gadget = Thing.objects.create(), Gadget.objects.create()
    note = Note(about=thing)
    assert note.about is thing
    note.about = gadget
    assert (note.content_type_id, note.object_id) == (type_id(Gadget), gadget.pk)
    assert note.content_type.model == "gadget"
    note.save()
    assert row(note) == (type_id(Gadget), str(gadget.pk))
    note.about = None
    note.save()
    assert row(note) == (None, None)
    assert Note.objects.get().about is None


def test_what_is_held_is_not_believed_when_the_columns_change(types, type_id):
    thing, other, gadget = Thing.objects.create(), Thing.objects.create(), Gadget.objects.create()
    note = Note.objects.create(about=thing)
    note.object_id = other.pk
    assert note.about == other
    note.content_type_id, note.object_id = type_id(Gadget), str(gadget.pk)
    assert note.about == gadget
    note.content_type_id = None
    assert note.about is None


@pytest.mark.parametrize("key", ["4711", "no number", ""])
def test_a_dangling_key_reads_none_on_every_path(key, types, type_id):
    note = Note.objects.create(content_type_id=type_id(Thing), object_id=key)
    assert Note.objects.get().about is None
    (found,) = Note.objects.prefetch_related("about")
    assert found.about is None
    assert note.about is None


def test_a_content_type_without_a_model_reads_none(types):
    gone = ContentType.objects.using(types).create(app_label="notes", model="gone")
    Note.objects.create(content_type_id=gone.pk, object_id="1")
    assert Note.objects.get().about is None
    assert Note.objects.prefetch_related("about").get().about is None


def test_a_proxy_is_its_model(types, type_id):
    """With for_concrete_model, the default, a proxy's notes are those of its model."""
    proxy = ThingProxy.objects.create()
    note = proxy.notes.create(text="new")
    assert row(note) == (type_id(Thing), str(proxy.pk))
    assert list(Thing.objects.get().notes.all()) == [note]


def test_unsaved_targets_are_refused(types):
    note = Note(about=Thing())
    message = "save() prohibited to prevent data loss due to unsaved related object 'about'."
    with pytest.raises(ValueError) as caught:
        note.save()
    assert str(caught.value) == message


def test_saving_to_another_database_renames_the_content_type(types_everywhere):
    """An id is written as the database that it is written to knows it."""
    label = Label(subject=Thing.objects.create())
    before = label.kind_id
    label.pk = 1
    expected = ContentType.objects.using("blog").get(app_label="notes", model="thing").pk
    with pytest.raises(DatabaseError), transaction.atomic(using="blog"):
        label.save(using="blog")  # There is no such table, but that comes later.
    assert label.kind_id == expected != before
    label.save()
    assert label.kind_id == before
    assert label.subject == Thing.objects.get()


def test_copies_and_pickles(types):
    thing = Thing.objects.create(name="a")
    note = Note.objects.create(about=thing)
    for made in (copy.copy(note), copy.deepcopy(note), pickle.loads(pickle.dumps(note))):
        assert made.about == thing
    queryset = pickle.loads(pickle.dumps(thing.notes.all().query))
    again = Note.objects.all()
    again.query = queryset
    assert list(again) == [note]


def test_deconstruct():
    """Both fields give Django's arguments under the public path."""
    field = CrossDBGenericForeignKey("kind", "key", for_concrete_model=False)
    field.name = "subject"
    assert field.deconstruct() == (
        "subject",
        "xdbrel.CrossDBGenericForeignKey",
        [],
        {"ct_field": "kind", "fk_field": "key", "for_concrete_model": False},
    )
    relation = Thing._meta.get_field("labels")
    assert relation.deconstruct() == (
        "labels",
        "xdbrel.CrossDBGenericRelation",
        [],
        {
            "to": "notes.Label",
            "object_id_field": "key",
            "content_type_field": "kind",
            "related_query_name": "thing",
        },
    )
    assert isinstance(field.clone(), CrossDBGenericForeignKey)
    assert isinstance(relation.clone(), CrossDBGenericRelation)


def test_manager_writes(types, type_id):
    """create, add, set, remove and clear write where the notes live."""
    thing, other = Thing.objects.create(), Thing.objects.create()
    gadget = Gadget.objects.create()
    first = thing.notes.create(text="first")
    assert first._state.db == "blog"
    second = Note.objects.create(about=gadget)
    thing.notes.add(second)
    assert row(second) == (type_id(Thing), str(thing.pk))
    third = Note(text="third")
    thing.notes.add(third, bulk=False)
    assert set(thing.notes.all()) == {first, second, third}
    other.notes.set([third])
    assert set(thing.notes.all()) == {first, second}
    other.notes.set([], clear=True)
    assert not Note.objects.filter(pk=third.pk)
    thing.notes.remove(first)
    assert list(thing.notes.all()) == [second]
    found, created = thing.notes.get_or_create(text="fourth")
    assert created
    assert thing.notes.get_or_create(text="fourth") == (found, False)
    thing.notes.update_or_create(text="fourth", defaults={"text": "fifth"})
    assert thing.notes.filter(text="fifth").count() == 1
    assert gadget.notes.count() == 0
    thing.notes.clear()
    assert not Note.objects.all()


def test_manager_writes_from_asynchronous_code(types, type_id):
    thing = Thing.objects.create()

    async def write():
        first = await thing.notes.acreate(text="first")
        second = await Note.objects.acreate(text="second")
        await thing.notes.aadd(second)
        third, _ = await thing.notes.aget_or_create(text="third")
        await thing.notes.aupdate_or_create(text="third", defaults={"text": "3"})
        await thing.notes.aremove(third)
        found = [note async for note in thing.notes.all()]
        await thing.notes.aset([second])
        left = [note async for note in thing.notes.all()]
        await thing.notes.aclear()
        return first, second, found, left

    first, second, found, left = async_to_sync(write)()
    assert (found, left) == ([first, second], [second])
    assert not Note.objects.all()


def test_bulk_create_and_update(types, type_id):
    things = [Thing.objects.create() for _ in range(3)]
    notes = Note.objects.bulk_create(Note(about=thing) for thing in things)
    gadget = Gadget.objects.create()
    for note in notes:
        note.about = gadget
    Note.objects.bulk_update(notes, ["content_type", "object_id"])
    assert {row(note) for note in notes} == {(type_id(Gadget), str(gadget.pk))}
    assert gadget.notes.count() == 3


@pytest.fixture
def labels_in_blog(types_everywhere):
    """A table of labels beside the notes as well."""
    with connections["blog"].schema_editor() as editor:
        editor.create_model(Label)
    yield
    with connections["blog"].schema_editor() as editor:
        editor.delete_model(Label)


@pytest.mark.django_db(databases="__all__", transaction=True)
@pytest.mark.parametrize("many", [True, False], ids=["bulk_create", "save"])
def test_a_database_that_is_named_gets_its_own_ids(many, labels_in_blog):
    """Content types are found anew by what they mean; without one, an id is as it was meant."""
    thing, essay = Thing.objects.create(), Essay.objects.create()
    known = Label.objects.create(pk=50, subject=essay, word="known")
    expected = {
        alias: {
            model: ContentType.objects.using(alias).get(app_label="notes", model=model).pk
            for model in ("thing", "essay")
        }
        for alias in ("blog", "shop")
    }
    assert expected["blog"]["thing"] != expected["shop"]["thing"]
    labels = [
        Label(subject=thing, word="new"),
        Label.objects.get(pk=known.pk),
        Label(kind_id=expected["blog"]["thing"], key=thing.pk, word="meant"),
    ]
    if many:
        Label.objects.using("blog").bulk_create(labels)
    else:
        for label in labels:
            label.save(using="blog")
    written = Label.objects.using("blog").values_list("word", "kind_id")
    assert dict(written) == {
        "new": expected["blog"]["thing"],
        "known": expected["blog"]["essay"],
        "meant": expected["blog"]["thing"],
    }
    assert [label.subject for label in labels] == [thing, essay, thing]
    there = {label.word: label.subject for label in Label.objects.using("blog")}
    assert there == {"new": thing, "known": essay, "meant": thing}
    assert Label.objects.get() == known


def test_filters_by_the_other_end(types):
    """related_query_name leads from note to thing, objects and keys alike."""
    thing, other = Thing.objects.create(pk=3, name="a"), Thing.objects.create(pk=4, name="b")
    Essay.objects.create(pk=3).notes.create()
    labels = {one: one.labels.create() for one in (thing, other)}
    assert list(Label.objects.filter(thing=thing)) == [labels[thing]]
    assert list(Label.objects.filter(thing__in=[thing, 4])) == list(labels.values())
    assert list(Label.objects.filter(thing__name="b")) == [labels[other]]
    assert list(Label.objects.exclude(thing__name="b")) == [labels[thing]]


def test_queries_that_span(types):
    """Things by their labels, whose content type counts as well."""
    thing, other = Thing.objects.create(pk=3), Thing.objects.create(pk=4)
    essay = Essay.objects.create(pk=4)
    thing.labels.create(word="x")
    thing.labels.create(word="y")
    essay.labels.create(word="x")
    assert list(Thing.objects.filter(labels__word="x")) == [thing]
    assert list(Thing.objects.exclude(labels__word="x")) == [other]
    assert list(Thing.objects.filter(labels__isnull=True)) == [other]
    assert list(Thing.objects.filter(~Q(labels__word="z")).order_by("pk")) == [thing, other]
    counted = Thing.objects.annotate(n=Count("labels")).order_by("pk").values_list("pk", "n")
    assert list(counted) == [(3, 2), (4, 0)]
    assert thing.labels.aggregate(n=Count("pk")) == {"n": 2}


def test_only_rows_of_the_right_kind_are_brought(types):
    """The content type is asked for where the labels are."""
    thing = Thing.objects.create(pk=4)
    thing.labels.create(word="x")
    Essay.objects.create(pk=4).labels.create(word="x")
    queryset = Thing.objects.filter(labels__word="x").annotate(word=F("labels__word"))
    assert [found.word for found in queryset] == ["x"]
    plan = queryset.explain_cross_db()
    (shipped,) = [step.sql for step in plan.steps if step.strategy == "ship"]
    assert "kind_id" in shipped.partition("WHERE")[2]


def test_filters_by_an_uuid(types):
    """Keys are compared as what the target's primary key is, not the note's."""
    gadget = Gadget.objects.create(id=uuid.UUID(int=5))
    note = gadget.notes.create()
    assert list(gadget.notes.all()) == [note]
    assert list(gadget.notes.filter(text="")) == [note]
