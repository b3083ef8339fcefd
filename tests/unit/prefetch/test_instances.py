"""Instances built without ``Model.__init__``: which models allow it, and that they are equal."""

import pickle

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.db.models.query import ModelIterable
from django.db.models.signals import post_init, pre_init
from django.test.utils import isolate_apps

from tests.apps.blog.models import Comment, Post
from tests.apps.people.models import Device, Member, Person
from xdbrel.prefetch.instances import PlainIterable, cheapest, is_plain


@pytest.mark.parametrize("model", [User, Post, Comment, Device, Member, Person])
def test_plain_models(model):
    """Foreign keys, defaults, proxies' parents and multi-table children are plain."""
    assert is_plain(model)


@pytest.mark.parametrize("signal", [pre_init, post_init])
def test_a_receiver_makes_a_difference(signal):
    """Somebody listens: the model is built as always, until nobody does."""

    def receiver(sender, **kwargs):
        raise AssertionError("not called here")

    signal.connect(receiver, sender=Person)
    try:
        assert not is_plain(Person)
        assert is_plain(Post)
    finally:
        signal.disconnect(receiver, sender=Person)
    assert is_plain(Person)


@isolate_apps("tests.apps.people")
def test_models_that_do_something_of_their_own():
    """Construction in the model, around it, in a field: each is respected."""

    class Behind:
        def __init__(self):
            self.behind = True

    class Base(models.Model):
        name = models.CharField(max_length=10)

        class Meta:
            app_label = "people"
            abstract = True

    class Plain(Base):
        pass

    class Init(Base):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    class New(Base):
        def __new__(cls, *args, **kwargs):
            return super().__new__(cls)

    class Set(Base):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)

    class FromDb(Base):
        @classmethod
        def from_db(cls, *args, **kwargs):
            return super().from_db(*args, **kwargs)

    class Mixed(Base, Behind):
        pass

    class Filed(Base):
        file = models.FileField()

    assert is_plain(Plain)
    for model in (Init, New, Set, FromDb, Mixed, Filed):
        assert not is_plain(model), model


def test_only_djangos_own_iterable_is_replaced():
    """A project's iterable class stays what it is."""

    class Own(ModelIterable):
        pass

    assert cheapest(ModelIterable) is PlainIterable
    assert cheapest(Own) is Own
    assert pickle.loads(pickle.dumps(PlainIterable)) is PlainIterable
