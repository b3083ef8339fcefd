"""When a cascade is applied: the three rows of the table, and what a rollback leaves."""

import pytest
from django.contrib.auth.models import User
from django.db import transaction

import xdbrel
from tests.apps.blog.models import Comment, Post
from tests.apps.shop.models import Order, Profile, Review
from xdbrel.cascade.relay import RelayResult, relay
from xdbrel.exceptions import DeleteRolledBack
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status
MODELS = (User, Post, Comment, Order, Review, Profile)
ALL = dict.fromkeys([model.__name__ for model in MODELS], 1)
NONE = dict.fromkeys(ALL, 0)
SOURCES_ONLY = {**ALL, "User": 0}


@pytest.fixture
def ada():
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="one", author=user)
    Comment.objects.create(post=post, author=user)
    Order.objects.create(customer=user)
    Review.objects.create(author=user, post=post)
    Profile.objects.create(user=user)
    return user


def rows():
    return {model.__name__: model.objects.count() for model in MODELS}


def statuses():
    return set(CascadeIntent.objects.values_list("status", flat=True))


class Boom(Exception):
    pass


def test_autocommit_applies_in_the_same_call(ada):
    """Everything in every database is gone, and counted, when delete() returns."""
    assert ada.delete() == (
        6,
        {
            "auth.User": 1,
            "blog.Post": 1,
            "blog.Comment": 1,
            "shop.Order": 1,
            "shop.Review": 1,
            "shop.Profile": 1,
        },
    )
    assert rows() == NONE
    assert ada.pk is None
    assert statuses() == {Status.APPLIED}


def test_queryset_delete_counts_every_database(ada):
    bob = User.objects.create(username="bob")
    Post.objects.create(title="two", author=bob)
    deleted, counts = User.objects.all().delete()
    assert counts["auth.User"] == 2
    assert counts["blog.Post"] == 2
    assert deleted == sum(counts.values())
    assert rows() == NONE


def test_targets_in_transaction_apply_on_commit(ada):
    with transaction.atomic(using="default"):
        deleted, counts = ada.delete()
        # Only what this call did: the rest follows when the block commits.
        assert (deleted, counts) == (1, {"auth.User": 1})
        assert rows() == SOURCES_ONLY
        assert statuses() == {Status.PENDING}
    assert rows() == NONE
    assert statuses() == {Status.APPLIED}


def test_sources_in_transaction_alone_follow_inside_it(ada):
    """Targets in autocommit: applied right after their commit, in the sources' open block."""
    with transaction.atomic(using="blog"):
        ada.delete()
        # What hangs on the posts in yet another database waits for the posts' own commit.
        assert rows() == {**NONE, "Review": 1}
        assert statuses() == {Status.PENDING, Status.APPLIED}
    assert rows() == NONE
    assert statuses() == {Status.APPLIED}


def test_sources_in_transaction_alone_rolled_back_are_replayed(ada, settings):
    """The targets are gone for good: what the block took back is applied by the relay."""
    settings.XDBREL = {**settings.XDBREL, "CLAIM_SECONDS": 0}
    with pytest.raises(Boom), transaction.atomic(using="blog"):
        ada.delete()
        raise Boom
    assert rows() == {**NONE, "Post": 1, "Comment": 1, "Review": 1}
    relay()
    assert rows() == NONE


def test_targets_rolled_back_leave_everything(ada):
    with pytest.raises(Boom), transaction.atomic(using="default"):
        ada.delete()
        raise Boom
    assert rows() == ALL
    assert not CascadeIntent.objects.exists()
    assert relay() == RelayResult()
    assert rows() == ALL


def test_targets_savepoint_rolled_back_leaves_everything(ada):
    with transaction.atomic(using="default"):
        with pytest.raises(Boom), transaction.atomic(using="default"):
            ada.delete()
            raise Boom
        assert rows() == ALL
    assert rows() == ALL
    assert not CascadeIntent.objects.exists()


def test_both_in_transactions_apply_at_once(ada):
    """The block sees its own effect, and counts it."""
    with xdbrel.atomic("default", "blog", "shop"):
        _, counts = ada.delete()
        assert rows() == NONE
        assert counts["blog.Post"] == 1
        assert counts["shop.Profile"] == 1
    assert rows() == NONE
    assert statuses() == {Status.APPLIED}


def test_both_rolled_back_leave_everything(ada):
    with pytest.raises(Boom), xdbrel.atomic("default", "blog", "shop"):
        ada.delete()
        assert rows() == NONE
        raise Boom
    assert rows() == ALL
    assert not CascadeIntent.objects.exists()


@pytest.mark.parametrize("outer", ["default", "blog"])
def test_sources_alone_rolled_back_are_replayed(ada, outer, settings):
    """The targets' delete committed: the intents are left, and the relay finishes."""
    settings.XDBREL = {**settings.XDBREL, "CLAIM_SECONDS": 0}
    if outer == "default":
        with transaction.atomic(using="default"):
            with pytest.raises(Boom), xdbrel.atomic("blog", "shop"):
                ada.delete()
                assert rows() == NONE
                raise Boom
            assert rows() == SOURCES_ONLY
    else:
        with pytest.raises(Boom), xdbrel.atomic("blog", "shop"):
            with transaction.atomic(using="default"):
                ada.delete()
            raise Boom
    assert rows() == SOURCES_ONLY
    assert Status.PENDING in statuses()
    result = relay()
    assert result.failed == 0
    assert rows() == NONE
    assert statuses() == {Status.APPLIED}


def test_target_that_cannot_be_deleted_takes_its_cascade_back(ada):
    """Applied at once, but the targets' own delete fails: the sources' block is as before."""
    from django.db.models.signals import post_delete

    def fail(**kwargs):
        raise Boom

    post_delete.connect(fail, sender=User)
    try:
        with transaction.atomic(using="blog"), transaction.atomic(using="shop"):
            with pytest.raises(Boom), transaction.atomic(using="default"):
                ada.delete()
            assert rows() == ALL
    finally:
        post_delete.disconnect(fail, sender=User)
    assert rows() == ALL


@pytest.mark.django_db(databases="__all__")
def test_inside_a_test_case_like_transaction(ada):
    """Under a TestCase, where every database is in a transaction, deletes are seen at once."""
    ada.delete()
    assert rows() == NONE


def test_without_autocommit_the_relay_finishes(ada):
    transaction.set_autocommit(False, using="default")
    try:
        ada.delete()
        assert rows() == SOURCES_ONLY
        transaction.commit(using="default")
    finally:
        transaction.set_autocommit(True, using="default")
    CascadeIntent.objects.update(available_at="2000-01-01T00:00Z")
    relay()
    assert rows() == NONE


def test_targets_rolled_back_inside_the_sources_block_lose_nothing(ada):
    """The cascade was applied in a block that goes on after the delete was rolled back."""
    with pytest.raises(DeleteRolledBack) as caught, transaction.atomic(using="blog"):
        Post.objects.create(title="with the block", author=ada)
        with pytest.raises(Boom), transaction.atomic(using="default"):
            ada.delete()
            raise Boom
        assert User.objects.exists()
    assert rows() == ALL
    assert "blog.Post.author" in caught.value.relations
    assert str(caught.value).endswith(
        "the transaction on 'blog' holds the cascade of a delete that was rolled back in "
        "'default', and is rolled back as well so that no source of a living target is lost. "
        "Let both be one block: xdbrel.atomic('default', 'blog')."
    )


def test_after_that_the_connection_is_as_it_was(ada):
    with pytest.raises(DeleteRolledBack), transaction.atomic(using="blog"):
        try:
            with transaction.atomic(using="default"):
                ada.delete()
                raise Boom
        except Boom:
            pass
    ada = User.objects.get()
    with transaction.atomic(using="blog"):
        Post.objects.create(title="later", author=ada)
    assert Post.objects.filter(title="later").exists()
    ada.delete()
    assert rows() == NONE


def test_a_sources_savepoint_rolled_back_with_the_targets_commits(ada):
    """Nothing of the cascade is left in the sources' transaction: it may commit."""
    with transaction.atomic(using="blog"):
        Post.objects.create(title="kept", author=ada)
        with pytest.raises(Boom), xdbrel.atomic("default", "blog"):
            ada.delete()
            raise Boom
    assert Post.objects.count() == 2
    assert User.objects.exists()


def test_sources_that_commit_first_are_warned_of(ada, caplog):
    with transaction.atomic(using="default"), transaction.atomic(using="blog"):
        ada.delete()
        assert not Post.objects.exists()
    assert rows() == NONE
    record = next(r for r in caplog.records if getattr(r, "action", "") == "sources_commit_first")
    assert record.alias == "blog"
    assert record.getMessage() == (
        f"{record.relation}: the sources in blog commit before the delete in default that they "
        "follow, and are lost if that is rolled back now; xdbrel.atomic() commits targets first"
    )


def test_targets_that_commit_first_are_not_warned_of(ada, caplog):
    with xdbrel.atomic("default", "blog", "shop"):
        ada.delete()
    assert not [r for r in caplog.records if getattr(r, "action", "") == "sources_commit_first"]
