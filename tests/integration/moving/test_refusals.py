"""What refuses, before anything is written."""

import pytest
from django.db import connections, transaction

import xdbrel
from tests.apps.wagons.models import (
    Depot,
    Label,
    Parcel,
    Ride,
    Scrap,
    Seal,
    Slot,
    Tag,
    Ticket,
    Wagon,
)
from xdbrel.models import MoveRun, ScanRun
from xdbrel.moving.exceptions import CannotMove, RowsCollide

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def refused(*args, error=CannotMove, **kwargs):
    """The message of a move that refuses, after which nothing is there."""
    with pytest.raises(error) as caught:
        xdbrel.move(*args, **{"to": "blog", **kwargs})
    assert not MoveRun.objects.filter(status__in=["copying", "kept", "removing"]).exists()
    return str(caught.value)


def test_dependants_that_stay():
    """A row that stays may not point at one that goes by a plain relation."""
    wagon = Wagon.objects.create(number="1")
    Seal.objects.create(wagon=wagon)
    assert refused(Wagon) == (
        "wagons.Wagon: rows cannot be moved from 'default' to 'blog', since "
        "wagons.Seal.wagon points at them, and rows of wagons.Seal stay in 'default'; nothing "
        "was written. Let these go along (along=['wagons.Seal'], --along wagons.Seal), or make "
        "the field a CrossDBForeignKey, which may point at another database."
    )
    assert not Wagon.objects.using("blog").exists()


def test_dependants_that_nobody_watches():
    """It is the relation that counts, not the constraint."""
    Scrap.objects.create(wagon=Wagon.objects.create(number="1"))
    assert "wagons.Scrap.wagon points at them" in refused(Wagon)


def test_crossing_relations_stay():
    """What may point at another database is left as it is, and named."""
    wagon = Wagon.objects.create(number="1")
    Ride.objects.create(wagon=wagon)
    result = xdbrel.move(Wagon, to="blog")
    assert result.left_crossing == ["wagons.Ride.wagon"]
    assert Ride.objects.get().wagon_id == wagon.pk
    assert result.notes == [
        "The routers still send wagons.Wagon to 'default', where these rows are no more: let "
        "them send it to 'blog'."
    ]


def test_targets_that_stay():
    """A row that goes may not point at one that stays, but for one that is there as well."""
    depot = Depot.objects.create(code="1")
    Wagon.objects.create(number="1", depot=depot)
    message = refused(Wagon)
    assert (
        f"wagons.Wagon.depot points at wagons.Depot {depot.pk}, which neither go along nor are "
        f"the same rows in 'blog'" in message
    )
    assert message.endswith("Move wagons.Depot as well, or make the field a CrossDBForeignKey.")
    Depot.objects.using("blog").create(pk=depot.pk, code="another")
    assert "nor are the same rows" in refused(Wagon)
    Depot.objects.using("blog").update(code="1")
    assert xdbrel.move(Wagon, to="blog").counts["wagons.Wagon"] == 1


def test_self_reference_torn_apart():
    """Part of a tree goes only with what it hangs on, and what hangs on it."""
    root = Depot.objects.create(code="root")
    leaf = Depot.objects.create(code="leaf", parent=root)
    assert "wagons.Depot.parent points at wagons.Depot" in refused(
        Depot.objects.filter(pk=leaf.pk)
    )
    assert "wagons.Depot.parent points at them" in refused(Depot.objects.filter(pk=root.pk))


def test_many_to_many_torn_apart():
    """The table in between goes along, so that the other side has to go or be there."""
    Wagon.objects.create(number="1").tags.add(Tag.objects.create(name="t"))
    assert "wagons.Wagon_tags.tag points at wagons.Tag" in refused(Wagon)
    assert xdbrel.move([Wagon, Tag], to="blog").counts["wagons.Wagon_tags"] == 1


def test_generic_relations():
    """Generic relations are not torn apart, and content types are those of the other side."""
    wagon = Wagon.objects.create(number="1")
    Label.objects.create(on=wagon, text="x")
    assert refused(Wagon).partition("since ")[2] == (
        "wagons.Label.on points at them generically, and rows of wagons.Label stay in "
        "'default'; nothing was written. Let these go along (along=['wagons.Label'], --along "
        "wagons.Label), or delete them."
    )
    assert "points generically at rows that stay" in refused(Label)


def test_database_ends():
    """Aliases that are not there, or are the same, or hold no record."""
    assert "there is no database 'nowhere'" in refused(Depot, to="nowhere")
    assert "both are the same database" in refused(Depot, to="default")
    assert "xdbrel's own rows" in refused(ScanRun)
    with transaction.atomic(using="blog"):
        assert "a transaction is open on 'blog'" in refused(Depot)


def test_tables():
    """A table that is not there, and columns that would be left out."""
    assert "has no table 'wagons_parcel'. " not in refused(Parcel)
    with connections["default"].cursor() as cursor:
        cursor.execute("ALTER TABLE wagons_slot ADD COLUMN extra integer")
    try:
        assert "has columns that the model does not know: extra" in refused(Slot)
    finally:
        with connections["default"].cursor() as cursor:
            cursor.execute("ALTER TABLE wagons_slot DROP COLUMN extra")


def test_unmanaged():
    """A table that Django does not manage is moved where it stands at both ends."""
    for alias in ("default", "blog"):
        with connections[alias].cursor() as cursor:
            cursor.execute("CREATE TABLE wagons_parcel (id bigint PRIMARY KEY, name varchar(20))")
    try:
        Parcel.objects.using("default").create(id=3, name="p")
        assert xdbrel.move(Parcel, to="blog").rows == 1
        assert Parcel.objects.using("blog").get().name == "p"
    finally:
        for alias in ("default", "blog"):
            with connections[alias].cursor() as cursor:
                cursor.execute("DROP TABLE wagons_parcel")


def test_sliced():
    """A choice that cannot be made twice is none."""
    assert "sliced or combined" in refused(Depot.objects.all()[:3])


def test_nothing_points():
    """What is named to go along has to hang on something that goes."""
    message = refused(Depot, along=[Ticket])
    assert "wagons.Ticket is to go along and nothing of it points at what goes" in message


def test_same_primary_key():
    """A key that is taken at the destination refuses, and nothing is overwritten."""
    for number in range(1, 15):
        Depot.objects.create(pk=number, code=f"d{number}")
    Depot.objects.using("blog").create(pk=5, code="other")
    assert refused(Depot, error=RowsCollide) == (
        "wagons.Depot: rows of key 5 have the same primary key in 'blog'. These rows are in "
        "the way in 'blog'; nothing was written. Delete or change those rows at one of the two "
        "ends, or let the moved ones get new keys: renumber=True (--renumber)."
    )
    assert Depot.objects.using("blog").get().code == "other"
    result = xdbrel.move(Depot, to="blog", dry_run=True)
    assert [str(one) for one in result.collisions] == [
        "wagons.Depot: rows of key 5 have the same primary key in 'blog'"
    ]
    assert (result.status, result.clean, result.rows) == ("planned", False, 14)


def test_same_unique_values():
    """So does anything else that is unique there."""
    Depot.objects.create(pk=1, code="same")
    Depot.objects.using("blog").create(pk=2, code="same")
    message = refused(Depot, error=RowsCollide, renumber=True)
    assert message.startswith("wagons.Depot: rows of key 1 have the same code in 'blog'.")
    Wagon.objects.create(pk=1, number="n", weight=3)
    Wagon.objects.using("blog").create(pk=2, number="n", weight=3)
    assert "have the same number, weight" in refused(Wagon, error=RowsCollide)
