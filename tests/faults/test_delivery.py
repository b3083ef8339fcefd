"""Intents that are delivered twice, late, in another order, to two relays, by a wrong clock.

Whatever the delivery: every source of a deleted target follows, no other one does, and no
intent waits for ever.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, models
from django.db.models.signals import post_delete, pre_delete
from django.utils import timezone

from tests.apps.blog.models import Post
from tests.apps.codes.models import Card, Note, Subject, Wallet
from tests.apps.knots.models import Owner, Ticket
from tests.apps.shop.models import Order, Review
from tests.faults import corners, oracle
from tests.faults.corners import ADA, BOB, EVE, LONG_AGO
from tests.faults.tape import Event, lost
from tests.settings import LAYOUT
from xdbrel import relations
from xdbrel.cascade import claims, prune
from xdbrel.cascade.relay import intent_aliases, relay
from xdbrel.models import CascadeIntent, IntentClaim

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)
threaded = pytest.mark.skipif(
    LAYOUT == "sqlite", reason="SQLite in memory has one connection for all threads"
)

Status = CascadeIntent.Status
SECONDS = 30
SHUFFLES = 12


@pytest.fixture
def backlog() -> oracle.Snapshot:
    """Ada and Bob are gone, nothing has followed; returns what must come of it."""
    corners.build("users")
    expected = oracle.after(oracle.snapshot(corners.CORNERS["users"]), (User, ADA), (User, BOB))
    corners.wipe(User, ADA, BOB)
    write_intents([ADA], [BOB])
    return expected


def write_intents(*groups: list[int]) -> None:
    CascadeIntent.objects.bulk_create(
        CascadeIntent(
            relation=relation.handle,
            source_alias=relation.source_home,
            keys=group,
            available_at=LONG_AGO,
        )
        for group in groups
        for relation in relations.all_relations()
        if relation.target is User and relation.policy in ("CASCADE", "SET_NULL")
    )


def assert_complete(expected: oracle.Snapshot) -> None:
    corners.drain()
    assert oracle.snapshot(expected) == expected


def deliver(rows: list[CascadeIntent], using: str) -> None:
    """Let copies of these intents be delivered in this order, one by one."""
    for row in rows:
        row.pk, row.status, row.available_at, row.claimed_by = None, Status.PENDING, LONG_AGO, ""
        row.save(using=using, force_insert=True)
        relay(using=using, limit=1)


# Twice, and in any order.


def test_copies_change_nothing(backlog):
    """Every intent stands there three times, and the last is delivered first."""
    rows = list(CascadeIntent.objects.order_by("-pk"))
    for copy, row in itertools.product((1, 2), rows):
        row.pk, row.available_at = None, LONG_AGO - timedelta(days=copy)
        row.save(force_insert=True)
    number = CascadeIntent.objects.count()
    result = relay(using="default", limit=number)
    assert (result.applied, result.failed) == (number, 0)
    assert_complete(backlog)


@pytest.mark.parametrize("shuffle", range(SHUFFLES))
def test_any_order(backlog, shuffle):
    rows = list(CascadeIntent.objects.all())
    CascadeIntent.objects.all().delete()
    random.Random(shuffle).shuffle(rows)
    deliver(rows, "default")
    assert_complete(backlog)


def test_delivered_again_after_all_is_done(backlog):
    """Long after: what was re-pointed and written meanwhile belongs to other targets."""
    corners.drain()
    Post.objects.filter(author=EVE).update(editor=EVE)
    Review.objects.create(pk=999, author_id=EVE, post_id=31)
    expected = oracle.snapshot(corners.CORNERS["users"])
    for alias in intent_aliases():
        deliver(list(CascadeIntent.objects.using(alias).order_by("-pk")), alias)
    assert_complete(expected)


def test_delivered_again_when_the_key_is_used_again(backlog):
    corners.drain()
    User.objects.create(pk=ADA, username="another", date_joined=LONG_AGO)
    Order.objects.create(pk=999, customer_id=ADA)
    expected = oracle.snapshot(corners.CORNERS["users"])
    deliver(list(CascadeIntent.objects.all()), "default")
    assert_complete(expected)


def test_keys_that_are_set_twice():
    """A source that has been given another target since keeps it."""
    corners.build("owners")
    Owner(pk=21).delete()
    corners.drain()
    Ticket.objects.filter(pk=21).update(default=22, set_to=23)
    expected = oracle.snapshot(corners.CORNERS["owners"])
    deliver(list(CascadeIntent.objects.all()), "default")
    assert_complete(expected)


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
@pytest.mark.parametrize("end", ["lives", "is deleted", "is followed by another"])
def test_changes_of_a_key_in_any_order(order, end):
    """From a to b to c, then gone or not, before anything has followed.

    Where another target has taken the first key meanwhile, the sources are its own.
    """
    subject = Subject.objects.create(slug="a")
    Note.objects.create(subject_id="a")
    wallet = Wallet.objects.create(subject_id="a")
    Card.objects.create(wallet=wallet)
    with away("blog"):
        for slug in ("b", "c"):
            Subject.objects.filter(pk=subject.pk).update(slug=slug)
        if end == "is deleted":
            Subject.objects.get(pk=subject.pk).delete()
        elif end == "is followed by another":
            Subject.objects.create(slug="a")
    handles = ("codes.Note.subject", "codes.Wallet.subject")
    assert CascadeIntent.objects.filter(relation__in=handles).count() >= 4
    for handle in handles:
        rows = list(CascadeIntent.objects.filter(relation=handle).order_by("pk"))
        for number, row in enumerate(rows):
            due = LONG_AGO + timedelta(seconds=order[number % 3])
            CascadeIntent.objects.filter(pk=row.pk).update(available_at=due)
    while relay(using="default", limit=1).applied:
        pass
    corners.drain()
    expected = {"lives": ["c"], "is deleted": [], "is followed by another": ["a"]}[end]
    assert list(Note.objects.values_list("subject_id", flat=True)) == expected
    assert list(Wallet.objects.values_list("subject_id", flat=True)) == expected
    assert list(Card.objects.values_list("wallet_id", flat=True)) == expected


@contextmanager
def away(alias: str) -> Iterator[None]:
    """Let one database refuse what is written there."""

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("DELETE", "UPDATE", "INSERT")):
            raise lost(Event(alias, sql.split()[0]))
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(refuse):
        yield


# To two at a time.


class Halt:
    """Stops whoever deletes an instance of a model in another thread, until it may go on."""

    def __init__(self, signal: Any, model: type[models.Model]) -> None:
        self.signal, self.model = signal, model
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.main = threading.get_ident()
        self.error: Exception | None = None

    def __enter__(self) -> Halt:
        self.signal.connect(self.stop, sender=self.model)
        return self

    def __exit__(self, *args: object) -> None:
        self.go_on.set()
        self.signal.disconnect(self.stop, sender=self.model)

    def stop(self, **kwargs: Any) -> None:
        if threading.get_ident() != self.main and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(SECONDS)
            if self.error is not None:
                raise self.error


@contextmanager
def in_background(call: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Call in a thread with connections of its own; wait for the end after the block."""

    def run() -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        yield future
        future.result(SECONDS)


def statuses() -> set[str]:
    return {
        status
        for alias in intent_aliases()
        for status in CascadeIntent.objects.using(alias).values_list("status", flat=True)
    }


@threaded
@pytest.mark.parametrize("error", [None, RuntimeError("after all")], ids=["goes on", "fails"])
def test_a_lease_that_ends_while_its_holder_works(backlog, error):
    """Another relay does the work meanwhile; the first comes back and finds nothing to do."""
    with Halt(pre_delete, Order) as halt, in_background(relay):
        assert halt.reached.wait(SECONDS)
        halt.error = error
        corners.drain()
        assert oracle.snapshot(backlog) == backlog
        halt.go_on.set()
    assert statuses() == {Status.APPLIED}
    assert_complete(backlog)


@threaded
@pytest.mark.parametrize("error", [None, RuntimeError("after all")], ids=["goes on", "fails"])
@pytest.mark.parametrize("who", ["relay", "delete"])
def test_a_lease_that_ends_while_its_holder_has_locks(backlog, who, error):
    """The other waits for the first one's transaction, then does what that has not done."""
    call: Callable[[], Any] = relay
    if who == "delete":
        corners.build("users")
        call = User.objects.filter(pk__in=[ADA, BOB]).delete
    with Halt(post_delete, Order) as halt, in_background(call):
        assert halt.reached.wait(SECONDS)
        halt.error = error
        with in_background(corners.drain) as second:
            wait_until_blocked("shop", second)
            halt.go_on.set()
    assert_complete(backlog)


def wait_until_blocked(alias: str, future: Future[Any]) -> None:
    """Wait until somebody waits for a lock that somebody else has in the database ``alias``."""
    query = {
        "postgresql": (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ),
        "mysql": (
            "SELECT count(*) FROM information_schema.innodb_trx t"
            " JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
            " WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()"
        ),
    }[connections[alias].vendor]
    until = time.monotonic() + SECONDS
    with connections[alias].cursor() as cursor:
        while True:
            cursor.execute(query)
            if cursor.fetchone()[0]:
                return
            assert not future.done(), "it did not wait"
            assert time.monotonic() < until, "nobody waits"
            # Who asks MariaDB all the time is given the same answer all the time.
            time.sleep(0.2)


@threaded
def test_relays_whose_leases_are_over_at_once(settings, tell):
    """Everybody takes everybody for dead, and does the other's work again."""
    settings.XDBREL = {
        **settings.XDBREL,
        "CLAIM_SECONDS": 0,
        "RETRY_SECONDS": 0,
        "RELAY_BATCH_SIZE": 3,
        "MAX_ATTEMPTS": 1_000,
    }
    corners.build("users")
    expected = oracle.after(
        oracle.snapshot(corners.CORNERS["users"]), (User, ADA), (User, BOB), (User, EVE)
    )
    corners.wipe(User, ADA, BOB, EVE)
    write_intents(*[[user] for user in (ADA, BOB, EVE) for _ in range(3)])
    together = threading.Barrier(3)

    def one() -> int:
        try:
            together.wait(SECONDS)
            return relay().applied
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        applied = [future.result(SECONDS) for future in [pool.submit(one) for _ in range(3)]]
    tell(f"{sum(applied)} intents applied by 3 relays, of {CascadeIntent.objects.count()}")
    assert_complete(expected)


# By a wrong clock.

MINUTES = timedelta(minutes=1)
SKEWS = [-30, 0, 30]


@contextmanager
def clock_off_by(monkeypatch: pytest.MonkeyPatch, minutes: float) -> Iterator[None]:
    """Let this process's clock be ahead, or behind."""
    true = timezone.now
    with monkeypatch.context() as patch:
        patch.setattr(timezone, "now", lambda: true() + minutes * MINUTES)
        yield


@pytest.mark.parametrize("relaying", SKEWS)
@pytest.mark.parametrize("writing", SKEWS)
def test_clocks_that_differ(writing, relaying, settings, monkeypatch):
    """Who deletes and who relays do not agree on the time; nothing waits longer than that."""
    settings.XDBREL = {
        **settings.XDBREL,
        "CLAIM_SECONDS": 0,
        "RETRY_SECONDS": 0,
        "SECOND_LOOK_SECONDS": 0,
    }
    corners.build("users")
    expected = oracle.after(oracle.snapshot(corners.CORNERS["users"]), (User, ADA))
    with clock_off_by(monkeypatch, writing), away("blog"), away("shop"):
        User(pk=ADA).delete()
    assert statuses() == {Status.PENDING}
    # Where the database tells the time, nobody waits at all.
    behind = max(0, writing - relaying) if LAYOUT == "sqlite" else 0
    if behind:
        with clock_off_by(monkeypatch, relaying):
            assert relay().applied == 0
    for passed in (behind, behind + 1):
        with clock_off_by(monkeypatch, relaying + passed):
            relay()
    assert not corners.waiting()
    assert oracle.snapshot(expected) == expected


@pytest.mark.parametrize("skew", SKEWS)
def test_who_dies_with_a_wrong_clock_holds_nothing_up(backlog, skew, settings, monkeypatch):
    """Its claim is over when its time is, by the clock of those that live, or its skew later."""
    settings.XDBREL = {**settings.XDBREL, "RETRY_SECONDS": 0}
    with clock_off_by(monkeypatch, skew):
        dead = claims.claim("default", 5)
    assert len(dead.intents) == 5
    (until,) = IntentClaim.objects.values_list("until", flat=True)
    wrong_by = skew * MINUTES if LAYOUT == "sqlite" else timedelta()
    assert abs(until - timezone.now() - wrong_by) < 2 * MINUTES
    if LAYOUT != "sqlite":
        # The database's clock cannot be turned.
        IntentClaim.objects.update(until=LONG_AGO)
    # What it does not hold is everybody's, and what it held is so after its time.
    with clock_off_by(monkeypatch, max(0, skew) + 2):
        # Once to find it dead, once to do its work.
        relay()
        relay()
    assert not IntentClaim.objects.exists()
    assert not corners.waiting()
    assert_complete(backlog)


def test_a_clock_ahead_prunes_only_what_is_finished(backlog, monkeypatch):
    with clock_off_by(monkeypatch, 60 * 24 * 365):
        prune.prune("default")
    assert_complete(backlog)
