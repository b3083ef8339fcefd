"""Sources that were written while their target was being deleted are found by a second look."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import F
from django.utils import timezone

from tests import settings as layout
from tests.apps.shop.models import Order
from xdbrel import signals
from xdbrel.cascade import horizon
from xdbrel.cascade.relay import RelayResult, relay
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status


def statuses():
    return set(CascadeIntent.objects.values_list("status", flat=True))


def later(seconds):
    """Let so much time pass for the intents."""
    CascadeIntent.objects.update(
        available_at=F("available_at") - timedelta(seconds=seconds),
        applied_at=F("applied_at") - timedelta(seconds=seconds),
    )


@pytest.fixture
def late():
    """An order whose customer was deleted, with all that hung on them, just before."""
    user = User.objects.create(username="ada")
    key = user.pk
    user.delete()
    assert statuses() == {Status.APPLIED}
    return Order.objects.create(customer_id=key)


def test_a_late_insert_is_found(late):
    assert relay() == RelayResult()
    assert Order.objects.exists()
    later(61)
    result = relay()
    assert (result.applied, result.failed, result.rows) == (0, 0, 1)
    assert result.confirmed == CascadeIntent.objects.count()
    assert not Order.objects.exists()
    assert statuses() == {Status.CONFIRMED}


def test_afterwards_nobody_looks_again(late):
    later(61)
    relay()
    later(10_000)
    assert relay() == RelayResult()


def test_the_horizon_is_a_setting(late, settings):
    settings.XDBREL = {**settings.XDBREL, "SECOND_LOOK_SECONDS": 3600.0}
    user = User.objects.create(username="bob")
    user.delete()
    later(61)
    # Those that were applied before the setting changed are due, and no other.
    assert relay().confirmed == CascadeIntent.objects.filter(status=Status.CONFIRMED).count()
    assert Status.APPLIED in statuses()
    later(3600)
    assert relay().failed == 0
    assert statuses() == {Status.CONFIRMED}


def test_a_target_that_exists_again_keeps_its_sources(late):
    User.objects.create(pk=late.customer_id, username="again")
    later(61)
    assert relay().rows == 0
    assert Order.objects.exists()
    assert statuses() == {Status.CONFIRMED}


def test_only_what_was_found_is_announced(late):
    """The signal that a cascade reached the sources comes again where it did."""
    heard = []

    def hear(relation, counts, **kwargs):
        heard.append((relation, counts))

    signals.cascade_applied.connect(hear)
    try:
        later(61)
        relay()
    finally:
        signals.cascade_applied.disconnect(hear)
    assert heard == [("shop.Order.customer", {"shop.Order": 1})]


def test_a_second_look_that_fails_is_tried_again(late, settings):
    """As any attempt: with its error, later, and set aside in the end."""
    settings.XDBREL = {**settings.XDBREL, "MAX_ATTEMPTS": 1}

    def refuse(execute, sql, params, many, context):
        raise RuntimeError("away")

    later(61)
    with connections["shop"].execute_wrapper(refuse):
        assert relay(using="default").failed > 0
    intent = CascadeIntent.objects.get(relation="shop.Order.customer")
    assert (intent.status, intent.attempts) == (Status.SET_ASIDE, 1)
    assert intent.last_error == "RuntimeError: away"


@pytest.mark.skipif(
    layout.LAYOUT == "sqlite", reason="SQLite has one writer: nobody else's transaction is open"
)
def test_it_waits_for_transactions_that_saw_the_target():
    """A transaction open since before the cascade may still write a source."""
    user = User.objects.create(username="ada")
    key = user.pk
    other = connections["shop"].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM shop_order")
        # InnoDB tells what it knew before, until nobody has asked for a tenth of a second.
        pause = threading.Event()
        for _ in range(50):
            if horizon.oldest_transaction("shop"):
                break
            pause.wait(0.2)
        assert horizon.oldest_transaction("shop") > 0
        user.delete()
        # Time passes for the leases, and not for the transaction.
        CascadeIntent.objects.update(available_at=timezone.now() - timedelta(seconds=1))
        relay()
        waiting = CascadeIntent.objects.filter(source_alias="shop")
        assert set(waiting.values_list("status", flat=True)) == {Status.APPLIED}
        assert waiting.filter(available_at__lte=timezone.now()).count() == 0
        assert set(waiting.values_list("attempts", flat=True)) == {0}
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO shop_order (customer_id, number) VALUES (%s, '')", [key])
        other.commit()
    finally:
        other.close()
    CascadeIntent.objects.update(available_at=timezone.now() - timedelta(seconds=1))
    relay()
    assert set(waiting.values_list("status", flat=True)) == {Status.CONFIRMED}

    assert not Order.objects.exists()
