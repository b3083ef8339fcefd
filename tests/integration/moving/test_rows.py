"""Rows of every kind, moved."""

import datetime
import uuid
from decimal import Decimal

import pytest
from django.db import connections

import xdbrel
from tests.apps.people.models import Person
from tests.apps.wagons.models import Cargo, Depot, Seal, Slot, Tag, Tanker, Ticket, Wagon
from xdbrel.models import MoveBatch, MoveRun

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def rows(model, using):
    """Every row of a model's own table."""
    names = [field.attname for field in model._meta.local_concrete_fields]
    return sorted(model._base_manager.using(using).values_list(*names), key=repr)


def test_a_table():
    """Rows stand at the destination with their keys, and no more at the source."""
    Depot.objects.bulk_create([Depot(code=f"d{n}") for n in range(25)])
    before = rows(Depot, "default")
    result = xdbrel.move(Depot.objects.all(), to="blog", batch_size=10)
    assert rows(Depot, "blog") == before
    assert rows(Depot, "default") == []
    assert result.status == "complete"
    assert result.counts == {"wagons.Depot": 25}
    assert (result.copied, result.carried, result.removed) == (25, 0, 25)
    run = MoveRun.objects.get()
    assert (run.status, run.removed, run.lease) == ("complete", 25, None)
    assert not MoveBatch.objects.exists()


def test_next_key():
    """The destination gives keys behind those of both ends, rows that are gone included."""
    depots = [Depot.objects.create(code=f"d{n}") for n in range(3)]
    last = depots[-1].pk
    depots[-1].delete()
    xdbrel.move(Depot, to="blog")
    assert Depot.objects.using("blog").create(code="new").pk > last


def test_multi_table():
    """A child's rows go in all their tables, and the parent's with their children."""
    one, two = Tanker.objects.create(number="1", volume=5), Wagon.objects.create(number="2")
    xdbrel.move(Wagon.objects.filter(pk=one.pk), to="blog")
    assert Tanker.objects.using("blog").get().volume == 5
    assert rows(Tanker, "default") == []
    assert [row[0] for row in rows(Wagon, "default")] == [two.pk]
    three = Tanker.objects.create(number="3")
    xdbrel.move(Tanker.objects.filter(pk=three.pk), to="blog")
    assert {wagon.pk for wagon in Wagon.objects.using("blog")} == {one.pk, three.pk}


def test_every_type():
    """Values of every type are the same on the other side, JSON's null among them."""
    moment = datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=datetime.UTC)
    full = {
        "small": -1,
        "integer": 2**31 - 1,
        "big": -(2**63),
        "positive": 1,
        "positive_big": 2**62,
        "money": Decimal("-12.30"),
        "fine": Decimal("1.5"),
        "ratio": 0.1 + 0.2,
        "char": "ä %s 'x' \\ ",
        "text": "",
        "day": datetime.date(1900, 1, 1),
        "hour": datetime.time(23, 59, 59, 5),
        "moment": moment,
        "span": datetime.timedelta(days=-3, microseconds=1),
        "uuid": uuid.UUID(int=7),
        "data": {"b": [1, 2.5, None, 1e22], "a": "ü"},
        "blob": b"\x00\xff",
        "flag": False,
        "address": "2001:db8::1",
        "heat": 21.5,
        "words": ("a", "b"),
        "sealed": "abc",
        "half": 4,
    }
    Cargo.objects.create(**full)
    Cargo.objects.create()
    null = Cargo.objects.create()
    sql = "UPDATE wagons_cargo SET data = 'null' WHERE id = %s"
    connections["default"].cursor().execute(sql, [null.pk])
    before = [Cargo.objects.values().order_by("pk")[n] for n in range(3)]
    xdbrel.move(Cargo, to="blog")
    after = list(Cargo.objects.using("blog").values().order_by("pk"))
    for row in (*before, *after):
        row["blob"] = row["blob"] and bytes(row["blob"])
    assert after == before
    found = Cargo.objects.using("blog").filter(data__isnull=False).order_by("pk")
    assert [cargo.pk for cargo in found] == [before[0]["id"], null.pk]


def test_composite_key():
    """A key of two columns, in batches."""
    made = [Slot(row=row, letter=letter, note="x") for row in (1, 2, 3) for letter in "ab"]
    Slot.objects.bulk_create(made)
    before = rows(Slot, "default")
    xdbrel.move(Slot.objects.all(), to="blog", batch_size=4)
    assert rows(Slot, "blog") == before
    assert rows(Slot, "default") == []


def test_self_reference():
    """Rows that point at each other, in an order that no batch keeps."""
    first = Depot.objects.create(code="1")
    second = Depot.objects.create(code="2", parent=first)
    Depot.objects.filter(pk=first.pk).update(parent=second)
    Depot.objects.create(code="3", parent=second)
    before = rows(Depot, "default")
    xdbrel.move(Depot, to="blog", batch_size=1)
    assert rows(Depot, "blog") == before
    assert rows(Depot, "default") == []


def test_along():
    """What hangs on the rows goes along where it is named, their many-to-many rows unasked."""
    tag, other = Tag.objects.create(name="t"), Tag.objects.create(name="o")
    depot = Depot.objects.create(code="1")
    wagon = Wagon.objects.create(number="1", depot=depot)
    wagon.tags.add(tag, other)
    Seal.objects.create(wagon=wagon)
    Ticket.objects.create(wagon=wagon)
    Ticket.objects.create()
    result = xdbrel.move(
        [Depot.objects.all(), Tag.objects.all()], to="blog", along=[Wagon, "wagons.Seal", Ticket]
    )
    assert result.counts == {
        "wagons.Depot": 1,
        "wagons.Tag": 2,
        "wagons.Wagon": 1,
        "wagons.Wagon_tags": 2,
        "wagons.Seal": 1,
        "wagons.Ticket": 1,
        "wagons.Tanker": 0,
    }
    assert Wagon.tags.through.objects.using("blog").count() == 2
    assert Seal.objects.using("blog").get().wagon_id == wagon.pk
    assert Ticket.objects.using("default").get().wagon_id is None


def test_auto_now_and_signals(monkeypatch):
    """Nothing is set by itself, and nobody is told."""
    from django.db.models import signals

    wagon = Wagon.objects.create(number="1", owner=Person.objects.create(name="p"))
    told = []
    for signal in (signals.pre_save, signals.post_save, signals.pre_delete, signals.post_delete):
        signal.connect(lambda **kwargs: told.append(1), sender=Wagon, weak=False, dispatch_uid="m")
    try:
        xdbrel.move(Wagon, to="blog")
    finally:
        for signal in (
            signals.pre_save,
            signals.post_save,
            signals.pre_delete,
            signals.post_delete,
        ):
            signal.disconnect(sender=Wagon, dispatch_uid="m")
    assert told == []
    assert Wagon.objects.using("blog").get().changed == wagon.changed
    assert Wagon.objects.using("blog").get().owner_id == wagon.owner_id


def test_what_managers_hide():
    """A model stands for all of its rows, a queryset for those that it has."""
    Wagon._base_manager.create(number="heavy", weight=2000)
    assert xdbrel.move(Wagon.objects.all(), to="blog").rows == 0
    assert xdbrel.move(Wagon, to="blog").counts["wagons.Wagon"] == 1


def test_zero_as_a_key():
    """A key of 0 is kept, also where the database takes 0 for a wish to be given one."""
    Depot.objects.using("default").create(code="x")
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE wagons_depot SET id = 0")
    xdbrel.move(Depot, to="blog")
    assert Depot.objects.using("blog").get().pk == 0
