"""The routers with databases behind them: replicas, transactions, relations."""

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction

from tests.apps.blog.models import Comment, Post, Tag
from tests.apps.shop.models import Order
from xdbrel.routers import PrimaryReplicaRouter, reset_writes

BOTH = ["xdbrel.routers.PrimaryReplicaRouter", "xdbrel.routers.HomeRouter"]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(PrimaryReplicaRouter, "clock", clock)
    return clock


@pytest.fixture
def replica(settings, aliases, clock):
    """A second connection to the database of blog, as its replica without any lag."""
    aliases.define_like("replica", "blog")
    aliases.connect("replica")
    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"replica": "blog"}}
    settings.DATABASE_ROUTERS = BOTH
    reset_writes()
    yield "replica"
    reset_writes()


@pytest.mark.django_db(transaction=True, databases=["default", "blog", "shop"])
class TestReplica:
    def test_read_after_write(self, replica, clock):
        """A saved object is read from the primary at first, from the replica later."""
        Tag.objects.create(name="new")
        assert Tag.objects.get()._state.db == "blog"
        clock.now += 6
        assert Tag.objects.get()._state.db == "replica"

    def test_read_after_a_cascade(self, replica, clock):
        """Whoever deletes a target reads its sources' primary, where they have gone."""
        user = User.objects.create(username="ada")
        Post.objects.create(author=user)
        clock.now += 6
        assert Post.objects.get()._state.db == "replica"
        user.delete()
        assert Post.objects.all().db == "blog"
        assert not Post.objects.exists()

    def test_object_of_a_replica_is_saved_to_the_primary(self, replica, clock):
        """An object that was read from a replica is written to the primary."""
        Tag.objects.create(name="old")
        clock.now += 6
        tag = Tag.objects.get()
        assert tag._state.db == "replica"
        tag.name = "new"
        tag.save()
        assert tag._state.db == "blog"
        assert Tag.objects.get().name == "new"

    def test_open_transaction(self, replica, clock):
        """Inside a transaction of the primary, reads see what it has written."""
        with transaction.atomic(using="blog"):
            Tag.objects.create(name="new")
            clock.now += 100
            assert Tag.objects.get()._state.db == "blog"

    def test_time_counts_from_the_end_of_the_transaction(self, replica, clock):
        """A long transaction does not use up the time in which its writer reads its writes."""
        with transaction.atomic(using="blog"):
            Tag.objects.create(name="new")
            clock.now += 100
        assert Tag.objects.get()._state.db == "blog"
        clock.now += 4.9
        assert Tag.objects.get()._state.db == "blog"
        clock.now += 0.2
        assert Tag.objects.get()._state.db == "replica"

    def test_transaction_without_autocommit(self, replica, clock):
        """Autocommit switched off is an open transaction, too."""
        with connections["blog"].cursor():
            pass
        transaction.set_autocommit(False, using="blog")
        try:
            assert Tag.objects.filter(name="new").db == "blog"
        finally:
            transaction.rollback(using="blog")
            transaction.set_autocommit(True, using="blog")
        assert Tag.objects.filter(name="new").db == "replica"

    def test_transaction_of_another_database(self, replica):
        """A transaction elsewhere leaves reads on the replica."""
        with transaction.atomic(using="default"):
            assert not Tag.objects.exists()
            assert Tag.objects.all().db == "replica"

    def test_relations_inside_the_pool(self, replica, clock):
        """Objects of replica and primary may be related, many-to-many included."""
        author = User.objects.create(username="ada")
        post = Post.objects.create(title="x", author=author)
        Tag.objects.create(name="t")
        clock.now += 6
        tag = Tag.objects.get()
        assert (tag._state.db, post._state.db) == ("replica", "blog")
        post.tags.add(tag)
        assert list(Post.objects.get().tags.all()) == [tag]

    def test_relation_to_another_home(self, replica, clock):
        """From an object of a replica, a relation leads to its target's home."""
        author = User.objects.create(username="ada")
        Post.objects.create(title="x", author=author)
        clock.now += 6
        post = Post.objects.get()
        assert post._state.db == "replica"
        assert post.author == author
        assert post.author._state.db == "default"
        assert author.posts.get()._state.db == "replica"

    def test_related_objects_stay_on_the_replica(self, replica, clock):
        """What belongs to an object of a replica comes from there."""
        author = User.objects.create(username="ada")
        post = Post.objects.create(title="x", author=author)
        Comment.objects.create(post=post, author=author)
        clock.now += 6
        comment = Comment.objects.get()
        assert comment._state.db == "replica"
        assert comment.post._state.db == "replica"


@pytest.mark.django_db(databases="__all__")
class TestHomes:
    def test_declared_relation_is_allowed(self):
        """Assigning along a declared relation needs nothing else."""
        user = User.objects.create(username="ada")
        order = Order(customer=user)
        order.save()
        assert Order.objects.get().customer == user

    def test_every_model_has_its_table_in_its_home_alone(self):
        """The migrated databases are what allow_migrate() said."""
        tables = {
            alias: set(connections[alias].introspection.table_names()) for alias in connections
        }
        for model, home in ((Post, "blog"), (Post.tags.through, "blog"), (User, "default")):
            assert [a for a in tables if model._meta.db_table in tables[a]] == [home]
        own = [alias for alias in tables if "xdbrel_cascadeintent" in tables[alias]]
        assert own == ["default", "blog", "shop"]
