"""The oracle itself: it tells a delete from none, and neither from anything between."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connections

from tests.apps.blog.models import Comment, Essay, Post
from tests.apps.climate.models import Region, Weather
from tests.apps.knots.models import Owner, Ticket
from tests.apps.notes.models import Gadget, Thing
from tests.apps.people.models import Member, Person
from tests.apps.shop.models import Order, Profile, Review
from tests.faults import corners, oracle
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NO_TIME, ONE_HOUR = timedelta(0), timedelta(hours=1)


@pytest.fixture
def ada():
    """A user with sources in two other databases, one of them two databases away."""
    ada, bob = (User.objects.create(username=name) for name in ("ada", "bob"))
    post = Post.objects.create(title="one", author=ada)
    Post.objects.create(title="two", author=bob, editor=ada)
    Comment.objects.create(post=post, author=bob)
    Review.objects.create(post=post, author=bob)
    Order.objects.create(customer=ada)
    Profile.objects.create(user=bob)
    return ada


def delete_behind_its_back(model, using, where=""):
    with connections[using].cursor() as cursor:
        cursor.execute(f"DELETE FROM {model._meta.db_table} {where}")


def test_gone_and_stands(ada):
    before = oracle.snapshot()
    assert oracle.outcome(before, ada) == "stands"
    key = ada.pk
    ada.delete()
    assert oracle.outcome(before, (User, key)) == "gone"
    oracle.assert_consistent(before, roots=[(User, key)], drained=True)
    oracle.assert_consistent(before, roots=[User], drained=True)


def test_after_follows_every_policy(ada):
    """One step at a time: what cascades is gone, what sets has its new key."""
    owner = Owner.objects.create()
    ticket = Ticket.objects.create(default=owner, set_to=owner, kept=owner)
    then = oracle.after(oracle.snapshot(), ada, owner)
    assert {row["title"]: row["editor_id"] for row in then[Post].values()} == {"two": None}
    assert (then[Comment], then[Review], then[Order]) == ({}, {}, {})
    assert len(then[Profile]) == 1
    assert then[Ticket][ticket.pk]["default_id"] == 7
    assert then[Ticket][ticket.pk]["kept_id"] == owner.pk


@pytest.mark.parametrize("which", [Member, Person])
def test_parents_and_children_go_together(which):
    member = Member.objects.create(name="eve")
    Essay.objects.create(writer=member, title="on")
    then = oracle.after(oracle.snapshot(), (which, member.pk))
    assert (then[Member], then[Person], then[Essay]) == ({}, {}, {})


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda ada: delete_behind_its_back(User, "default", f"WHERE id = {ada.pk}"), "auth.User"),
        (lambda ada: delete_behind_its_back(Order, "shop"), "shop.Order"),
        (lambda ada: Post.objects.update(editor=None), "'editor_id': None"),
    ],
)
def test_halves_are_neither(ada, damage, line):
    before = oracle.snapshot()
    damage(ada)
    with pytest.raises(AssertionError, match="neither done nor undone") as caught:
        oracle.outcome(before, ada)
    assert line in str(caught.value)
    with pytest.raises(AssertionError, match="Rows are dangling or lost"):
        oracle.assert_consistent(before, roots=[User])


def test_an_orphan_is_excused_by_its_intent_until_drained(ada):
    before = oracle.snapshot()
    Order.objects.exclude(customer=ada).delete()
    delete_behind_its_back(User, "default", f"WHERE id = {ada.pk}")
    for relation in ("blog.Post.author", "blog.Post.editor", "shop.Order.customer"):
        with pytest.raises(AssertionError, match=relation.replace(".", r"\.")):
            oracle.assert_consistent(before, roots=[User])
        CascadeIntent.objects.create(relation=relation, keys=[ada.pk])
    oracle.assert_consistent(before, roots=[User])
    with pytest.raises(AssertionError) as caught:
        oracle.assert_consistent(before, roots=[User], drained=True)
    assert f"blog.Post.author: no target for {ada.pk}" in str(caught.value)
    assert "an intent of" in str(caught.value)


def test_a_lost_source_of_a_living_target_is_named(ada):
    before = oracle.snapshot()
    key = Profile.objects.get().pk
    Profile.objects.all().delete()
    with pytest.raises(AssertionError) as caught:
        oracle.assert_consistent(before, roots=[User])
    assert f"shop.Profile {key} is missing: " in str(caught.value)


@pytest.mark.parametrize(
    ("corner", "target", "handle", "keys"),
    [
        (
            "climate",
            Weather,
            "climate.Trip.weather",
            {(place, corners.LONG_AGO + hour) for place in "AB" for hour in (NO_TIME, ONE_HOUR)},
        ),
        ("climate", Region, "climate.Trip.region", {("us", 1), ("us", 2)}),
        ("notes", Thing, "notes.Note.about[notes.Thing]", {1, 2}),
        ("notes", Gadget, "notes.Note.about[notes.Gadget]", set(corners.GADGETS)),
    ],
)
def test_keys_of_several_columns_and_of_several_models(corner, target, handle, keys):
    corners.build(corner)
    assert oracle.orphans(oracle.snapshot(corners.CORNERS[corner])) == {}
    corners.wipe(target)
    found = oracle.orphans(oracle.snapshot(corners.CORNERS[corner]))
    assert found.pop(handle) == keys
    # Labels are about things as well.
    assert set(found) <= {"notes.Label.subject[notes.Thing]"}
    corners.clear(corners.CORNERS[corner])
