"""drain(): whatever is left is finished at once, or the test hears of it."""

from contextlib import ExitStack, contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connections
from django.test import TestCase

from tests.apps.blog.models import Post
from tests.apps.shop.models import Order, Review
from tests.integration.testing.conftest import left
from xdbrel.cascade import claims, pauses
from xdbrel.cascade.relay import RelayResult
from xdbrel.models import CascadeIntent
from xdbrel.relations import get
from xdbrel.signals import cascade_applied
from xdbrel.testing import NotDrained, Unapplied, drain, draining

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status


@contextmanager
def away(*aliases):
    """Let these databases refuse to delete and to update rows of the project's."""

    def refuse(execute, sql, params, many, context):
        if sql.startswith(("DELETE", "UPDATE")) and "xdbrel_" not in sql:
            raise DatabaseError(f"{context['connection'].alias} is away")
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(connections[alias].execute_wrapper(refuse))
        yield


@pytest.fixture
def left_behind(ada):
    """The key of a user who is gone, with all sources left behind, their intents in backoff."""
    key = ada.pk
    with away("blog", "shop"):
        ada.delete()
    assert left() == {"Post": 1, "Comment": 1, "Order": 1, "Review": 1, "Profile": 1}
    return key


def unfinished():
    return set(CascadeIntent.objects.exclude(status=Status.CONFIRMED).values_list("status"))


def test_backoff_is_not_waited_for(left_behind):
    result = drain()
    assert left() == {}
    assert (result.failed, result.unreachable) == (0, [])
    assert (result.applied, result.confirmed) > (5, 5)
    assert unfinished() == set()


def test_nothing_to_do_is_done(db):
    assert drain() == RelayResult()


def test_a_second_time_does_nothing(left_behind):
    drain()
    assert drain() == RelayResult()


def test_leases_of_dead_processes_are_not_waited_for(left_behind):
    CascadeIntent.objects.update(available_at="2000-01-01T00:00Z")
    assert claims.claim("default", 1_000).intents
    drain()
    assert left() == {}


def test_the_second_look_is_not_waited_for(ada):
    """A source that was written while its target was deleted is found now."""
    key = ada.pk
    ada.delete()
    Order.objects.create(customer_id=key)
    assert drain().rows == 1
    assert left() == {}
    assert unfinished() == set()


def test_what_was_set_aside_is_tried_again(left_behind):
    CascadeIntent.objects.update(status=Status.SET_ASIDE, attempts=99)
    drain()
    assert left() == {}


def test_using_takes_the_intents_of_one_database(left_behind):
    assert drain(using="shop") == RelayResult()
    assert "Post" in left()
    drain(using="default")
    # The review's intent stands with its post, in the blog.
    assert left() in ({"Review": 1}, {})
    drain(using="blog")
    assert left() == {}


def test_intents_that_intents_write_are_finished_too(left_behind):
    """The review hangs on the post, whose own intent is written when the post goes."""
    drain()
    assert not Review.objects.exists()


def test_what_cannot_be_applied_is_raised_with_its_errors(left_behind):
    with away("shop"), pytest.raises(NotDrained) as caught:
        drain()
    relations = {one.relation: one for one in caught.value.unapplied}
    assert relations["shop.Order.customer"] == Unapplied(
        "shop.Order.customer", "default", (left_behind,), "DatabaseError: shop is away"
    )
    assert {one.using for one in relations.values()} <= {"default", "blog"}
    assert str(caught.value).splitlines()[0] == "Cascades could not be applied:"
    assert (
        f"  shop.Order.customer in 'default', key {left_behind}: DatabaseError: shop is away"
        in str(caught.value).splitlines()
    )
    assert str(caught.value.__cause__) == "shop is away"
    # What could be applied was.
    assert not Post.objects.exists()
    drain()
    assert left() == {}


def test_an_intent_of_an_unknown_relation_is_named(db):
    CascadeIntent.objects.create(relation="shop.Order.gone", keys=[1, 2])
    with pytest.raises(NotDrained) as caught:
        drain()
    assert str(caught.value) == (
        "Cascades could not be applied:\n"
        "  shop.Order.gone in 'default', keys 1, 2: UnknownRelation: There is no cross-database "
        "relation 'shop.Order.gone'. Did you mean shop.Order.customer? "
        '"manage.py xdbrel_relations" lists them.'
    )


def test_intents_that_are_written_on_and_on_are_not_waited_for(db, monkeypatch):
    def one_more(**kwargs):
        CascadeIntent.objects.create(relation="shop.Order.customer", keys=[1])

    monkeypatch.setattr(draining, "ROUNDS", 3)
    monkeypatch.setattr(draining, "SPARE", 2)
    cascade_applied.connect(one_more)
    try:
        one_more()
        with pytest.raises(NotDrained, match="key 1: not finished, without an error"):
            drain()
    finally:
        cascade_applied.disconnect(one_more)
    drain()


def test_a_paused_relation_is_not_resumed(left_behind):
    relation = get("shop.Order.customer")
    pauses.pause(relation)
    with pytest.raises(NotDrained) as caught:
        drain()
    assert str(caught.value) == (
        "Cascades could not be applied:\n"
        f"  shop.Order.customer in 'default', key {left_behind}: the relation is paused"
    )
    assert left() == {"Order": 1}
    pauses.resume(relation)
    drain()
    assert left() == {}


def test_what_fails_at_first_and_goes_through_later_has_not_failed(db):
    user = User.objects.create(username="ada")
    Order.objects.create(customer=user)
    refusals = iter([True])

    def once(execute, sql, params, many, context):
        if sql.startswith("DELETE") and "shop_order" in sql and next(refusals, False):
            raise DatabaseError("once")
        return execute(sql, params, many, context)

    with away("shop"):
        user.delete()
    CascadeIntent.objects.exclude(relation="shop.Order.customer").delete()
    CascadeIntent.objects.create(relation="blog.Post.author", keys=[12345])
    with connections["shop"].execute_wrapper(once):
        result = drain()
    assert result.failed == 0
    assert left() == {}


class InATestCase(TestCase):
    """Every database is in a transaction that is never committed."""

    databases = "__all__"

    def test_what_stays_pending_is_finished(self):
        user = User.objects.create(username="ada")
        Order.objects.create(customer=user)
        user.delete()
        assert left() == {}
        assert unfinished() == {(Status.PENDING,)}
        assert drain().failed == 0
        assert unfinished() == set()

    def test_what_failed_is_finished(self):
        user = User.objects.create(username="ada")
        Order.objects.create(customer=user)
        key = user.pk
        user.delete()
        Order.objects.create(customer_id=key)
        drain()
        assert left() == {}


class WithTwoDatabases(TestCase):
    databases = ("default", "blog")

    def test_databases_that_are_forbidden_are_left_alone(self):
        CascadeIntent.objects.using("blog").create(relation="people.Cover.post", keys=[1])
        assert drain().applied == 1

    def test_what_needs_a_forbidden_one_is_named(self):
        CascadeIntent.objects.using("default").create(relation="shop.Order.customer", keys=[1])
        with pytest.raises(NotDrained, match="to 'shop' are not allowed"):
            drain()
