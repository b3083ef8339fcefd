"""Several relays at once: each intent is one relay's, and every intent is somebody's."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from tests import settings as layout
from tests.apps.shop.models import Order
from xdbrel.cascade import claims
from xdbrel.cascade.relay import relay
from xdbrel.models import CascadeIntent

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.skipif(
        layout.LAYOUT == "sqlite", reason="SQLite in memory has one connection for all threads"
    ),
]

Status = CascadeIntent.Status
INTENTS = 120


@pytest.fixture
def backlog(settings):
    """Intents of one key each, whose sources are still there."""
    settings.XDBREL = {**settings.XDBREL, "RELAY_BATCH_SIZE": 7}
    users = [User(username=f"u{i}") for i in range(INTENTS)]
    User.objects.bulk_create(users)
    users = list(User.objects.all())
    Order.objects.bulk_create([Order(customer=user) for user in users])
    now = timezone.now()
    CascadeIntent.objects.bulk_create(
        [
            CascadeIntent(
                relation="shop.Order.customer",
                source_alias="shop",
                keys=[user.pk],
                created_at=now,
                available_at=now,
            )
            for user in users
        ]
    )
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM auth_user")


def in_threads(call, number=3):
    together = Barrier(number)

    def one():
        try:
            together.wait()
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(number) as pool:
        return [future.result() for future in [pool.submit(one) for _ in range(number)]]


def test_relays_share_a_backlog(backlog):
    results = in_threads(lambda: relay(using="default"))
    assert sum(result.applied for result in results) == INTENTS
    assert [result.failed for result in results] == [0, 0, 0]
    # A row was counted by the relay that deleted it, and by no other.
    assert sum(result.rows for result in results) == INTENTS
    assert not Order.objects.exists()
    assert set(CascadeIntent.objects.values_list("status", "attempts")) == {(Status.APPLIED, 0)}


def test_claims_do_not_overlap(backlog):
    held = in_threads(lambda: claims.claim("default", 20))
    taken = [pk for claim in held for pk in claim.ids]
    # Rows that another one is just looking at are skipped, so that a claim may come off badly.
    assert len(taken) == len(set(taken)) >= 40
    if len(taken) < 60:
        taken += claims.claim("default", 60 - len(taken)).ids
    assert len(set(taken)) == 60
