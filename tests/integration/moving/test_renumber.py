"""New keys where those of the rows are taken, for all that points at them."""

import uuid

import pytest
from django.test import override_settings

import xdbrel
from tests import settings
from tests.apps.people.models import Country
from tests.apps.wagons.models import Depot, Label, Ride, Seal, Tag, Tanker, Ticket, Wagon

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_all_that_points_there():
    """Plain, crossing, generic and many-to-many relations, multi-table children, all follow."""
    tag = Tag.objects.create(pk=1, name="mine")
    wagon = Tanker.objects.create(pk=1, number="mine", volume=3)
    wagon.tags.add(tag)
    Seal.objects.create(wagon=wagon)
    ride = Ride.objects.create(wagon=wagon)
    Label.objects.create(on=wagon, text="x")
    Label.objects.create(content_type_id=999, object_id=1, text="another's")
    Label.objects.filter(content_type_id=999).delete()
    Wagon.objects.using("blog").create(pk=1, number="theirs")
    Tag.objects.using("blog").create(pk=1, name="theirs")
    result = xdbrel.move([Wagon, Tag], to="blog", along=[Seal, Label], renumber=True)
    assert result.renumbered == {"wagons.Wagon": 1, "wagons.Tag": 1}
    moved = Tanker.objects.using("blog").get()
    assert moved.pk != 1
    assert moved.number == "mine"
    assert Seal.objects.using("blog").get().wagon_id == moved.pk
    assert Label.objects.using("blog").get().object_id == moved.pk
    assert Wagon.tags.through.objects.using("blog").get().wagon_id == moved.pk
    assert Wagon.tags.through.objects.using("blog").get().tag_id != 1
    ride.refresh_from_db()
    assert ride.wagon_id == moved.pk
    assert Wagon.objects.using("blog").get(pk=1).number == "theirs"
    assert Wagon.objects.using("default").create(number="next").pk > moved.pk


def test_self_references_and_uuids():
    """Rows that point at each other, and keys that are no numbers."""
    root = Depot.objects.create(pk=1, code="root")
    Depot.objects.create(pk=2, code="leaf", parent=root)
    Depot.objects.using("blog").create(pk=1, code="theirs")
    xdbrel.move(Depot, to="blog", renumber=True)
    leaf = Depot.objects.using("blog").get(code="leaf")
    assert leaf.pk == 2
    assert Depot.objects.using("blog").get(pk=leaf.parent_id).code == "root"
    key = uuid.uuid4()
    Ticket.objects.create(pk=key)
    Ticket.objects.using("blog").create(pk=key)
    assert xdbrel.move(Ticket, to="blog", renumber=True).renumbered == {"wagons.Ticket": 1}
    assert Ticket.objects.using("blog").count() == 2


def test_which_row_is_meant():
    """Where the routers read the destination's rows, other databases' keys mean those."""
    moving = {**settings.XDBREL["MOVING"], "wagons": "default"}
    homes = {**settings.XDBREL["HOMES"], "wagons": "blog"}
    Wagon.objects.using("default").create(pk=1, number="mine")
    Wagon.objects.using("blog").create(pk=1, number="theirs")
    Ride.objects.create(wagon_id=1)
    with override_settings(XDBREL={**settings.XDBREL, "HOMES": homes, "MOVING": moving}):
        with pytest.raises(ValueError, match="nothing tells which of the two they mean"):
            xdbrel.move(Wagon, to="blog", using="default", renumber=True)
        Ride.objects.all().delete()
        assert xdbrel.move(Wagon, to="blog", using="default", renumber=True).rows == 1
    assert Wagon.objects.using("blog").count() == 2


def test_keys_that_cannot_be_made_up():
    """A text is nobody's to make up."""
    Country.objects.create(code="fr")
    with pytest.raises(ValueError, match="has no table 'people_country'"):
        xdbrel.move(Country, to="blog", renumber=True)
