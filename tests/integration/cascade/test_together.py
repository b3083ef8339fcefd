"""One order of deletion over several databases, where all are in open transactions."""

from contextlib import ExitStack, contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import connections, models, transaction
from django.db.models.signals import post_delete, pre_delete

import xdbrel
from tests.apps.blog.models import Comment, Post
from tests.apps.knots.models import Artist, Concert, Owner, Ticket
from tests.apps.people.models import Bookmark
from tests.apps.shop.models import Invoice, Order, Review
from xdbrel.cascade.relay import relay
from xdbrel.exceptions import DeleteRolledBack
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

MODELS = (User, Post, Comment, Bookmark, Review, Order)


class Boom(Exception):
    pass


@contextmanager
def listening(receiver, *, to=MODELS, signals=(pre_delete, post_delete)):
    for signal in signals:
        for model in to:
            signal.connect(receiver, sender=model)
    try:
        yield
    finally:
        for signal in signals:
            for model in to:
                signal.disconnect(receiver, sender=model)


@contextmanager
def told():
    """Yield the lists of (model, key, alias) of ``pre_delete`` and of ``post_delete``."""
    before, after = [], []

    def receiver(sender, signal, instance, using, **kwargs):
        (before if signal is pre_delete else after).append((sender, instance.pk, using))

    with listening(receiver):
        yield before, after


@contextmanager
def selected(alias):
    """Yield a list of the statements that read on ``alias``."""
    seen = []

    def watch(execute, sql, params, many, context):
        if sql.startswith("SELECT"):
            seen.append(sql)
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(watch):
        yield seen


@pytest.fixture
def ada():
    """default ← blog ← default, and shop: two posts, each with what hangs on a post."""
    user = User.objects.create(username="ada")
    for title in ("one", "two"):
        post = Post.objects.create(title=title, author=user)
        Comment.objects.create(post=post, author=user)
        Bookmark.objects.create(post=post)
        Review.objects.create(post=post)
    Order.objects.create(customer=user)
    return user


def rows():
    return {model.__name__: model.objects.count() for model in MODELS}


NONE = dict.fromkeys([model.__name__ for model in MODELS], 0)


def keys(model):
    return list(model.objects.order_by("pk").values_list("pk", flat=True))


def test_the_order_is_that_of_one_collector(ada):
    """Nothing goes before what hangs on it, in whatever database that is."""
    expected = {model: keys(model) for model in MODELS}
    signals = []

    def receiver(signal, **kwargs):
        signals.append(signal)

    with told() as (before, after), listening(receiver), xdbrel.atomic():
        deleted, counts = ada.delete()
        assert rows() == NONE
    assert (deleted, counts) == (
        10,
        {
            "auth.User": 1,
            "blog.Post": 2,
            "blog.Comment": 2,
            "people.Bookmark": 2,
            "shop.Review": 2,
            "shop.Order": 1,
        },
    )
    assert signals == [pre_delete] * 10 + [post_delete] * 10
    models_in_order = list(dict.fromkeys(model for model, _, _ in before))
    assert models_in_order == list(dict.fromkeys(model for model, _, _ in after))
    position = {model: index for index, model in enumerate(models_in_order)}
    assert set(position) == set(MODELS)
    assert position[User] == 5
    assert position[Post] > max(position[model] for model in (Comment, Bookmark, Review))
    homes = {User: "default", Bookmark: "default", Post: "blog", Comment: "blog"}
    for model in MODELS:
        mine = [(model, key, homes.get(model, "shop")) for key in expected[model]]
        assert [entry for entry in before if entry[0] is model] == mine
        assert [entry for entry in after if entry[0] is model] == mine[::-1]
    # One model after the other, never back to one that was left.
    assert [model for model, _, _ in before] == [
        model for model in models_in_order for _ in expected[model]
    ]


def test_intents_of_every_level_are_written_and_settled(ada):
    with told(), xdbrel.atomic():
        ada.delete()
        pending = {
            (alias, relation)
            for alias in ("default", "blog")
            for relation in CascadeIntent.objects.using(alias)
            .filter(status="pending")
            .values_list("relation", flat=True)
        }
    assert {
        ("default", "blog.Post.author"),
        ("default", "shop.Order.customer"),
        ("blog", "people.Bookmark.post"),
        ("blog", "shop.Review.post"),
    } <= pending
    for alias in ("default", "blog"):
        assert not CascadeIntent.objects.using(alias).filter(status="pending").exists()


def test_a_receiver_may_ask_for_the_target_afterwards(ada):
    names = []

    def receiver(instance, **kwargs):
        names.append(instance.post.author.username)

    with listening(receiver, to=[Bookmark], signals=[post_delete]), xdbrel.atomic():
        ada.delete()
    assert names == ["ada", "ada"]


def test_a_receiver_that_fails_at_the_very_end_undoes_all(ada):
    def receiver(**kwargs):
        raise Boom

    before = rows()
    with listening(receiver, to=[User], signals=[post_delete]), xdbrel.atomic():
        with pytest.raises(Boom), xdbrel.atomic():
            ada.delete()
        assert rows() == before
    assert rows() == before
    assert not CascadeIntent.objects.exists()


def test_the_sources_side_alone_rolls_back(ada, settings):
    """The intents of the targets, and of targets further on, replay it."""
    settings.XDBREL = {**settings.XDBREL, "CLAIM_SECONDS": 0}
    with (
        told(),
        transaction.atomic(using="default"),
        transaction.atomic(using="shop"),
        pytest.raises(Boom),
        transaction.atomic(using="blog"),
    ):
        ada.delete()
        raise Boom
    assert rows() == {**NONE, "Post": 2, "Comment": 2}
    relay()
    assert rows() == NONE


def test_a_side_further_on_alone_rolls_back(ada, settings):
    """What hung on posts has its own intents, beside the posts."""
    settings.XDBREL = {**settings.XDBREL, "CLAIM_SECONDS": 0}
    with (
        told(),
        transaction.atomic(using="default"),
        transaction.atomic(using="blog"),
        pytest.raises(Boom),
        transaction.atomic(using="shop"),
    ):
        ada.delete()
        raise Boom
    assert rows() == {**NONE, "Review": 2, "Order": 1}
    relay()
    assert rows() == NONE


def test_the_targets_side_alone_rolls_back(ada):
    before = rows()
    with told(), pytest.raises(DeleteRolledBack), ExitStack() as outer:
        for alias in ("blog", "shop"):
            outer.enter_context(transaction.atomic(using=alias))
        with pytest.raises(Boom), transaction.atomic(using="default"):
            ada.delete()
            raise Boom
    assert rows() == before


@pytest.mark.parametrize("outside", ["blog", "shop"])
def test_where_one_database_is_in_no_transaction_each_follows_at_its_time(ada, outside):
    with told() as (before, after), ExitStack() as blocks:
        for alias in {"default", "blog", "shop"} - {outside}:
            blocks.enter_context(transaction.atomic(using=alias))
        order = []

        def receiver(sender, **kwargs):
            order.append(sender)

        with listening(receiver, to=[Post, Order], signals=[pre_delete]):
            ada.delete()
        assert order == ([Order] if outside == "blog" else [Post, Post])
    assert rows() == NONE
    assert sorted(key for _, key, _ in before) == sorted(key for _, key, _ in after)
    assert len(after) == 10


def test_nobody_listens(ada):
    """Then the order is nobody's concern: sources go by keys, and no instance is built."""
    with xdbrel.atomic(), selected("blog") as seen:
        ada.delete()
    assert not any('"title"' in sql.replace("`", '"') for sql in seen)
    assert rows() == NONE


def test_refusals(ada):
    invoice = Invoice.objects.create(customer=ada)
    before = rows()
    with told() as (announced, _), xdbrel.atomic():
        with pytest.raises(models.ProtectedError) as caught:
            ada.delete()
        assert caught.value.protected_objects == {invoice}
        assert rows() == before
    assert announced == []


def test_restrictions():
    artist = Artist.objects.create()
    Concert.objects.create(artist=artist)

    def receiver(**kwargs):
        raise AssertionError

    with listening(receiver, to=[Artist, Concert]), xdbrel.atomic():
        with pytest.raises(models.RestrictedError):
            artist.delete()
        assert Concert.objects.exists()


def test_keys_that_are_set():
    owner, other = Owner.objects.create(), Owner.objects.create()
    tickets = [
        Ticket.objects.create(set_to=owner, default=owner, kept=owner, special=owner),
        Ticket.objects.create(set_to=other, default=other, kept=other, special=other),
    ]
    with listening(lambda **kwargs: None, to=[Owner]), xdbrel.atomic():
        assert owner.delete() == (1, {"knots.Owner": 1})
    first, second = [Ticket.objects.get(pk=ticket.pk) for ticket in tickets]
    assert first.set_to == Owner.objects.get(name="last resort")
    assert first.default_id == 7
    assert first.kept_id not in (None, other.pk)
    assert first.special_id is None
    assert {second.set_to_id, second.default_id, second.special_id} == {other.pk}
