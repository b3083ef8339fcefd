"""Scans and repairs of generic keys, for each target model by itself."""

import uuid

import pytest
from django.core.management import call_command

from tests.apps.notes.models import Essay, Gadget, Label, Note, Stranger, Thing
from xdbrel import relations
from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity.confirm import confirm
from xdbrel.integrity.repair import repair
from xdbrel.integrity.restore import restore
from xdbrel.integrity.sample import sample
from xdbrel.integrity.scan import AUTO, scan
from xdbrel.integrity.scanning import incremental
from xdbrel.integrity.scanning.findings import latest
from xdbrel.integrity.undeclared import undeclared
from xdbrel.models import Orphan

pytestmark = pytest.mark.django_db(databases="__all__")

THINGS = "notes.Note.about[notes.Thing]"
GADGETS = "notes.Note.about[notes.Gadget]"
LABELS = "notes.Label.subject[notes.Thing]"


def found(handle, **options):
    """Scan and return the findings: sources by key."""
    result = scan(relations.get(handle), fresh=True, **options)
    rows = Orphan.objects.filter(run_id=result.run_id).values_list("key", "sources")
    return dict(rows)


@pytest.fixture
def rows(types_everywhere):
    """What ``make_rows()`` makes, where content types stand everywhere."""
    make_rows()


def make_rows():
    """Make notes and labels of living targets, of dead ones, and of others with their keys."""
    things = [Thing.objects.create(pk=n) for n in (1, 2, 5)]
    gadget = Gadget.objects.create(id=uuid.UUID(int=1))
    for target in (*things, gadget, Essay.objects.create(pk=1)):
        Note.objects.create(about=target)
    for key in (3, 4, 4):
        Note.objects.create(about=Thing(pk=key))
        Label.objects.create(subject=Thing(pk=key))
        Label.objects.create(subject=Essay(pk=1))
    Label.objects.create(subject=things[0])
    Note.objects.create(about=Gadget(id=uuid.UUID(int=2)))
    Note.objects.create(about=Stranger.objects.create(pk=3))
    Note.objects.create(about=Stranger(pk=9))
    Note.objects.create()


def test_what_dangles_is_found_by_target_model(types):
    """The same key may be there in one model and dangle in another."""
    make_rows()
    assert found(THINGS) == {3: 1, 4: 2}
    assert found(GADGETS, mode=AUTO) == {str(uuid.UUID(int=2)): 1}
    assert found(LABELS) == {3: 1, 4: 2}
    assert found("notes.Note.about[notes.Essay]") == {}


@pytest.mark.parametrize("strategy", ["push", "gaps", "bitmap", "merge"])
def test_each_strategy(strategy, rows):
    assert found(LABELS, strategy=strategy) == {3: 1, 4: 2}


def test_a_text_that_no_target_can_have_is_found(rows):
    kind = Note.about.field.get_content_type
    for key in ("none", "4711x", "05"):
        Note.objects.create(content_type=kind(model=Thing), object_id=key)
        Note.objects.create(content_type=kind(model=Gadget), object_id=key)
    assert found(THINGS) == {3: 1, 4: 2, "none": 1, "4711x": 1}
    assert set(found(GADGETS)) == {str(uuid.UUID(int=2)), "none", "4711x", "05"}
    result = repair(relations.get(GADGETS), "delete")
    assert result.rows == 4
    assert not found(GADGETS)


def test_incremental(monkeypatch):
    """What was found before is looked at again, and what is new."""
    monkeypatch.setattr(incremental, "_oldest", lambda using: 0.0)
    make_rows()
    handle = relations.get(THINGS)
    scan(handle)
    Note.objects.create(about=Thing(pk=77))
    Thing.objects.create(pk=3)
    result = scan(handle, mode="incremental")
    assert result.mode == "incremental"
    assert result.orphans == 3
    assert tuple(
        Orphan.objects.filter(run_id=result.run_id).order_by("key").values_list("key", flat=True)
    ) == (4, 77)


def test_undeclared_targets(rows):
    """A model that does not know of its notes is scanned since rows name it."""
    assert [relation.handle for relation in undeclared()] == ["notes.Note.about[notes.Stranger]"]
    assert found("notes.Note.about[notes.Stranger]") == {9: 1}


def test_the_command_scans_them_as_well(rows, capsys, monkeypatch):
    # Those of all the other models would take their time.
    monkeypatch.setattr("xdbrel.management.commands.xdbrel_scan.all_relations", list)
    call_command("xdbrel_scan", "--format=json")
    assert '"relation": "notes.Note.about[notes.Stranger]"' in capsys.readouterr().out


@pytest.mark.parametrize("policy", ["delete", "quarantine"])
def test_repair(policy, rows):
    """Only the rows that name this model go; what is quarantined comes back."""
    before = Note.objects.count()
    scan(relations.get(THINGS))
    result = repair(relations.get(THINGS), policy)
    assert (result.keys, result.rows) == (2, 3)
    assert Note.objects.count() == before - 3
    assert not found(THINGS)
    if policy == "quarantine":
        Thing.objects.create(pk=3)
        Thing.objects.create(pk=4)
        restore(relations.get(THINGS))
        assert Note.objects.count() == before
        assert Thing.objects.get(pk=4).notes.count() == 2


def test_repair_by_other_keys(rows):
    scan(relations.get(THINGS))
    result = repair(relations.get(THINGS), "repoint", mapping={"3": 1, 4: "2"})
    assert result.rows == 3
    assert Thing.objects.get(pk=1).notes.count() == 2
    assert Thing.objects.get(pk=2).notes.count() == 3
    Note.objects.filter(object_id="5").update(object_id="8")
    scan(relations.get(THINGS))
    repair(relations.get(THINGS), "set_null")
    assert Note.objects.filter(object_id=None).count() == 2


def test_sample(rows):
    """An estimate is of the rows that name this model."""
    estimate = sample(relations.get(LABELS), 100)
    assert (estimate.sampled, estimate.orphaned) == (4, 3)


def test_second_look(rows):
    scan(relations.get(THINGS))
    Thing.objects.create(pk=4)
    result = confirm(latest(THINGS))
    assert (result.healed, result.distinct_keys, result.orphans) == (1, 1, 1)


def test_handles():
    """A handle may be of any model that is installed, and of no other."""
    assert relations.get("notes.note.about[notes.Stranger]").policy == "DO_NOTHING"
    for handle in ("notes.Note.about[notes.None]", "notes.Note.text[notes.Thing]", "Note[x]"):
        with pytest.raises(UnknownRelation) as caught:
            relations.get(handle)
        assert str(caught.value).startswith(f"There is no cross-database relation {handle!r}.")
