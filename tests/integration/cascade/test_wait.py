"""Waiting for what a delete began, where it is finished later."""

import threading
from contextlib import ExitStack

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connections, transaction
from django.utils import timezone

from tests import settings as layout
from tests.apps.blog.models import Post
from tests.apps.shop.models import Order, Review
from xdbrel.cascade.relay import relay
from xdbrel.exceptions import CascadeSetAside, StillInTransaction
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status


def away(*aliases):
    def refuse(execute, sql, params, many, context):
        if sql.startswith(("DELETE", "UPDATE")):
            raise DatabaseError("away")
        return execute(sql, params, many, context)

    stack = ExitStack()
    for alias in aliases:
        stack.enter_context(connections[alias].execute_wrapper(refuse))
    return stack


def make_due():
    for alias in connections:
        CascadeIntent.objects.using(alias).filter(status=Status.PENDING).update(
            available_at=timezone.now()
        )


@pytest.fixture
def user():
    user = User.objects.create(username="ada")
    Review.objects.create(post=Post.objects.create(author=user))
    Order.objects.create(customer=user)
    return user


def test_what_is_finished_is_not_waited_for(user):
    """The result is what Django returns, and can be waited for."""
    result = user.delete()
    assert result == (4, {"auth.User": 1, "blog.Post": 1, "shop.Order": 1, "shop.Review": 1})
    assert result.wait(timeout=0) is True


def test_the_counts_of_a_queryset_can_be_waited_for(user):
    """QuerySet.delete() makes a tuple of its own, of the same counts."""
    deleted, counts = User.objects.all().delete()
    assert deleted == 4
    assert counts.wait(timeout=0) is True


def test_time_runs_out(user):
    with away("shop"):
        result = user.delete()
    assert result.wait(timeout=0.05) is False
    make_due()
    relay()
    assert result.wait(timeout=0) is True
    assert not Order.objects.exists()


def test_what_was_handed_on_is_waited_for(user):
    """The posts follow at once and their reviews, a database further, do not."""
    Order.objects.all().delete()
    with away("shop"):
        result = user.delete()
    assert not Post.objects.exists()
    handed_on = CascadeIntent.objects.using("blog").get(relation="shop.Review.post")
    first = CascadeIntent.objects.filter(relation="blog.Post.author").get()
    assert handed_on.deletion == first.deletion != ""
    CascadeIntent.objects.exclude(relation="blog.Post.author").delete()
    assert result.wait(timeout=0.05) is False
    make_due()
    relay()
    assert result.wait(timeout=0) is True


def test_what_a_relay_handed_on_for_several_is_waited_for(user):
    """Intents of several deletions are applied together, and what follows is everybody's."""
    other = User.objects.create(username="bob")
    Review.objects.create(post=Post.objects.create(author=other))
    with away("blog", "shop"):
        results = [user.delete(), other.delete()]
        assert [result.wait(timeout=0) for result in results] == [False, False]
    make_due()
    with away("shop"):
        relay(using="default")
    assert not Post.objects.exists()
    CascadeIntent.objects.update(status=Status.APPLIED)
    assert set(CascadeIntent.objects.using("blog").values_list("deletion", flat=True)) == {"*"}
    assert [result.wait(timeout=0.03) for result in results] == [False, False]
    make_due()
    relay()
    assert [result.wait(timeout=0) for result in results] == [True, True]


def test_a_cascade_that_was_set_aside_is_told(user, settings):
    settings.XDBREL = {**settings.XDBREL, "MAX_ATTEMPTS": 1}
    Review.objects.all().delete()
    with away("shop"):
        result = user.delete()
    with pytest.raises(CascadeSetAside) as caught:
        result.wait(timeout=10)
    assert str(caught.value) == (
        "shop.Order.customer: the cascade was set aside in 'default' after its last attempt "
        "failed: DatabaseError: away. Remove the cause, then run "
        '"manage.py xdbrel_relay --retry shop.Order.customer".'
    )


def test_inside_its_own_transaction_nothing_can_be_waited_for(user):
    with transaction.atomic("default"):
        result = user.delete()
        with pytest.raises(StillInTransaction) as caught:
            result.wait()
    assert str(caught.value) == (
        "The delete has not been committed in 'default' yet, and nothing follows before it is. "
        "Call wait() after the block."
    )
    assert result.wait(timeout=0) is True


@pytest.mark.skipif(
    layout.LAYOUT == "sqlite", reason="SQLite in memory has one connection for all threads"
)
def test_another_process_finishes_meanwhile(user):
    with away("shop"):
        result = user.delete()
    make_due()

    def finish():
        try:
            relay()
        finally:
            connections.close_all()

    thread = threading.Thread(target=finish)
    thread.start()
    assert result.wait(timeout=60) is True
    thread.join()
    assert not Order.objects.exists()
