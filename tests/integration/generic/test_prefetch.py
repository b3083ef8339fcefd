"""Prefetching both sides: a batch for each target model and database."""

import pytest
from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.db.models import Prefetch

from tests.apps.notes.models import Essay, Gadget, Label, Note, Stranger, Thing
from tests.apps.wagons.models import Depot
from xdbrel import prefetch_cross_db
from xdbrel.compat import HAS_FETCH_MODES
from xdbrel.testing import assert_queries

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def targets(types):
    made = [Thing.objects.create(name=f"{n}") for n in range(3)]
    made += [Gadget.objects.create(), Essay.objects.create(), Stranger.objects.create()]
    for target in made:
        Note.objects.create(about=target)
        Note.objects.create(about=target)
    Note.objects.create()
    return [target for target in made for _ in range(2)] + [None]


@pytest.mark.parametrize("prefetched", [Note.objects.prefetch_related, "cross_db"])
def test_targets_of_several_models(prefetched, targets):
    """One query for each model in its own database."""
    if prefetched == "cross_db":
        queryset = prefetch_cross_db(Note.objects.all(), "about")
    else:
        queryset = prefetched("about")
    list(Note.objects.all()[0].about.notes.all())
    with assert_queries(default=3, blog=2):
        assert [note.about for note in queryset] == targets


def test_generic_prefetch(targets):
    """Querysets given for some models, each with lookups of its own."""
    given = [
        Thing.objects.filter(name="1").prefetch_related("notes"),
        Gadget.objects.only("id"),
    ]
    found = list(Note.objects.prefetch_related(GenericPrefetch("about", given)))
    for note, target in zip(found, targets, strict=True):
        expected = None if isinstance(target, Thing) and target.name != "1" else target
        assert note.about == expected
    with assert_queries(default=0, blog=0):
        assert len(found[2].about.notes.all()) == 2


@pytest.mark.parametrize("given", [None, "named", "unnamed"])
def test_the_database_of_the_call(given):
    """It counts for the targets that may live there, and not for a queryset with its own."""
    depot, thing = Depot.objects.create(code="old"), Thing.objects.create(name="here")
    Depot(pk=depot.pk, code="new").save(using="blog", force_insert=True)
    notes = [Note.objects.create(about=target) for target in (depot, thing)]
    lookup = "about"
    if given is not None:
        chosen = Depot.objects.using("default") if given == "named" else Depot.objects.all()
        lookup = GenericPrefetch("about", [chosen, Thing.objects.all()])
    with assert_queries(default=2 if given == "named" else 1, blog=1 if given == "named" else 2):
        found = prefetch_cross_db(
            Note.objects.filter(pk__in=[note.pk for note in notes]), lookup, using="blog"
        )
        first, second = (note.about for note in found)
    assert (first, first.code) == (depot, "old" if given == "named" else "new")
    assert (second, second.name) == (thing, "here")


def test_two_querysets_for_one_model(targets):
    lookup = GenericPrefetch("about", [Thing.objects.all(), Thing.objects.all()])
    message = "Only one queryset is allowed for each content type."
    with pytest.raises(ValueError) as caught:
        list(Note.objects.prefetch_related(lookup))
    assert str(caught.value) == message


def test_notes_of_several_databases(types_everywhere):
    """The same id means different models, by the database of the instance that has it."""
    thing, essay = Thing.objects.create(pk=1), Essay.objects.create(pk=1)
    note, label = Note.objects.create(about=thing), Label.objects.create(subject=essay)
    assert prefetch_cross_db([note], "about")[0].about == thing
    assert prefetch_cross_db([label], "subject")[0].subject == essay


@pytest.mark.parametrize("how", ["django", "cross_db", "given", "to_attr"])
def test_the_other_side(how, targets):
    """The notes of all things in one query, which know their thing."""
    queryset = Thing.objects.order_by("pk")
    lookup = {
        "given": Prefetch("notes", Note.objects.filter(text="")),
        "to_attr": Prefetch("notes", Note.objects.all(), to_attr="mine"),
    }.get(how, "notes")
    if how == "cross_db":
        queryset = prefetch_cross_db(queryset, lookup)
    else:
        queryset = queryset.prefetch_related(lookup)
    with assert_queries(default=1, blog=1):
        found = list(queryset)
        notes = [list(thing.mine if how == "to_attr" else thing.notes.all()) for thing in found]
        assert [len(mine) for mine in notes] == [2, 2, 2]
        assert all(
            note.about is thing for thing, mine in zip(found, notes, strict=True) for note in mine
        )


def test_writing_forgets_what_was_prefetched(targets):
    thing = Thing.objects.prefetch_related("notes").first()
    assert len(thing.notes.all()) == 2
    thing.notes.create()
    assert len(thing.notes.all()) == 3


if HAS_FETCH_MODES:
    from django.core.exceptions import FieldFetchBlocked
    from django.db.models import FETCH_PEERS, FETCH_RAISE

    def test_peers_are_fetched_together(targets):
        """What one note is asked for is fetched for all that came with it."""
        found = list(Note.objects.fetch_mode(FETCH_PEERS))
        with assert_queries(default=3, blog=1):
            assert [note.about for note in found] == targets
        assert found[0].about._state.fetch_mode is FETCH_PEERS

    def test_fetching_may_be_forbidden(targets):
        note = Note.objects.fetch_mode(FETCH_RAISE).first()
        with pytest.raises(FieldFetchBlocked) as caught:
            note.about
        assert str(caught.value) == "Fetching of Note.about blocked."
