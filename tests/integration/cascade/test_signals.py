"""What receivers see of a cascade: Django's signals for every row, and xdbrel's own."""

from contextlib import contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connections
from django.db.models.signals import post_delete, pre_delete

from tests.apps.blog.models import Comment, Letter, Post
from tests.apps.people.models import Person
from tests.apps.shop.models import Review
from xdbrel import signals
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def ada():
    user = User.objects.create(username="ada")
    posts = [Post.objects.create(title=title, author=user) for title in ("one", "two")]
    Comment.objects.create(post=posts[0], author=user)
    Review.objects.create(post=posts[1])
    return user


@contextmanager
def heard(signal, sender=None):
    calls = []

    def receiver(**kwargs):
        kwargs.pop("signal")
        calls.append(kwargs)

    signal.connect(receiver, sender=sender)
    try:
        yield calls
    finally:
        signal.disconnect(receiver, sender=sender)


def test_every_cascaded_row_is_seen(ada):
    """One pre_delete and one post_delete for each row, with its key, database and origin."""
    keys = set(Post.objects.values_list("pk", flat=True))
    with heard(pre_delete, Post) as before, heard(post_delete, Post) as after:
        _, counts = ada.delete()
    assert counts["blog.Post"] == 2
    for calls in (before, after):
        assert {call["using"] for call in calls} == {"blog"}
        assert all(call["origin"] is ada for call in calls)
        assert len(calls) == 2
    assert {call["instance"].title for call in after} == {"one", "two"}
    # As in one database, a deleted instance has no key any more.
    assert {call["instance"].pk for call in after} == {None}
    assert len(keys) == 2


def test_the_key_is_there_while_the_signal_is_sent(ada):
    seen = []

    def receiver(instance, **kwargs):
        seen.append((instance.pk, Post.objects.filter(pk=instance.pk).exists()))

    keys = set(Post.objects.values_list("pk", flat=True))
    pre_delete.connect(receiver, sender=Post)
    try:
        ada.delete()
    finally:
        pre_delete.disconnect(receiver, sender=Post)
    assert {key for key, _ in seen} == keys
    assert {there for _, there in seen} == {True}


def test_rows_two_databases_away_are_seen(ada):
    with heard(post_delete, Review) as calls:
        ada.delete()
    assert [call["using"] for call in calls] == ["shop"]


def test_a_receiver_can_ask_for_the_target(ada):
    """Its row is gone by then, but the instance that was deleted is at hand, key and all."""
    names = []

    def receiver(instance, **kwargs):
        names.append((instance.author.username, instance.author.pk))

    key = ada.pk
    pre_delete.connect(receiver, sender=Post)
    try:
        ada.delete()
    finally:
        pre_delete.disconnect(receiver, sender=Post)
    assert names == [("ada", key), ("ada", key)]


def test_rows_that_are_only_changed_are_not_announced(ada):
    Review.objects.create(author=ada)
    with heard(pre_delete, Review) as calls:
        ada.delete()
    assert len(calls) == 1


def test_cascade_planned_and_applied(ada):
    key = ada.pk
    planning, applying = signals.cascade_planned, signals.cascade_applied
    with heard(planning, Post) as planned, heard(applying, Post) as applied:
        ada.delete()
    assert [
        (call["sender"], call["relation"], call["keys"], call["using"]) for call in planned
    ] == [
        (Post, "blog.Post.author", [key], "default"),
        (Post, "blog.Post.editor", [key], "default"),
    ]
    assert [
        (call["sender"], call["relation"], call["keys"], call["using"]) for call in applied
    ] == [
        (Post, "blog.Post.author", [key], "blog"),
        (Post, "blog.Post.editor", [key], "blog"),
    ]
    assert applied[0]["counts"]["blog.Post"] == 2


def test_cascade_failed(ada, caplog):
    """A failing database leaves the intent, says so, and does not fail the user's delete."""

    def fail(execute, sql, params, many, context):
        raise DatabaseError("blog is away")

    away = connections["blog"].execute_wrapper(fail)
    with heard(signals.cascade_failed, Post) as failed, away:
        ada.delete()
    assert {call["relation"] for call in failed} == {"blog.Post.author", "blog.Post.editor"}
    assert failed[0]["using"] == "blog"
    assert str(failed[0]["error"]) == "blog is away"
    assert not User.objects.exists()
    assert Post.objects.count() == 2
    pending = CascadeIntent.objects.filter(status="pending", relation="blog.Post.author").get()
    assert pending.last_error == "DatabaseError: blog is away"
    record = next(
        record
        for record in caplog.records
        if getattr(record, "action", "") == "cascade_failed"
        and record.relation == "blog.Post.author"
    )
    assert record.alias == "blog"
    assert record.getMessage() == (
        "blog.Post.author: the cascade of 1 deleted targets could not be applied in blog and "
        "will be tried again by the relay: blog is away"
    )


def test_a_failing_receiver_of_ours_changes_nothing(ada, caplog):
    def receiver(**kwargs):
        raise RuntimeError("not today")

    signals.cascade_applied.connect(receiver)
    try:
        ada.delete()
    finally:
        signals.cascade_applied.disconnect(receiver)
    assert not Post.objects.exists()
    assert not CascadeIntent.objects.exclude(status="applied").exists()


def test_a_source_knows_its_target_through_a_relation_to_a_proxy():
    """The target was deleted as what it is, and the relation points at its proxy."""
    sender = Person.objects.create(name="ada")
    recipient = Person.objects.create(name="bob")
    Letter.objects.create(sender_id=sender.pk, recipient=recipient)
    heard = []

    def hear(instance, **kwargs):
        heard.append(instance.sender.name)

    post_delete.connect(hear, sender=Letter)
    try:
        sender.delete()
    finally:
        post_delete.disconnect(hear, sender=Letter)
    assert heard == ["ada"]
    assert not Letter.objects.exists()
