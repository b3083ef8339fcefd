"""Statement faults: each event of a delete and of the relay fails in turn, in every way.

A scenario runs once undisturbed, to count the events on all databases: statements,
savepoints, commits, autocommit turned off and on, connects. Then it runs once for every
event, with a fault at that event. Whatever comes of it, either everything stands, or the
targets are gone and what must follow is on record; and the relay finishes it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import Error, connections, models, transaction
from django.db.models.signals import post_delete, pre_delete

import xdbrel
from tests.apps.archive.models import Shelf
from tests.apps.blog.models import Comment, Letter, Post
from tests.apps.climate.models import Region, Trip, Weather
from tests.apps.clubs.models import Club, Membership, Reader
from tests.apps.knots.models import Album, Artist, Owner, Player, Song, Team, Ticket
from tests.apps.notes.models import Gadget, Note, Thing
from tests.apps.people.models import Bookmark, Member, Person
from tests.apps.shop.models import Invoice, Order, Review
from tests.faults import corners, oracle
from tests.faults.corners import ADA, BOB, LONG_AGO
from tests.faults.tape import (
    FAULTS,
    Died,
    Event,
    Fault,
    Tape,
    hang_up,
    kept_in_memory,
    makes_sense,
    refused,
)
from tests.settings import LAYOUT
from xdbrel import relations
from xdbrel.cascade.relay import intent_aliases, relay
from xdbrel.exceptions import XdbrelError
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

#: The fewest events that a delete which crosses can do with: fewer, and the tape is broken.
FEWEST = 10

#: Every kind of fault at every event, as for the README's figures, or the kinds in turn.
EVERY_KIND = os.environ.get("XDBREL_FAULT_KINDS", "") == "every"


@dataclass(frozen=True)
class Scenario:
    """What is done to which rows, and what else is as it is."""

    name: str
    corner: str
    act: Callable[[], Any]
    gone: tuple[Any, ...]
    #: Models whose deletion somebody listens to: then instances are collected.
    heard: tuple[type[models.Model], ...] = ()
    #: Done to the rows once they are made, and before each time.
    first: Callable[[], Any] = lambda: None
    at_last: Callable[[], Any] = lambda: None
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


class TakenBack(Exception):
    """A reason to roll back."""


def ada() -> User:
    return User(pk=ADA)


def in_atomic(*aliases: str) -> Callable[[], None]:
    def act() -> None:
        with ExitStack() as stack:
            for alias in aliases:
                stack.enter_context(transaction.atomic(using=alias))
            ada().delete()

    return act


def in_xdbrel_atomic() -> None:
    with xdbrel.atomic("default", "blog", "shop"):
        ada().delete()


def in_a_savepoint() -> None:
    with xdbrel.atomic(), xdbrel.atomic("default", "blog"):
        ada().delete()


def beside_a_savepoint_rolled_back() -> None:
    """One delete is taken back inside the block, another stands."""
    with transaction.atomic(using="default"):
        with suppress(TakenBack), transaction.atomic(using="default"):
            User(pk=BOB).delete()
            raise TakenBack
        ada().delete()


def two_in_a_block() -> None:
    with xdbrel.atomic():
        ada().delete()
        User.objects.filter(pk=BOB).delete()


def without_autocommit() -> None:
    transaction.set_autocommit(False, using="default")
    ada().delete()
    transaction.commit(using="default")
    transaction.set_autocommit(True, using="default")


def protected() -> None:
    with pytest.raises(models.ProtectedError):
        ada().delete()


def bill_ada() -> None:
    Invoice.objects.bulk_create([Invoice(pk=1, customer_id=ADA)])


def leave_a_backlog(*keys: int) -> Callable[[], None]:
    """Let users be gone, nothing have followed, and intents of all their relations wait."""

    def first() -> None:
        corners.wipe(User, *keys)
        CascadeIntent.objects.bulk_create(
            CascadeIntent(
                relation=relation.handle,
                source_alias=relation.source_home,
                keys=[*keys],
                available_at=LONG_AGO,
            )
            for relation in relations.all_relations()
            if relation.target is User and relation.policy in ("CASCADE", "SET_NULL")
        )

    return first


ADA_GONE = ((User, ADA),)
BOTH_GONE = ((User, ADA), (User, BOB))
HEARD = (User, Post, Comment, Order, Review, Bookmark)

SCENARIOS = (
    Scenario("instance", "users", lambda: ada().delete(), ADA_GONE),
    Scenario(
        "queryset",
        "users",
        lambda: User.objects.filter(pk__in=[ADA, BOB]).delete(),
        BOTH_GONE,
    ),
    Scenario("heard", "users", lambda: ada().delete(), ADA_GONE, heard=HEARD),
    Scenario(
        "many intents",
        "users",
        lambda: User.objects.filter(pk__in=[ADA, BOB]).delete(),
        BOTH_GONE,
        settings={"INTENT_KEYS": 1, "CHUNK_SIZE": 1},
    ),
    Scenario(
        "in steps", "users", lambda: ada().delete(), ADA_GONE, settings={"RELAY_BATCH_ROWS": 2}
    ),
    Scenario(
        "in steps heard",
        "users",
        lambda: ada().delete(),
        ADA_GONE,
        heard=HEARD,
        settings={"RELAY_BATCH_ROWS": 2},
    ),
    Scenario("connecting", "users", lambda: ada().delete(), ADA_GONE, at_last=hang_up),
    Scenario(
        "post",
        "users",
        lambda: Post.objects.filter(author=ADA).delete(),
        ((Post, 11), (Post, 12)),
    ),
    Scenario("protected", "users", protected, (), first=bill_ada, heard=HEARD),
    Scenario(
        "owners",
        "owners",
        lambda: Owner.objects.filter(pk__in=[21, 22]).delete(),
        ((Owner, 21), (Owner, 22)),
    ),
    Scenario(
        "owners heard",
        "owners",
        lambda: Owner(pk=21).delete(),
        ((Owner, 21),),
        heard=(Ticket,),
    ),
    Scenario("shelf", "owners", lambda: Shelf(pk=2).delete(), ((Shelf, 2),)),
    Scenario("circle", "circle", lambda: Team(pk=1).delete(), ((Team, 1),)),
    Scenario(
        "circle heard",
        "circle",
        lambda: Player(pk=10).delete(),
        ((Player, 10),),
        heard=(Team, Player),
    ),
    Scenario(
        "circle in atomic",
        "circle",
        lambda: in_blocks(Team(pk=1)),
        ((Team, 1),),
    ),
    Scenario("artist", "artists", lambda: Artist(pk=1).delete(), ((Artist, 1),)),
    Scenario(
        "artist heard",
        "artists",
        lambda: Artist(pk=1).delete(),
        ((Artist, 1),),
        heard=(Album, Song),
    ),
    Scenario("member", "people", lambda: Member.objects.get(pk=1).delete(), ((Member, 1),)),
    Scenario(
        "person heard", "people", lambda: Person(pk=1).delete(), ((Person, 1),), heard=(Letter,)
    ),
    Scenario("reader", "clubs", lambda: Reader(pk=1, slug="r1").delete(), ((Reader, 1),)),
    Scenario("club", "clubs", lambda: Club(pk=1).delete(), ((Club, 1),), heard=(Membership,)),
    Scenario(
        "weather",
        "climate",
        lambda: Weather(place="A", hour=LONG_AGO).delete(),
        ((Weather, ("A", LONG_AGO)),),
    ),
    Scenario(
        "region",
        "climate",
        lambda: Region(pk=1, country="us", number=1).delete(),
        ((Region, 1),),
        heard=(Trip,),
    ),
    Scenario("thing", "notes", lambda: Thing(pk=1).delete(), ((Thing, 1),)),
    Scenario(
        "gadget",
        "notes",
        lambda: Gadget(pk=corners.GADGETS[0]).delete(),
        ((Gadget, corners.GADGETS[0]),),
        heard=(Note,),
    ),
    Scenario("target in atomic", "users", in_atomic("default"), ADA_GONE),
    Scenario("source in atomic", "users", in_atomic("blog"), ADA_GONE),
    Scenario("both in atomic", "users", in_atomic("shop", "blog", "default"), ADA_GONE),
    Scenario("xdbrel.atomic", "users", in_xdbrel_atomic, ADA_GONE),
    Scenario("xdbrel.atomic heard", "users", in_xdbrel_atomic, ADA_GONE, heard=HEARD),
    Scenario("savepoint", "users", in_a_savepoint, ADA_GONE),
    Scenario("savepoint rolled back", "users", beside_a_savepoint_rolled_back, ADA_GONE),
    Scenario("two deletes", "users", two_in_a_block, BOTH_GONE),
    Scenario("without autocommit", "users", without_autocommit, ADA_GONE),
    Scenario("relay", "users", relay, BOTH_GONE, first=leave_a_backlog(ADA, BOB)),
    Scenario(
        "relay in batches",
        "users",
        relay,
        ADA_GONE,
        heard=HEARD,
        first=leave_a_backlog(ADA),
        settings={"RELAY_BATCH_SIZE": 3},
    ),
    Scenario(
        "relay in steps",
        "users",
        relay,
        ADA_GONE,
        first=leave_a_backlog(ADA),
        settings={"RELAY_BATCH_ROWS": 2},
    ),
)


def in_blocks(target: models.Model) -> None:
    with xdbrel.atomic():
        target.delete()


@contextmanager
def listening(*heard: type[models.Model]) -> Iterator[None]:
    def receive(**kwargs: Any) -> None:
        pass

    for model in heard:
        pre_delete.connect(receive, sender=model)
        post_delete.connect(receive, sender=model)
    try:
        yield
    finally:
        for model in heard:
            pre_delete.disconnect(receive, sender=model)
            post_delete.disconnect(receive, sender=model)


@pytest.fixture(autouse=True)
def real_connections() -> Iterator[None]:
    with kept_in_memory():
        yield


class Trial:
    """One scenario, run again and again from the same rows."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.models = corners.CORNERS[scenario.corner]
        corners.build(scenario.corner)
        self.whole = oracle.snapshot(self.models)
        scenario.first()
        #: What a relay begins with lacks the targets already.
        self.before = oracle.snapshot(self.models)
        self.intact = True
        complete = self.before if self.stands(self.before) else self.whole
        self.after = oracle.after(complete, *scenario.gone)

    def stands(self, rows: oracle.Snapshot) -> bool:
        there = {pk in rows[model] for model, pk in self.scenario.gone}
        assert len(there) <= 1, "some targets are gone and others are not"
        return there != {False}

    def run(self, tape: Tape) -> BaseException | None:
        """Do what is done, and lose the connections then as a dying process does."""
        if not self.intact:
            corners.build(self.scenario.corner)
            self.scenario.first()
        self.intact = False
        self.scenario.at_last()
        error: BaseException | None = None
        with listening(*self.scenario.heard), tape:
            try:
                self.scenario.act()
            except (Error, XdbrelError, Died) as caught:
                error = caught
        hang_up()
        return error

    def judge(self, error: BaseException | None) -> str:
        """Fail if anything is lost, now or when the relay has finished; return what came of it."""
        gone = self.scenario.gone
        now = oracle.snapshot(self.models)
        if self.stands(now):
            assert error is not None or not gone, "it did not raise, and nothing was deleted"
            assert now == self.before
            assert not any(
                CascadeIntent.objects.using(alias).exists() for alias in intent_aliases()
            )
            self.intact = True
            return "stands"
        came = "complete" if now == self.after else "on record"
        if came == "on record":
            oracle.assert_consistent(self.whole, roots=gone)
        if came == "on record" or corners.waiting():
            corners.drain()
            assert oracle.snapshot(self.models) == self.after
        return came


def faults_at(number: int, event: Event) -> list[Fault]:
    """Return what happens at the event of that number, in turn or, if asked for, everything."""
    possible = [fault for fault in FAULTS if makes_sense(fault, event)]
    return possible if EVERY_KIND else [possible[number % len(possible)]]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_fault_at_every_event(scenario, settings, tell):
    settings.XDBREL = {**settings.XDBREL, **scenario.settings}
    trial = Trial(scenario)
    clean = Tape()
    assert trial.run(clean) is None
    assert trial.judge(None) == ("complete" if scenario.gone else "stands")
    assert not scenario.gone or len(clean.events) >= FEWEST
    found: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    turn = SCENARIOS.index(scenario)
    for at, event in enumerate(clean.events):
        for fault in faults_at(at + turn, event):
            tape = Tape(at, fault)
            error = trial.run(tape)
            try:
                # The same up to the fault: no event was passed over.
                assert tape.events[: at + 1] == clean.events[: at + 1]
                found[trial.judge(error)] += 1
            except AssertionError as failure:
                failure.add_note(f"{fault.__name__} at event {at}, {event}; raised: {error!r}")
                failure.add_note("\n".join(map(str, tape.events)))
                raise
            kinds[fault.__name__] += 1
    tell(f"{counted(kinds)} at {len(clean.events)} events; {counted(found)}")


@pytest.mark.skipif(LAYOUT == "sqlite", reason="SQLite in memory has nothing that could be closed")
@pytest.mark.parametrize("name", ["relay", "instance"])
def test_a_connection_that_stays_in_a_transaction_is_given_up(name):
    """What would be done on it afterwards would never be committed, and count as done."""
    (scenario,) = (one for one in SCENARIOS if one.name == name)
    trial = Trial(scenario)
    clean = Tape()
    trial.run(clean)
    ending = [
        at for at, event in enumerate(clean.events) if event == Event("blog", "AUTOCOMMIT ON")
    ]
    assert ending
    for at in ending[:1]:
        corners.build(scenario.corner)
        scenario.first()
        with Tape(at, refused) as tape:
            scenario.act()
        assert tape.struck == Event("blog", "AUTOCOMMIT ON")
        Post.objects.create(pk=999, author_id=corners.EVE)
        assert connections["blog"].get_autocommit()
        hang_up()
        assert Post.objects.filter(pk=999).delete()[0] == 1
        trial.judge(None)


def counted(numbers: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in numbers.items())
