"""Rollbacks in every place of the table in ``xdbrel.cascade.dispatch``.

Blocks on every selection of the three databases, in every order, end in every way at every
level. Once drained, the target is gone with all its sources in every database, or everything
stands. One place is out of anybody's reach, and named as such: sources that were committed
before the delete they follow was rolled back. There a warning is all there can be.
"""

import io
import unittest
from contextlib import ExitStack, contextmanager
from itertools import chain, permutations, product

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models.signals import post_delete, pre_delete
from django.http import Http404, HttpResponse
from django.test import Client, TestCase, TransactionTestCase
from django.urls import path

import xdbrel
from tests.apps.blog.models import Comment, Post
from tests.apps.people.models import Bookmark
from tests.apps.shop.models import Order, Profile, Review
from tests.faults import oracle
from xdbrel import compat, placement, relations
from xdbrel.cascade.relay import intent_aliases
from xdbrel.exceptions import DeleteRolledBack
from xdbrel.models import CascadeIntent
from xdbrel.testing import assert_no_orphans, drain

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.urls("tests.faults.test_rollbacks"),
]

ALIASES = ("default", "blog", "shop")
MODELS = (User, Post, Comment, Order, Review, Profile, Bookmark)

RELATIONS = [r.handle for r in relations.all_relations() if r.source in MODELS]

#: Every selection of the databases, in every order: the outermost block first.
ORDERS = [*chain.from_iterable(permutations(ALIASES, number) for number in range(4))]

#: Every selection, in the order of the settings.
SELECTIONS = [order for order in ORDERS if [*order] == [a for a in ALIASES if a in order]]


class Boom(Exception):
    pass


def make_world():
    """Make a user with sources in two other databases, a chain through them and back.

    Beside her is somebody who must lose nothing but keys that lead to her.
    """
    ada, bob = (User.objects.create(username=name) for name in ("ada", "bob"))
    for user, other in ((ada, bob), (bob, ada)):
        post = Post.objects.create(title=f"by {user}", author=user, editor=other)
        Comment.objects.create(post=post, author=bob)
        Review.objects.create(post=post, author=other)
        Bookmark.objects.create(post=post)
        Order.objects.create(customer=user)
        Profile.objects.create(user=user)
    return ada


def wipe():
    """Empty the tables, faster than a test's own flush."""
    for model in reversed(MODELS):
        compat.raw_delete(model._base_manager.all(), placement.home(model))
    for alias in intent_aliases():
        compat.raw_delete(CascadeIntent.objects.using(alias), alias)


class Judge:
    """Holds a world as it was before, and judges what is left once the relay has drained."""

    def __init__(self, place=()):
        self.place = place
        self.ada = make_world()
        self.key = self.ada.pk
        self.before = oracle.snapshot(MODELS)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            error.add_note(f"in the place {'; '.join(map(named, self.place))}")
        else:
            wipe()

    def outcome(self):
        drain()
        assert oracle.pending() == {}
        return oracle.outcome(self.before, (User, self.key))


@pytest.fixture
def judge():
    return Judge()


def named(value):
    if isinstance(value, tuple):
        return "-".join(value) or "autocommit"
    return str(value)


def warned_of(caplog):
    return {r.alias for r in caplog.records if getattr(r, "action", "") == "sources_commit_first"}


# Blocks


def places(order):
    """Yield ``(order, at, how)``: which block ends badly, and how; None where none does.

    inside        an error right after the delete passes through every block up to that one
    after         that block fails when the inner ones have ended
    set_rollback  that block, told to roll back, ends without an error
    """
    yield order, None, "commit"
    for at, how in product(order, ("inside", "after", "set_rollback")):
        # An error inside the innermost block is the same as one after what is in it.
        if not (how == "after" and at == order[-1]):
            yield order, at, how


def in_blocks(order, at, how, call):
    """Call in nested blocks, of which the one on ``at`` ends badly; nobody hears of the error."""

    def enter(level):
        if level == len(order):
            call()
            if how == "inside":
                raise Boom
            return
        alias = order[level]
        try:
            with transaction.atomic(using=alias):
                enter(level + 1)
                if alias == at and how == "after":
                    raise Boom
                if alias == at and how == "set_rollback":
                    transaction.set_rollback(True, using=alias)
        except Boom:
            if alias != at:
                raise

    enter(0)


def rolled_back(order, at, how):
    """Return the aliases whose blocks are rolled back."""
    if at is None:
        return ()
    return order[order.index(at) :] if how == "inside" else (at,)


@pytest.mark.parametrize("order", ORDERS, ids=named)
def test_blocks(order, caplog):
    """Blocks of one's own on the databases, each committed or rolled back by itself."""
    for place in places(order):
        caplog.clear()
        with Judge(place) as judge:
            try_blocks(*place, judge, caplog)


def try_blocks(order, at, how, judge, caplog):
    back = rolled_back(order, at, how)
    too_early = set()
    if "default" in back:
        inner = order[order.index("default") + 1 :]
        too_early = {alias for alias in inner if alias not in back}
    refused = False
    try:
        in_blocks(order, at, how, judge.ada.delete)
    except DeleteRolledBack:
        refused = True
    if too_early:
        assert too_early <= warned_of(caplog)
        drain()
        assert User.objects.filter(pk=judge.key).exists()
        assert_no_orphans(*RELATIONS)
        return
    assert judge.outcome() == ("stands" if "default" in back else "gone")
    outer = order[: order.index("default")] if "default" in back else ()
    # Whoever would have committed the cascade of a delete that never was hears of it.
    assert refused == any(alias not in back for alias in outer)


@pytest.mark.parametrize("order", ORDERS, ids=named)
def test_savepoints(order):
    """The same inside open transactions: what ends badly are savepoints, the whole commits."""
    for place in places(order):
        with Judge(place) as judge:
            back = rolled_back(*place)
            refused = False
            try:
                with opened(order):
                    in_blocks(*place, judge.ada.delete)
            except DeleteRolledBack:
                refused = True
            assert judge.outcome() == ("stands" if "default" in back else "gone")
            assert refused == ("default" in back and not set(order) <= set(back))


def opened(order):
    return xdbrel.atomic(*order) if order else ExitStack()


@pytest.mark.parametrize("around", ORDERS[1:], ids=named)
def test_savepoints_of_blocks_that_are_rolled_back(around):
    """Savepoints that end well, inside of blocks that all end badly."""
    for order in SELECTIONS:
        if {*order} <= {*around}:
            with Judge((around, order)) as judge:
                with pytest.raises(Boom), ExitStack() as stack:
                    for alias in around:
                        stack.enter_context(transaction.atomic(using=alias))
                    in_blocks(order, None, "commit", judge.ada.delete)
                    raise Boom
                assert judge.outcome() == ("stands" if "default" in around else "gone")


@pytest.mark.parametrize("fails", [False, True], ids=["commits", "fails"])
@pytest.mark.parametrize("order", ORDERS[1:], ids=named)
def test_xdbrel_atomic(order, fails, caplog):
    """In whatever order the databases are named, the delete commits first and nothing is lost.

    Bookmarks make a circle of default and blog: there it is the one in which it began.
    """
    for depth in (1, 2):
        caplog.clear()
        with Judge((order, f"depth {depth}")) as judge:
            try:
                with ExitStack() as stack:
                    for _ in range(depth):
                        stack.enter_context(xdbrel.atomic(*order))
                    judge.ada.delete()
                    if fails:
                        raise Boom
            except Boom:
                pass
            assert judge.outcome() == ("stands" if fails and "default" in order else "gone")
            assert warned_of(caplog) == set()


def test_tried_again_in_the_same_blocks():
    """A delete that is rolled back to its savepoints, then done: once is enough."""
    for order in ORDERS:
        if "default" in order:
            with Judge((order,)) as judge:
                with opened(order):
                    with pytest.raises(Boom), opened(order):
                        judge.ada.delete()
                        raise Boom
                    User.objects.get(pk=judge.key).delete()
                assert judge.outcome() == "gone"


# Without autocommit


@pytest.mark.parametrize("order", ORDERS[1:], ids=named)
def test_autocommit_off(order, caplog):
    """Transactions that are begun by nobody's block and ended by hand, one after the other."""
    for ends in product(("commit", "rollback"), repeat=len(order)):
        caplog.clear()
        with Judge((order, ends)) as judge:
            try_by_hand(order, ends, judge, caplog)


def try_by_hand(order, ends, judge, caplog):
    too_early = set()
    with manual(order):
        judge.ada.delete()
        rolled = False
        for alias, end in zip(order, ends, strict=True):
            if alias == "default" and end == "rollback":
                rolled = True
                committed = order[: order.index("default")]
                too_early = {one for one, how in zip(order, ends, strict=False) if how == "commit"}
                too_early &= set(committed)
            try:
                getattr(transaction, end)(using=alias)
            except DeleteRolledBack:
                assert rolled
                transaction.rollback(using=alias)
    if too_early:
        assert too_early <= warned_of(caplog)
        return
    gone = "default" not in order or ends[order.index("default")] == "commit"
    assert judge.outcome() == ("gone" if gone else "stands")


@contextmanager
def manual(aliases):
    with ExitStack() as stack:
        for alias in aliases:
            transaction.set_autocommit(False, using=alias)
            stack.callback(transaction.set_autocommit, True, using=alias)
            stack.callback(transaction.rollback, using=alias)
        yield


# Receivers


@contextmanager
def receiver_that_fails(signal, sender):
    def fail(**kwargs):
        raise Boom

    signal.connect(fail, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(fail, sender=sender)


@pytest.mark.parametrize("signal", [pre_delete, post_delete], ids=["pre_delete", "post_delete"])
@pytest.mark.parametrize("order", SELECTIONS, ids=named)
def test_receivers_that_fail(order, signal):
    """A receiver of any model on the way fails, and the blocks end with it or go on."""
    for sender, caught in product(MODELS, ("outside", "inside") if order else ("outside",)):
        with Judge((order, sender.__name__, caught)) as judge:
            try_with_receiver(order, signal, sender, caught, judge)


def try_with_receiver(order, signal, sender, caught, judge):
    heard = False
    with receiver_that_fails(signal, sender):
        try:
            with opened(order):
                try:
                    with opened(order):
                        judge.ada.delete()
                except Boom:
                    heard = True
                    if caught == "outside":
                        raise
        except Boom:
            pass
    result = judge.outcome()
    assert result == ("stands" if heard else "gone")
    if sender is User:
        assert heard


# Views


urlpatterns = []


def view(function):
    urlpatterns.append(path(f"{function.__name__}/<int:key>", function))
    return function


@view
def answers(request, key):
    User.objects.get(pk=key).delete()
    return HttpResponse("gone")


@view
def answers_500(request, key):
    """An answer is no error: the transactions of the request are committed."""
    User.objects.get(pk=key).delete()
    return HttpResponse("sorry", status=500)


@view
def raises(request, key):
    User.objects.get(pk=key).delete()
    raise Boom


@view
def is_not_found(request, key):
    User.objects.get(pk=key).delete()
    raise Http404


@view
def sets_rollback(request, key):
    User.objects.get(pk=key).delete()
    for alias in ALIASES:
        if connections[alias].in_atomic_block:
            transaction.set_rollback(True, using=alias)
    return HttpResponse("never mind")


@view
def tries(request, key):
    """The delete is taken back inside the request, which goes on."""
    try:
        with xdbrel.atomic():
            User.objects.get(pk=key).delete()
            raise Boom
    except Boom:
        return HttpResponse("still there")


@view
def tries_the_targets_side(request, key):
    """The same by a block on the targets' side alone."""
    try:
        with transaction.atomic(using="default"):
            User.objects.get(pk=key).delete()
            raise Boom
    except Boom:
        return HttpResponse("still there")


@view
def fails_after_a_block(request, key):
    with transaction.atomic(using="default"):
        User.objects.get(pk=key).delete()
    raise Boom


VIEWS = {
    # What the view does where the targets' side is the request's, and where it is not.
    "answers": ("gone", "gone"),
    "answers_500": ("gone", "gone"),
    "raises": ("stands", "gone"),
    "is_not_found": ("stands", "gone"),
    "sets_rollback": ("stands", "gone"),
    "tries": ("stands", "stands"),
    "tries_the_targets_side": ("stands", "stands"),
    "fails_after_a_block": ("stands", "gone"),
}


@pytest.mark.parametrize("requests", SELECTIONS, ids=named)
def test_atomic_requests(requests, monkeypatch):
    """Django opens the databases in the order of the settings, the first innermost."""
    for alias in requests:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    client = Client(raise_request_exception=False)
    for name, (inside, outside) in VIEWS.items():
        with Judge((requests, name)) as judge:
            client.get(f"/{name}/{judge.key}")
            assert judge.outcome() == (inside if "default" in requests else outside)
            assert not any(connections[alias].in_atomic_block for alias in ALIASES)


def test_a_request_that_would_commit_half_a_cascade_fails(judge, monkeypatch):
    """The client hears of it: its sources are kept, and so is what else the request wrote."""
    monkeypatch.setitem(connections.settings["blog"], "ATOMIC_REQUESTS", True)
    response = Client(raise_request_exception=False).get(f"/tries_the_targets_side/{judge.key}")
    assert response.status_code == 500
    with pytest.raises(DeleteRolledBack):
        Client().get(f"/tries_the_targets_side/{judge.key}")
    assert judge.outcome() == "stands"


# Test cases


class Inner:
    """What is run by unittest inside a test of pytest's; not collected by itself."""

    def test_delete(self):
        judge = Judge()
        judge.ada.delete()
        assert oracle.outcome(judge.before, (User, judge.key)) == "gone"
        assert judge.outcome() == "gone"

    def test_delete_in_a_block(self):
        judge = Judge()
        callbacks = self.captureOnCommitCallbacks(using="default", execute=True)
        with callbacks, transaction.atomic(using="default"):
            judge.ada.delete()
        assert judge.outcome() == "gone"

    def test_rollback(self):
        judge = Judge()
        with pytest.raises(Boom), xdbrel.atomic():
            judge.ada.delete()
            raise Boom
        assert judge.outcome() == "stands"

    def test_that_fails(self):
        make_world().delete()
        raise Boom


class _InATestCase(Inner, TestCase):
    __test__ = False
    databases = "__all__"


class _InATransactionTestCase(Inner, TransactionTestCase):
    __test__ = False
    databases = "__all__"

    # Django has it on TestCase alone: here commits are commits.
    captureOnCommitCallbacks = staticmethod(lambda **options: ExitStack())


@pytest.mark.parametrize("case", [_InATestCase, _InATransactionTestCase])
def test_run_by_unittest(case):
    """Each test finds and leaves the databases as they were, whatever becomes of it."""
    before = oracle.snapshot()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    assert result.testsRun == 4
    assert [test.id().rpartition(".")[2] for test, _ in result.errors] == ["test_that_fails"]
    assert result.failures == []
    assert oracle.snapshot() == before
    assert not CascadeIntent.objects.exists()
    assert not any(connections[alias].run_on_commit for alias in ALIASES)


def test_a_test_case_beside_rows_of_others(judge):
    """What a TestCase deletes is there again, sources and all, when it has ended."""

    class Deletes(TestCase):
        databases = "__all__"

        def test_delete(self):
            User.objects.all().delete()
            assert not Order.objects.exists()

    suite = unittest.TestSuite([Deletes("test_delete")])
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    assert result.wasSuccessful(), result.errors
    assert judge.outcome() == "stands"


@pytest.mark.django_db(databases="__all__")
class TestUnderTheMark:
    """pytest-django's plain mark: every database in a transaction that is rolled back."""

    def test_delete(self, judge):
        judge.ada.delete()
        assert judge.outcome() == "gone"

    def test_delete_in_blocks(self):
        for order in ORDERS:
            with Judge((order,)) as judge:
                in_blocks(order, None, "commit", judge.ada.delete)
                assert judge.outcome() == "gone"

    def test_callbacks_of_the_commit(self, judge, django_capture_on_commit_callbacks):
        with ExitStack() as stack:
            for alias in ALIASES:
                stack.enter_context(django_capture_on_commit_callbacks(using=alias, execute=True))
            judge.ada.delete()
        statuses = set(CascadeIntent.objects.values_list("status", flat=True))
        assert statuses == {CascadeIntent.Status.APPLIED}
        assert judge.outcome() == "gone"

    def test_rolled_back_together(self, judge):
        with pytest.raises(Boom), xdbrel.atomic():
            judge.ada.delete()
            raise Boom
        assert judge.outcome() == "stands"


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_under_the_mark_for_transactions(judge):
    with pytest.raises(Boom), transaction.atomic(using="default"):
        judge.ada.delete()
        raise Boom
    assert judge.outcome() == "stands"
    User.objects.get(pk=judge.key).delete()
    assert judge.outcome() == "gone"
