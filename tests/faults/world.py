"""What the processes of a fault run write and delete, in the models of one of three projects.

``TestModels`` are those of ``tests.apps``: three homes in a row, since what hangs on a post
is in yet another database. ``Kinds`` are the targets of many-to-many, generic and composite
relations there. ``SampleModels`` are the sample project's.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.db import models, transaction

from tests.faults.journal import Journal
from xdbrel import placement

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)

Model = type[models.Model]


class World:
    """Users and what belongs to them."""

    #: In the order of commits: targets before sources.
    homes: tuple[str, ...]
    watched: list[Model]
    #: What is deleted; there are sources of each.
    targets: list[Model] = [User]

    def newcomer(self, pk: int, rng: random.Random, journal: Journal) -> None:
        """Write a user with something of each kind; one in twelve cannot be deleted."""
        user = User(pk=pk, username=f"user {pk}")
        if rng.random() < 1 / 12:
            # First: a PROTECT does not hold what is written while it is judged.
            with transaction.atomic(using=self.homes[-1]):
                invoice = self.invoice(user)
            journal.row(invoice)
        user.save(force_insert=True)
        journal.row(user)
        for write in self.writes(user):
            self.write(write, user, rng, journal)

    def write(
        self,
        write: Callable[[Any, random.Random], tuple[str, list[models.Model]]],
        user: Any,
        rng: random.Random,
        journal: Journal,
        in_time: Callable[[], None] = lambda: None,
    ) -> int:
        """Write rows in one transaction, return how many; ``in_time`` may refuse its commit."""
        alias, rows = write(user, rng)
        with transaction.atomic(using=alias):
            for row in rows:
                row.save(using=alias, force_insert=True)
            in_time()
        for row in rows:
            journal.row(row)
        return len(rows)

    def writes(
        self, target: Any
    ) -> list[Callable[[Any, random.Random], tuple[str, list[models.Model]]]]:
        """Return what gives a target sources: (alias, rows in the order of their writing)."""
        raise NotImplementedError

    def between(self, rng: random.Random) -> Any:
        """Return a target that is a source itself, if there is one."""
        return _another(self.Post.objects, rng)

    def key(self, model: Model, number: int) -> Any:
        """Return the primary key of the target of a model that ``newcomer(number)`` wrote."""
        return number

    def protected(self) -> set[Any]:
        """Return the keys of targets that cannot be deleted."""
        return set(self.Invoice.objects.values_list("customer", flat=True))

    def invoice(self, user: Any) -> models.Model:
        """Write what protects ``user``."""
        raise NotImplementedError


class TestModels(World):
    homes = ("default", "blog", "shop")

    def __init__(self) -> None:
        from tests.apps.blog.models import Comment, Post
        from tests.apps.people.models import Bookmark
        from tests.apps.shop.models import Invoice, Order, Profile, Review

        self.Post, self.Comment, self.Bookmark = Post, Comment, Bookmark
        self.Invoice, self.Order, self.Profile, self.Review = Invoice, Order, Profile, Review
        self.watched = [User, Post, Comment, Bookmark, Invoice, Order, Profile, Review]

    def writes(self, target):
        return [self.posts, self.comment, self.orders, self.review, self.profile, self.bookmark]

    def posts(self, user, rng):
        editor = rng.choice([None, user, _another(User.objects, rng)])
        post = self.Post(title="one", author=user, editor=editor)
        other = self.Post(title="two", author=user)
        return "blog", [post, other, self.Comment(post=post, author=user)]

    def comment(self, user, rng):
        post = _another(self.Post.objects, rng)
        return "blog", [self.Comment(post=post, author=user)] if post else []

    def orders(self, user, rng):
        return "shop", [self.Order(customer=user) for _ in range(rng.randint(1, 3))]

    def review(self, user, rng):
        post = _another(self.Post.objects, rng)
        return "shop", [self.Review(author=user, post=post), self.Review(author=user)]

    def profile(self, user, rng):
        if self.Profile.objects.filter(user=user).exists():
            return "shop", []
        return "shop", [self.Profile(user=user)]

    def bookmark(self, user, rng):
        post = _another(self.Post.objects, rng)
        return "default", [self.Bookmark(post=post)] if post else []

    def invoice(self, user):
        return self.Invoice.objects.create(customer_id=user.pk)


class Kinds(World):
    """Readers and clubs, things, weather and regions: targets of relations of other kinds."""

    homes = ("default", "blog", "shop")

    def __init__(self) -> None:
        from tests.apps.climate.models import Record, Region, Report, Stop, Trip, Weather
        from tests.apps.clubs.models import Club, Membership, Reader
        from tests.apps.notes.models import Label, Note, Reply, Thing

        self.Reader, self.Club, self.Membership = Reader, Club, Membership
        self.Thing, self.Note, self.Reply, self.Label = Thing, Note, Reply, Label
        self.Weather, self.Region, self.Record = Weather, Region, Record
        self.Trip, self.Stop, self.Report = Trip, Stop, Report
        self.targets = [Reader, Club, Thing, Weather, Region]
        between = [Reader.likes, Club.readers, Club.patrons, Club.friends]
        self.watched = [*self.targets, *(one.through for one in between), Membership]
        self.watched += [Note, Reply, Label, Trip, Stop, Report, Record]

    def newcomer(self, pk, rng, journal):
        """Write a target of each kind, with something of each that may hang on it."""
        made = [
            self.Reader(pk=pk, slug=f"r{pk}"),
            self.Club(pk=pk, name=f"c{pk}"),
            self.Thing(pk=pk),
            self.Weather(place=f"p{pk}", hour=NOON),
            self.Region(pk=pk, country="fr", number=pk),
        ]
        for one in made:
            one.save(force_insert=True)
            journal.row(one)
        for one in made:
            for write in self.writes(one):
                self.write(write, one, rng, journal)

    def writes(self, target):
        return {
            self.Reader: [self.likes, self.joins, self.membership],
            self.Club: [self.liked, self.joined, self.friend],
            self.Thing: [self.note, self.label],
            self.Weather: [self.trip, self.report, self.record],
            self.Region: [self.trip_there],
        }[type(target)]

    def between(self, rng):
        return _another(self.Trip.objects, rng)

    def key(self, model, number):
        return (f"p{number}", NOON) if model is self.Weather else number

    def protected(self):
        return set()

    def likes(self, reader, rng):
        through = self.Reader.likes.through
        return "default", _new(through, reader=reader, club=_another(self.Club.objects, rng))

    def liked(self, club, rng):
        through = self.Reader.likes.through
        return "default", _new(through, reader=_another(self.Reader.objects, rng), club=club)

    def joins(self, reader, rng):
        through = self.Club.readers.through
        return "blog", _new(through, reader=reader, club=_another(self.Club.objects, rng))

    def joined(self, club, rng):
        """In a database where neither side is."""
        through = self.Club.patrons.through
        return "shop", _new(through, reader=_another(self.Reader.objects, rng), club=club)

    def friend(self, club, rng):
        through = self.Club.friends.through
        return "default", _new(through, from_club=club, to_club=_another(self.Club.objects, rng))

    def membership(self, reader, rng):
        club, sponsor = _another(self.Club.objects, rng), _another(self.Reader.objects, rng)
        return "shop", _new(self.Membership, club=club, reader=reader, sponsor=sponsor)

    def note(self, thing, rng):
        note = self.Note(about=thing)
        return "blog", [note, self.Reply(note=note)]

    def label(self, thing, rng):
        return "shop", [self.Label(subject=thing)]

    def trip(self, weather, rng, region=None):
        region = region or _another(self.Region.objects, rng)
        # Without a target of the one or of the other, it holds no key of theirs.
        where = {"country": "fr", "region_number": region and region.number}
        when = {"place": weather.place, "hour": weather.hour} if weather else {}
        trip = self.Trip(**where, **when)
        return "blog", [trip, self.Stop(trip=trip)]

    def trip_there(self, region, rng):
        return self.trip(_another(self.Weather.objects, rng), rng, region)

    def report(self, weather, rng):
        trip = _another(self.Trip.objects, rng)
        return "shop", [self.Report(trip=trip)] if trip else []

    def record(self, weather, rng):
        return "default", [self.Record(place=weather.place, hour=weather.hour)]


class SampleModels(World):
    homes = ("default", "blog_db", "shop_db")

    def __init__(self) -> None:
        from sample_project.blog.models import Comment, Post
        from sample_project.shop.models import Category, Invoice, Order, Product, Profile, Review

        self.Post, self.Comment = Post, Comment
        self.Invoice, self.Order, self.Profile, self.Review = Invoice, Order, Profile, Review
        self.Category, self.Product = Category, Product
        self.watched = [User, Post, Comment, Invoice, Order, Profile, Review]
        self.numbers = itertools.count()

    def writes(self, target):
        return [self.posts, self.comment, self.orders, self.review, self.profile]

    def posts(self, user, rng):
        post = self.Post(title="one", content="…", author=user)
        other = self.Post(title="two", content="…", author=user)
        return "blog_db", [post, other, self.Comment(post=post, author=user, content="…")]

    def comment(self, user, rng):
        post = _another(self.Post.objects, rng)
        return "blog_db", [self.Comment(post=post, author=user, content="…")] if post else []

    def orders(self, user, rng):
        return "shop_db", [
            self.Order(customer=user, order_number=f"{rng.getrandbits(100):x}", total=1)
            for _ in range(rng.randint(1, 3))
        ]

    def review(self, user, rng):
        product = self.Product.objects.order_by("pk").first()
        if product is None:
            category, _ = self.Category.objects.get_or_create(name="all")
            product = self.Product.objects.create(category=category, name="one", price=1)
        return "shop_db", [self.Review(author=user, product=product, text="…")]

    def profile(self, user, rng):
        if self.Profile.objects.filter(user=user).exists():
            return "shop_db", []
        return "shop_db", [self.Profile(user=user)]

    def invoice(self, user):
        return self.Invoice.objects.create(customer_id=user.pk, order_number=f"{user.pk}")


def world() -> World:
    """Return the world of the models that are installed."""
    if apps.is_installed("sample_project.blog"):
        return SampleModels()
    return Kinds() if apps.is_installed("tests.apps.clubs") else TestModels()


def _new(model: Any, **targets: Any) -> list[models.Model]:
    """Return a row between targets, none where one is missing or there is such a row."""
    there = model._base_manager.using(placement.home(model)).filter(**targets)
    return [] if None in targets.values() or there.exists() else [model(**targets)]


def _another(manager: Any, rng: random.Random) -> Any:
    """Return one of the rows that there are, or None."""
    pks = list(manager.order_by("pk").values_list("pk", flat=True))
    return manager.filter(pk=rng.choice(pks)).first() if pks else None
