"""What the processes of a fault run write and delete, in the models of either project.

``TestModels`` are those of ``tests.apps``: three homes in a row, since what hangs on a post
is in yet another database. ``SampleModels`` are the sample project's.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.db import models, transaction

from tests.faults.journal import Journal

Model = type[models.Model]


class World:
    """Users and what belongs to them."""

    #: In the order of commits: targets before sources.
    homes: tuple[str, ...]
    watched: list[Model]

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
        for write in self.writes():
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

    def writes(self) -> list[Callable[[Any, random.Random], tuple[str, list[models.Model]]]]:
        """Return what gives a user sources: (alias, rows in the order of their writing)."""
        raise NotImplementedError

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

    def writes(self):
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

    def writes(self):
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
    return SampleModels() if apps.is_installed("sample_project.blog") else TestModels()


def _another(manager: Any, rng: random.Random) -> Any:
    """Return one of the rows that there are, or None."""
    pks = list(manager.order_by("pk").values_list("pk", flat=True))
    return manager.filter(pk=rng.choice(pks)).first() if pks else None
