"""The relay finishes what a delete could not: claims, retries, and what it leaves alone."""

from contextlib import contextmanager
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connections
from django.utils import timezone

from tests.apps.blog.models import Comment, Post, Visit
from tests.apps.people.models import Device
from tests.apps.shop.models import Order, Review
from xdbrel.cascade import claims
from xdbrel.cascade.relay import RelayResult, intent_aliases, relay
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status
WRITES = ("DELETE", "UPDATE")


class Away:
    """A database that answers no statement of the given verbs (any, where none is given)."""

    def __init__(self, alias, *verbs):
        self.alias, self.verbs = alias, verbs

    def __enter__(self):
        self.wrapper = connections[self.alias].execute_wrapper(self._refuse)
        self.wrapper.__enter__()

    def __exit__(self, *args):
        self.wrapper.__exit__(*args)

    def _refuse(self, execute, sql, params, many, context):
        if not self.verbs or sql.startswith(self.verbs):
            raise DatabaseError(f"{self.alias} is away")
        return execute(sql, params, many, context)


@pytest.fixture
def left_behind():
    """A user who is gone, with posts and a review of one left behind in their databases."""
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="one", author=user)
    Comment.objects.create(post=post, author=user)
    Review.objects.create(post=post)
    Order.objects.create(customer=user)
    key = user.pk
    with Away("blog", *WRITES), Away("shop", *WRITES):
        user.delete()
    assert Post.objects.count() == Order.objects.count() == Review.objects.count() == 1
    return key


def make_due():
    for alias in intent_aliases():
        CascadeIntent.objects.using(alias).update(available_at=timezone.now())


def test_what_is_left_is_finished(left_behind):
    make_due()
    result = relay()
    assert result.failed == 0
    # Two databases away: the review's intent was written, and applied, on the way.
    assert not Post.objects.exists()
    assert not Comment.objects.exists()
    assert not Review.objects.exists()
    assert not Order.objects.exists()
    assert result.rows == 3
    assert not CascadeIntent.objects.exclude(status=Status.APPLIED).exists()


def test_a_second_time_does_nothing(left_behind):
    make_due()
    relay()
    assert relay() == RelayResult()


def test_nothing_is_taken_before_its_time(left_behind):
    """After a failure the intents wait: they are not due yet."""
    assert relay() == RelayResult()
    assert Post.objects.exists()


def test_using_takes_one_database(left_behind):
    make_due()
    assert relay(using="shop") == RelayResult()
    assert Post.objects.exists()
    assert relay(using="default").applied > 0


def test_limit(left_behind):
    make_due()
    pending = CascadeIntent.objects.filter(status=Status.PENDING).count()
    assert relay(limit=1).applied == 1
    assert CascadeIntent.objects.filter(status=Status.PENDING).count() == pending - 1


def test_no_more_is_taken_when_the_time_is_over(left_behind):
    make_due()
    assert relay(seconds=0) == RelayResult()
    assert relay(seconds=60).applied > 0


def test_a_target_that_exists_again_keeps_its_sources(left_behind):
    """Keys can be used again; the sources then belong to the new row."""
    User.objects.create(pk=left_behind, username="bob")
    make_due()
    assert relay().failed == 0
    assert Post.objects.get().author.username == "bob"
    assert Order.objects.count() == 1


def test_one_that_fails_does_not_hold_up_the_others(left_behind, settings):
    settings.XDBREL = {**settings.XDBREL, "RETRY_SECONDS": 100.0}
    make_due()
    with Away("shop", *WRITES):
        result = relay()
    assert result.failed > 0
    assert result.applied > 0
    assert not Post.objects.exists()
    assert Order.objects.exists()
    waiting = CascadeIntent.objects.get(relation="shop.Order.customer")
    assert waiting.status == Status.PENDING
    assert waiting.attempts == 2
    assert waiting.last_error == "DatabaseError: shop is away"
    assert waiting.claimed_by == ""
    # 100 s doubled once, with half as much jitter either way.
    delay = (waiting.available_at - timezone.now()).total_seconds()
    assert 95 < delay < 305


def test_after_enough_attempts_an_intent_is_set_aside(left_behind, settings, caplog):
    """It is kept with its error and not tried again; the others go through."""
    settings.XDBREL = {**settings.XDBREL, "MAX_ATTEMPTS": 2}
    make_due()
    with Away("shop", *WRITES):
        relay()
    aside = CascadeIntent.objects.get(relation="shop.Order.customer")
    assert aside.status == Status.SET_ASIDE
    assert aside.last_error == "DatabaseError: shop is away"
    record = next(r for r in caplog.records if getattr(r, "action", "") == "intent_set_aside")
    assert record.levelname == "ERROR"
    make_due()
    relay()
    assert CascadeIntent.objects.get(pk=aside.pk).attempts == aside.attempts
    assert Order.objects.exists()


def test_a_poisoned_intent_among_many_of_its_relation_stands_alone(settings):
    """Intents of one relation share statements until one of them fails."""
    settings.XDBREL = {**settings.XDBREL, "INTENT_KEYS": 1}
    users = User.objects.bulk_create([User(username=f"u{i}") for i in range(5)])
    users = list(User.objects.order_by("pk"))
    Order.objects.bulk_create([Order(customer=user) for user in users])
    with Away("shop", *WRITES):
        User.objects.all().delete()
    poisoned = users[2].pk
    make_due()
    CascadeIntent.objects.exclude(relation="shop.Order.customer").delete()
    bad = next(i for i in CascadeIntent.objects.all() if i.keys == [poisoned])
    CascadeIntent.objects.filter(pk=bad.pk).update(keys=["not a key"])
    result = relay()
    assert (result.applied, result.failed) == (4, 1)
    assert [order.customer_id for order in Order.objects.all()] == [poisoned]


def test_an_intent_of_an_unknown_relation_is_kept(left_behind, settings):
    settings.XDBREL = {**settings.XDBREL, "MAX_ATTEMPTS": 1}
    CascadeIntent.objects.filter(status=Status.PENDING).update(relation="shop.Order.gone")
    make_due()
    relay()
    errors = set(CascadeIntent.objects.values_list("status", "last_error")) - {
        (Status.APPLIED, "")
    }
    assert errors == {
        (
            Status.SET_ASIDE,
            "UnknownRelation: There is no cross-database relation 'shop.Order.gone'. "
            'Did you mean shop.Order.customer? "manage.py xdbrel_relations" lists them.',
        )
    }


def test_a_claim_is_exclusive(left_behind):
    make_due()
    first = claims.claim("default", 1_000)
    second = claims.claim("default", 1_000)
    assert first.intents
    assert second.intents == []
    claims.finish(first)
    assert claims.claim("default", 1_000).ids == first.ids


def test_a_claim_expires(left_behind, settings, caplog):
    """A process that died with a claim in hand is succeeded, and the attempt is counted."""
    make_due()
    failed_before = set(CascadeIntent.objects.filter(attempts=1).values_list("pk", flat=True))
    settings.XDBREL = {**settings.XDBREL, "CLAIM_SECONDS": 0.0, "RETRY_SECONDS": 0.0}
    dead = claims.claim("default", 1_000)
    assert set(dead.ids) == failed_before
    # Its successor takes one at a time: whichever killed the process kills no other's turn.
    first = claims.claim("default", 1_000)
    assert len(first.intents) == 1
    assert first.intents[0].attempts == 2
    assert first.intents[0].last_error == "The process that held it died"
    assert not claims.renew(dead)
    assert claims.renew(first)
    record = next(r for r in caplog.records if getattr(r, "action", "") == "claim_expired")
    assert record.getMessage() == (
        f"A process that held {len(dead.ids)} intents in default died; they are tried again, "
        "each by itself"
    )


def test_what_kills_its_process_is_set_aside(left_behind, settings):
    """Without an error that anybody could record, it is not tried for ever; the others go on."""
    settings.XDBREL = {
        **settings.XDBREL,
        "CLAIM_SECONDS": 0.0,
        "RETRY_SECONDS": 0.0,
        "MAX_ATTEMPTS": 4,
    }

    class Killed(BaseException):
        pass

    def kill(execute, sql, params, many, context):
        if sql.startswith("DELETE") and "shop_order" in sql:
            raise Killed
        return execute(sql, params, many, context)

    make_due()
    kills = 0
    with connections["shop"].execute_wrapper(kill), dying():
        while CascadeIntent.objects.filter(status=Status.PENDING).exists():
            try:
                relay(using="default")
            except Killed:
                kills += 1
            assert kills < 10
    aside = CascadeIntent.objects.get(status=Status.SET_ASIDE)
    assert aside.relation == "shop.Order.customer"
    assert aside.last_error == "The process that held it died"
    assert kills == 3
    assert not Post.objects.exists()


@contextmanager
def dying():
    """Let no process clean up after itself."""
    with mock.patch.object(claims, "finish"):
        yield


def test_keys_of_other_types_come_back_from_json():
    device, kept = Device.objects.create(), Device.objects.create()
    Visit.objects.create(device=device)
    Visit.objects.create(device=kept)
    with Away("blog", *WRITES):
        device.delete()
    assert Visit.objects.count() == 2
    make_due()
    relay()
    assert Visit.objects.get().device == kept


def test_a_database_whose_intents_cannot_be_read_does_not_stop_the_relay(left_behind, caplog):
    make_due()
    with Away("default"):
        result = relay()
    assert result.unreachable == ["default"]
    record = next(r for r in caplog.records if getattr(r, "action", "") == "relay_unreachable")
    assert record.alias == "default"
    assert relay().unreachable == []
    assert not Post.objects.exists()
