"""crash_between_commits(): what a process leaves behind that dies after the targets' commit."""

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import TestCase

import xdbrel
from tests.apps.blog.models import Comment, Post
from tests.apps.people.models import Person
from tests.apps.shop.models import Order
from tests.integration.testing.conftest import left
from xdbrel.cascade.relay import RelayResult, relay
from xdbrel.models import CascadeIntent
from xdbrel.testing import SimulatedCrash, crash_between_commits, drain

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status
SOURCES = {"Post": 1, "Comment": 1, "Order": 1, "Review": 1, "Profile": 1}
ALL = {"User": 1, **SOURCES}


class Boom(Exception):
    pass


def assert_left_by_a_dead_process():
    """Nothing has followed, the intents are leased, and the relay finishes after that."""
    assert left() == SOURCES
    intents = CascadeIntent.objects.all()
    assert {intent.status for intent in intents} == {Status.PENDING}
    assert all(intent.claimed_by for intent in intents)
    assert relay() == RelayResult()
    assert drain().failed == 0
    assert left() == {}


def test_row_one_autocommit(ada):
    with crash_between_commits() as crash:
        assert crash.using is None
        ada.delete()
        raise AssertionError("a dead process goes on")
    assert crash.using == "default"
    assert_left_by_a_dead_process()


def test_row_two_targets_in_a_transaction(ada):
    with crash_between_commits() as crash:
        with transaction.atomic(using="default"):
            ada.delete()
            assert "Post" in left()
        raise AssertionError("a dead process goes on")
    assert crash.using == "default"
    assert_left_by_a_dead_process()


def test_row_three_between_the_two_commits(ada):
    with crash_between_commits() as crash, xdbrel.atomic("default", "blog", "shop"):
        ada.delete()
        # The block sees its own effect; then the first of the three commits.
        assert left() == {}
    assert crash.using == "default"
    assert_left_by_a_dead_process()


def test_what_else_is_open_is_rolled_back(ada):
    """The sources' block is open around the delete; it dies with the process."""
    with crash_between_commits(), transaction.atomic(using="blog"):
        Post.objects.create(title="not committed", author=ada)
        ada.delete()
    assert_left_by_a_dead_process()


def test_what_was_committed_before_stays(ada):
    with crash_between_commits():
        Post.objects.create(title="committed", author=ada)
        ada.delete()
    assert left() == {**SOURCES, "Post": 2}
    drain()
    assert left() == {}


def test_no_callback_of_the_commit_is_called(ada):
    called = []
    with crash_between_commits(), transaction.atomic(using="default"):
        transaction.on_commit(lambda: called.append("before"), using="default")
        ada.delete()
        transaction.on_commit(lambda: called.append("after"), using="default")
    with transaction.atomic(using="default"):
        transaction.on_commit(lambda: called.append("later"), using="default")
    assert called == ["later"]


def test_no_handler_goes_on_after_the_death(ada):
    handled = []
    with crash_between_commits():
        try:
            ada.delete()
        except Exception as error:
            handled.append(error)
    assert handled == []


def test_deletes_that_concern_one_database_do_not_crash(ada):
    with crash_between_commits() as crash:
        Comment.objects.all().delete()
        assert crash.using is None
        ada.delete()
    assert left() == {name: 1 for name in SOURCES if name != "Comment"}


def test_a_delete_that_is_rolled_back_is_not_the_last(ada):
    with crash_between_commits() as crash:
        with pytest.raises(Boom), transaction.atomic(using="default"):
            ada.delete()
            raise Boom
        assert left() == ALL
        outer = transaction.atomic(using="default")
        with outer, pytest.raises(Boom), transaction.atomic(using="default"):
            User.objects.all().delete()
            raise Boom
        assert crash.using is None
        User.objects.all().delete()
    assert_left_by_a_dead_process()


def test_using_chooses_a_commit_further_on(ada):
    """The users' cascade is applied; the process dies with the commit of the posts' delete."""
    with crash_between_commits(using="blog") as crash:
        ada.delete()
    assert crash.using == "blog"
    assert "Post" not in left()
    assert "Review" in left()
    drain()
    assert left() == {}


def test_nothing_crashed_is_a_failure(ada):
    with pytest.raises(AssertionError) as caught, crash_between_commits():
        Comment.objects.all().delete()
    assert str(caught.value) == (
        "Nothing crashed: the block committed no delete with sources in another database."
    )
    refused = pytest.raises(AssertionError, match="committed no delete on 'shop'")
    with refused, crash_between_commits(using="shop"):
        Comment.objects.all().delete()


def test_an_error_of_the_block_is_its_own(ada):
    with pytest.raises(Boom), crash_between_commits():
        raise Boom
    with pytest.raises(SimulatedCrash), crash_between_commits():
        raise SimulatedCrash


def test_after_the_block_nothing_crashes(ada):
    other = User.objects.create(username="bob")
    Order.objects.create(customer=other)
    with crash_between_commits():
        ada.delete()
    other.delete()
    assert left() == SOURCES
    assert not any(
        connections[alias].in_atomic_block or connections[alias].run_on_commit
        for alias in connections
    )


class InATestCase(TestCase):
    """Nothing is ever committed; the end of the block stands for the commit."""

    databases = "__all__"

    @classmethod
    def setUpTestData(cls):
        cls.ada = User.objects.create(username="ada")
        cls.post = Post.objects.create(title="one", author=cls.ada)
        Order.objects.create(customer=cls.ada)

    def assert_left_by_a_dead_process(self):
        assert left() == {"Post": 1, "Order": 1}
        assert relay() == RelayResult()
        drain()
        assert left() == {}

    def test_autocommit_or_so(self):
        with crash_between_commits() as crash:
            self.ada.delete()
        assert crash.using == "default"
        self.assert_left_by_a_dead_process()

    def test_targets_in_a_block(self):
        with crash_between_commits(), transaction.atomic(using="default"):
            self.ada.delete()
        self.assert_left_by_a_dead_process()

    def test_both_in_a_block(self):
        with crash_between_commits(), xdbrel.atomic():
            self.ada.delete()
        self.assert_left_by_a_dead_process()

    def test_no_callback_of_the_block_is_left(self):
        called = []
        with self.captureOnCommitCallbacks(using="default", execute=True) as callbacks:
            transaction.on_commit(lambda: called.append("before"), using="default")
            with crash_between_commits():
                transaction.on_commit(lambda: called.append("inside"), using="default")
                self.ada.delete()
        assert called == ["before"]
        assert len(callbacks) == 1
        self.assert_left_by_a_dead_process()

    def test_a_delete_that_is_rolled_back_is_not_the_last(self):
        refused = pytest.raises(AssertionError, match="Nothing crashed")
        with refused, crash_between_commits(), pytest.raises(Boom), xdbrel.atomic():
            self.ada.delete()
            raise Boom
        assert left() == {"User": 1, "Post": 1, "Order": 1}

    def test_writes_of_the_targets_side_stay(self):
        with crash_between_commits():
            Person.objects.create(name="committed")
            self.ada.delete()
        assert Person.objects.get().name == "committed"
