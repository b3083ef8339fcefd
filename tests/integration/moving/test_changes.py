"""Rows that are written to while they are moved, at either end."""

import copy

import pytest
from django.db import connections
from django.test import override_settings

import xdbrel
from tests import settings
from tests.apps.people.models import Person
from tests.apps.wagons.models import Depot, Ride, Scrap, Seal, Tag, Wagon
from xdbrel.cascade.triggers.install import install
from xdbrel.models import CascadeIntent, MoveRun
from xdbrel.moving.abandon import abandon
from xdbrel.moving.exceptions import (
    BothChanged,
    EndEmptied,
    MoveUnderWay,
    MoveUnfinished,
    NotVerified,
    RowsCollide,
    StillPointedAt,
    StillWritten,
    WriteFailed,
)

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

HOME, OTHER = Depot.objects.using("default"), Depot.objects.using("blog")


def switched():
    """The routers send everything to the destination."""
    changed = copy.deepcopy(settings.XDBREL)
    changed["HOMES"]["wagons"] = "blog"
    changed["MOVING"]["wagons"] = "default"
    return override_settings(XDBREL=changed)


def depots(*codes):
    return [Depot.objects.using("default").create(code=code) for code in codes]


def codes(rows):
    return sorted(rows.values_list("code", flat=True))


def keep(**kwargs):
    return xdbrel.move(Depot, to="blog", using="default", keep_source=True, **kwargs)


def finish(**kwargs):
    return xdbrel.move(Depot, to="blog", using="default", **kwargs)


def while_it(step, act, times=1):
    """Do something as a step of a move begins, so many times."""
    done = []

    def on_progress(progress):
        if progress.step == step and len(done) < times:
            done.append(1)
            act(len(done))

    return on_progress


def test_both_ends_stand():
    """What changes at the source is carried over with each call."""
    one, two, _ = depots("1", "2", "3")
    result = keep()
    assert (result.status, result.copied, codes(OTHER)) == ("kept", 3, ["1", "2", "3"])
    assert "without --keep-source" in result.notes[0]
    HOME.filter(pk=one.pk).update(code="1b")
    HOME.filter(pk=two.pk).delete()
    depots("4")
    result = keep()
    assert codes(OTHER) == codes(HOME) == ["1b", "3", "4"]
    assert (result.copied, result.carried) == (1, 2)
    result = finish()
    assert (codes(OTHER), codes(HOME)) == (["1b", "3", "4"], [])
    assert result.resumed == 2


def test_after_the_switch():
    """Once the routers name the destination, its changes count, and stragglers' are kept."""
    one, two, three, four = depots("1", "2", "3", "4")
    keep(headroom=100)
    with switched():
        Depot.objects.filter(pk=one.pk).update(code="1 at the destination")
        Depot.objects.filter(pk=two.pk).delete()
        new = Depot.objects.create(code="new")
        assert new.pk > four.pk + 100
        # Processes that have not been restarted yet.
        HOME.filter(pk=three.pk).update(code="3 at the source")
        depots("late")
        result = finish()
        assert codes(OTHER) == ["1 at the destination", "3 at the source", "4", "late", "new"]
        assert result.notes == []
    assert codes(HOME) == []


def test_the_way_back():
    """While both ends stand, the source is given what the destination was."""
    one, two, _ = depots("1", "2", "3")
    keep(headroom=10)
    with switched():
        Depot.objects.filter(pk=one.pk).update(code="1b")
        Depot.objects.filter(pk=two.pk).delete()
        Depot.objects.create(code="new")
        for _ in range(2):
            keep()
            assert codes(HOME) == codes(OTHER) == ["1b", "3", "new"]
        Depot.objects.filter(code="new").update(code="newer")
        keep()
    assert codes(HOME) == ["1b", "3", "newer"]
    result = abandon(Depot, dry_run=True)
    assert (result.status, result.counts, OTHER.count()) == ("kept", {"wagons.Depot": 3}, 3)
    assert abandon(Depot).status == "abandoned"
    assert (OTHER.count(), codes(HOME)) == (0, ["1b", "3", "newer"])
    assert finish().status == "complete"


def test_abandoning_refuses():
    """Copies that are somebody's rows by now are not taken back."""
    depots("1")
    keep()
    with switched(), pytest.raises(ValueError, match="the routers send reads and writes"):
        abandon(Depot, using="default")
    OTHER.update(code="changed")
    with pytest.raises(ValueError, match=r"the copy of [0-9]+ in 'blog' was changed since"):
        abandon(Depot)
    with pytest.raises(LookupError, match="no unfinished move stands in database 'default'"):
        abandon(Tag)


def test_changed_at_both_ends():
    """Nobody is overwritten where both ends have changed."""
    (one,) = depots("1")
    keep()
    with switched():
        HOME.update(code="here")
        OTHER.update(code="there")
        for call in (keep, finish):
            with pytest.raises(BothChanged) as caught:
                call()
            assert str(caught.value) == (
                f"wagons.Depot: key {one.pk} were changed in 'default' and, otherwise, in "
                f"'blog' since they were copied; both are kept. Make both rows the same, and "
                f"run the move again."
            )
        OTHER.update(code="here")
        finish()
    assert codes(OTHER) == ["here"]


def test_written_before_the_switch():
    """A row that is written at the destination before anybody should is not overwritten."""
    depots("1")
    keep()
    OTHER.update(code="there")
    with pytest.raises(BothChanged):
        finish()
    assert (codes(HOME), codes(OTHER)) == (["1"], ["there"])


def test_an_end_that_was_emptied():
    """A table that is empty all of a sudden is not taken for one whose rows were deleted."""
    depots("1", "2")
    keep()
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM wagons_depot")
    with pytest.raises(EndEmptied, match="its table in database 'default' is empty"):
        keep()
    assert OTHER.count() == 2


def test_a_destination_that_was_emptied():
    """Before the switch it is filled again, after it nothing more is removed."""
    depots("1", "2")
    keep()
    with connections["blog"].cursor() as cursor:
        cursor.execute("DELETE FROM wagons_depot")
    with switched(), pytest.raises(EndEmptied, match="its table in database 'blog' is empty"):
        finish()
    assert HOME.count() == 2
    keep()
    assert codes(OTHER) == ["1", "2"]


def test_changed_while_it_is_removed():
    """A row that changes between copy and removal is copied again, a new one as well."""
    depots("1", "2", "3")

    def change(number):
        HOME.filter(code="1").update(code="1b")
        HOME.filter(code="2").delete()
        depots("4")

    result = finish(on_progress=while_it("verify", change), batch_size=2)
    assert codes(OTHER) == ["1b", "3", "4"]
    assert codes(HOME) == []
    assert result.status == "complete"


def test_written_again_after_it_was_removed():
    """Who saves a row that has just left inserts it; that is the row then."""
    (one,) = depots("1")

    def save(number):
        one.code = "saved"
        one.save(using="default")

    finish(on_progress=while_it("remove", save))
    assert (codes(OTHER), codes(HOME)) == (["saved"], [])


def test_written_all_the_time():
    """A source that fills faster than it empties ends the call, and nothing is lost."""
    depots("0")
    counted = iter(range(1, 100))

    def write(number):
        depots(str(next(counted)))

    with pytest.raises(StillWritten, match="are still being written"):
        finish(on_progress=while_it("remove", write, times=99))
    assert len({*codes(OTHER), *codes(HOME)}) == next(counted)
    assert finish().status == "complete"


def test_new_dependants_of_what_goes():
    """A row that comes to point at one that goes keeps it where it is."""
    wagon = Wagon.objects.create(number="1")
    act = while_it("verify", lambda number: Scrap.objects.create(wagon=wagon))
    with pytest.raises(StillPointedAt, match=r"are still pointed at by wagons\.Scrap\.wagon"):
        xdbrel.move(Wagon, to="blog", on_progress=act)
    assert Wagon.objects.using("default").get() == Wagon.objects.using("blog").get()
    Scrap.objects.all().delete()
    Seal.objects.create(wagon=wagon)
    with pytest.raises(ValueError, match=r"wagons\.Seal\.wagon points at them"):
        xdbrel.move(Wagon, to="blog")
    Seal.objects.all().delete()
    assert xdbrel.move(Wagon, to="blog").status == "complete"


def test_what_does_not_arrive_whole():
    """A destination that keeps other values is found out, and the source is kept."""
    depots("1", "2")
    spoil = while_it("copy", lambda number: OTHER.filter(code="2").update(code="cut"))
    with pytest.raises(NotVerified, match="are not as they were at the other end"):
        finish(on_progress=spoil)
    assert codes(HOME) == ["1", "2"]
    OTHER.filter(code="cut").update(code="2")
    assert finish().status == "complete"


def test_a_collision_that_comes_meanwhile():
    """A row that is written to the destination after the look is not overwritten."""
    Tag.objects.create(name="1")
    two = Tag.objects.create(name="2")
    there = Tag.objects.using("blog")
    act = while_it("copy", lambda number: there.create(pk=two.pk, name="other"))
    with pytest.raises(RowsCollide, match="their batch was not written"):
        xdbrel.move(Tag, to="blog", batch_size=1, on_progress=act)
    assert sorted(there.values_list("name", flat=True)) == ["1", "other"]
    there.filter(name="other").delete()
    assert xdbrel.move(Tag, to="blog").counts == {"wagons.Tag": 2, "wagons.Wagon_tags": 0}


def test_a_database_that_refuses():
    """What a database says names the table, and the move goes on once it is content."""
    with connections["blog"].cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX wagons_once ON wagons_tag (name)")
    try:
        Tag.objects.create(name="x")
        Tag.objects.create(name="x")
        with pytest.raises(WriteFailed, match=r"wagons\.Tag: database 'blog' refused rows"):
            xdbrel.move(Tag, to="blog")
        assert Tag.objects.count() == 2
        assert not Tag.objects.using("blog").exists()
    finally:
        with connections["blog"].cursor() as cursor:
            on = " ON wagons_tag" if connections["blog"].vendor == "mysql" else ""
            cursor.execute(f"DROP INDEX wagons_once{on}")
    assert xdbrel.move(Tag, to="blog").rows == 2


def test_one_at_a_time():
    """A move that somebody is at, or another choice of rows, refuses."""
    depots("1", "2")
    keep()
    other = "is not finished. Go on with it"
    with pytest.raises(MoveUnfinished, match=other):
        xdbrel.move(Depot.objects.filter(code="1"), to="blog")
    with pytest.raises(MoveUnfinished, match=other):
        xdbrel.move([Tag, Depot], to="blog")
    run = MoveRun.objects.get()
    MoveRun.objects.update(claimed_by="elsewhere:1:abc", until="2999-01-01T00:00Z")
    with pytest.raises(MoveUnderWay, match="is being moved by process 1 on elsewhere"):
        finish()
    MoveRun.objects.update(until="2000-01-01T00:00Z")
    assert finish().run_id == run.pk


@pytest.mark.parametrize("capture", ["orm", "triggers"])
def test_nothing_follows(capture):
    """Rows that go elsewhere are not deleted: no source follows, by the ORM or by triggers."""
    with override_settings(XDBREL={**settings.XDBREL, "CAPTURE": capture}):
        for alias in ("default", "blog", "shop"):
            install(alias)
        try:
            wagon = Wagon.objects.create(number="1", owner=Person.objects.create(name="p"))
            ride = Ride.objects.create(wagon=wagon)
            xdbrel.move(Wagon, to="blog")
        finally:
            with override_settings(XDBREL={**settings.XDBREL, "CAPTURE": "orm"}):
                for alias in ("default", "blog", "shop"):
                    install(alias)
    assert Ride.objects.get() == ride
    for alias in ("default", "blog", "shop"):
        assert not CascadeIntent.objects.using(alias).exists()


def test_a_row_and_what_hangs_on_it_come_meanwhile():
    """A row that points at one written after its table was copied has it copied first."""
    Wagon.objects.create(number="1")
    first = Seal.objects.create(wagon=Wagon.objects.create(number="2"))

    def write(number):
        Seal.objects.create(wagon=Wagon.objects.create(number=f"new{number}"))

    act = while_it("copy", write, times=3)
    xdbrel.move(Wagon, to="blog", along=[Seal], batch_size=1, on_progress=act)
    assert Wagon.objects.using("blog").count() == 5
    assert Seal.objects.using("blog").count() == 4
    assert first.pk in Seal.objects.using("blog").values_list("pk", flat=True)
    assert not Seal.objects.using("default").exists()


def test_dependants_that_come_while_rows_go():
    """A row that comes to point at one that is about to go is moved as well."""
    wagon = Wagon.objects.create(number="1")
    Seal.objects.create(wagon=wagon)
    act = while_it("remove", lambda number: Seal.objects.create(wagon=wagon))
    xdbrel.move(Wagon, to="blog", along=[Seal], on_progress=act)
    assert Seal.objects.using("blog").filter(wagon=wagon.pk).count() == 2
    assert not Wagon.objects.using("default").exists()
