"""Relations whose intents wait: the row beside the intents, and a home that is away."""

import logging
from datetime import timedelta

import pytest
from django.db import OperationalError, connections
from django.utils import timezone

from sample_project.counting import counted_queries
from xdbrel import relations
from xdbrel.cascade import claims
from xdbrel.cascade.pauses import lift, pause, paused, resume
from xdbrel.exceptions import PauseFailed, XdbrelError
from xdbrel.models import CascadeIntent, PausedRelation

pytestmark = pytest.mark.django_db(databases="__all__")

AUTHOR = "blog.Post.author"
REVIEWED = "shop.Review.post"


def away(execute, sql, params, many, context):
    raise OperationalError("gone away")


def test_a_pause_stands_in_the_home_of_the_targets():
    """Users live in default, posts in blog: whoever claims intents there reads it there."""
    assert pause(relations.get(AUTHOR)) is True
    assert pause(relations.get(REVIEWED)) is True
    assert paused("default") == {AUTHOR}
    assert paused("blog") == {REVIEWED}
    assert paused("shop") == set()


def test_a_second_pause_changes_nothing():
    relation = relations.get(AUTHOR)
    pause(relation)
    since = PausedRelation.objects.using("default").get().paused_at
    assert pause(relation) is False
    assert PausedRelation.objects.using("default").get().paused_at == since


def test_resume():
    """Only the relation that is named, and only where it was paused."""
    pause(relations.get(AUTHOR))
    pause(relations.get("shop.Order.customer"))
    assert resume(relations.get(AUTHOR)) is True
    assert paused("default") == {"shop.Order.customer"}
    assert resume(relations.get(AUTHOR)) is False


def test_another_database_than_the_home():
    """Where a tenant has a database of its own, its intents stand there."""
    relation = relations.get(AUTHOR)
    assert pause(relation, using="shop") is True
    assert (paused("default"), paused("shop")) == (set(), {AUTHOR})
    assert resume(relation) is False
    assert resume(relation, using="shop") is True
    assert paused("shop") == set()


def test_a_relation_that_is_no_more_is_resumed_by_its_handle():
    PausedRelation.objects.using("blog").create(relation="shop.Order.gone")
    assert lift("shop.Order.gone", using="default") is False
    assert lift("shop.Order.gone", using="blog") is True
    assert paused("blog") == set()


def test_reading_is_one_query():
    """Every claim asks."""
    pause(relations.get(AUTHOR))
    with counted_queries() as queries:
        assert paused("default") == {AUTHOR}
    assert queries == {"default": 1}


@pytest.mark.parametrize(
    ("call", "wanted"), [(pause, "paused"), (resume, "resumed")], ids=["pause", "resume"]
)
def test_a_home_that_does_not_answer(call, wanted):
    """The error names the relation, the database, the reason and what to do."""
    with (
        connections["default"].execute_wrapper(away),
        pytest.raises(PauseFailed) as caught,
    ):
        call(relations.get(AUTHOR))
    error = caught.value
    assert str(error) == (
        f"blog.Post.author could not be {wanted}: database 'default', where its intents stand, "
        f"failed (OperationalError: gone away). Nothing was changed; try again when it answers."
    )
    assert (error.relation, error.using, error.wanted) == (AUTHOR, "default", wanted)
    assert isinstance(error, XdbrelError)
    assert isinstance(error.__cause__, OperationalError)


def test_other_homes_are_not_asked():
    """A database that is away holds up no relation whose intents stand elsewhere."""
    with connections["default"].execute_wrapper(away), connections["shop"].execute_wrapper(away):
        assert pause(relations.get(REVIEWED)) is True
        assert paused("blog") == {REVIEWED}
        assert resume(relations.get(REVIEWED)) is True


def test_what_was_changed_is_logged(caplog):
    """Once: a call that changes nothing says nothing."""
    relation = relations.get(AUTHOR)
    with caplog.at_level(logging.INFO, logger="xdbrel.cascade.pauses"):
        for call in (pause, pause, resume, resume):
            call(relation)
    assert [
        (record.action, record.relation, record.alias, record.getMessage())
        for record in caplog.records
    ] == [
        ("relation_paused", AUTHOR, "default", "blog.Post.author is paused in default"),
        ("relation_resumed", AUTHOR, "default", "blog.Post.author is resumed in default"),
    ]


def test_what_is_paused_does_not_stand_in_front_of_the_others():
    """A claim puts some of it off, and passes over the rest; resuming makes all of it due."""
    intents = [
        CascadeIntent(relation=handle, source_alias="shop", keys=[1])
        for handle in [AUTHOR] * 3 + ["shop.Order.customer"]
    ]
    CascadeIntent.objects.bulk_create(intents)
    CascadeIntent.objects.update(available_at="2000-01-01T00:00Z")
    pause(relations.get(AUTHOR))
    held = claims.claim("default", 2)
    assert [intent.relation for intent in held.intents] == ["shop.Order.customer"]
    claims.finish(held)
    in_a_while = timezone.now() + timedelta(minutes=30)
    paused_ones = CascadeIntent.objects.filter(relation=AUTHOR, status="pending")
    assert paused_ones.filter(available_at__gt=in_a_while).count() == 2
    resume(relations.get(AUTHOR))
    assert paused_ones.filter(available_at__gt=in_a_while).count() == 0
    assert len(claims.claim("default", 10).intents) == 4


def test_second_looks_keep_their_time_when_resumed(settings):
    settings.XDBREL = {**settings.XDBREL, "SECOND_LOOK_SECONDS": 500.0}
    CascadeIntent.objects.create(relation=AUTHOR, source_alias="blog", keys=[1], status="applied")
    CascadeIntent.objects.update(available_at="2000-01-01T00:00Z")
    pause(relations.get(AUTHOR))
    assert claims.claim("default", 10, "applied").intents == []
    resume(relations.get(AUTHOR))
    due = CascadeIntent.objects.get().available_at - timezone.now()
    assert timedelta(seconds=400) < due < timedelta(seconds=600)
