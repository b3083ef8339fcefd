"""The figures of what waits: depth, ages, what was set aside and what is paused."""

import json
import logging
from datetime import timedelta

import pytest
from django.db import OperationalError, connections

from sample_project.counting import counted_queries
from xdbrel import relations
from xdbrel.cascade import clock
from xdbrel.cascade.backlog import Backlog, RelationBacklog, backlog, warn_if_late
from xdbrel.cascade.pauses import pause
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__")

AUTHOR = "blog.Post.author"
CUSTOMER = "shop.Order.customer"
REVIEWED = "shop.Review.post"
#: Between the writing of an intent and the reading of the figures, at the most.
SLACK = 60


def intent(using="default", *, age=0.0, due=0.0, **given):
    """Write an intent that is ``age`` seconds old and due in ``due`` seconds."""
    now = clock.read(using)
    return CascadeIntent.objects.using(using).create(
        **{
            "relation": AUTHOR,
            "source_alias": "blog",
            "keys": [1],
            "created_at": now - timedelta(seconds=age),
            "available_at": now + timedelta(seconds=due),
            **given,
        }
    )


def away(execute, sql, params, many, context):
    raise OperationalError("gone away")


def test_nothing():
    found = backlog()
    assert found == Backlog()
    assert (found.depth, found.oldest, found.late, found.clean) == (0, None, False, True)


def test_figures_by_alias_and_relation(settings):
    """Confirmed intents are finished and count nowhere."""
    settings.XDBREL = {**settings.XDBREL, "MAX_BACKLOG_AGE": 5_000.0}
    intent(age=1_000)
    intent(age=2_000)
    intent(age=9_000, status="set_aside")
    intent(age=8_000, status="applied", due=50)
    intent(age=9_000, status="confirmed")
    intent(relation=CUSTOMER, age=9_000, status="confirmed")
    intent("blog", relation=REVIEWED, age=3_000, claimed_by="somebody", due=60)
    posts, reviews = backlog().relations
    assert (posts.alias, posts.relation) == ("default", AUTHOR)
    assert (posts.depth, posts.set_aside, posts.second_look) == (2, 1, 1)
    assert 2_000 <= posts.oldest < 2_000 + SLACK
    assert posts.overdue is None
    assert (reviews.alias, reviews.relation, reviews.depth) == ("blog", REVIEWED, 1)
    assert 3_000 <= reviews.oldest < 3_000 + SLACK
    assert not posts.paused


def test_totals():
    intent(age=100)
    intent(age=50, relation=CUSTOMER)
    intent("blog", relation=REVIEWED, age=200)
    intent("blog", relation=REVIEWED, status="set_aside")
    intent("blog", relation=REVIEWED, status="applied")
    found = backlog()
    assert (found.depth, found.set_aside, found.second_look) == (3, 1, 1)
    assert 200 <= found.oldest < 200 + SLACK
    assert backlog("default").depth == 2


def test_a_paused_relation_is_shown_even_if_nothing_waits():
    pause(relations.get(CUSTOMER))
    assert backlog().relations == [RelationBacklog("default", CUSTOMER, paused=True)]


@pytest.mark.parametrize(
    ("age", "late"), [(200.0, False), (400.0, True)], ids=["in time", "too late"]
)
def test_late(settings, age, late):
    """The oldest decides, wherever it is."""
    settings.XDBREL = {**settings.XDBREL, "MAX_BACKLOG_AGE": 300.0}
    intent("blog", relation=REVIEWED, age=age)
    intent(age=1)
    found = backlog()
    assert (found.late, found.clean) == (late, not late)
    assert [one.late for one in found.relations] == [False, late]


def test_a_forgotten_pause_is_late(settings):
    """What waits because somebody said so waits all the same."""
    settings.XDBREL = {**settings.XDBREL, "MAX_BACKLOG_AGE": 300.0}
    pause(relations.get(AUTHOR))
    intent(age=400)
    (one,) = backlog().relations
    assert (one.paused, one.late) == (True, True)


def test_a_second_look_that_nobody_takes_is_late(settings):
    """Deletes apply their own intents: without a relay only the second looks grow old."""
    settings.XDBREL = {**settings.XDBREL, "MAX_BACKLOG_AGE": 300.0}
    intent(age=9_000, status="applied", due=-200)
    found = backlog()
    assert 200 <= found.relations[0].overdue < 200 + SLACK
    assert not found.late
    intent(age=9_000, status="applied", due=-400)
    assert backlog().late
    assert backlog().oldest is None


def test_set_aside_is_not_clean():
    """It is nothing that a relay comes back to: somebody has to look."""
    intent(status="set_aside")
    found = backlog()
    assert (found.late, found.clean) == (False, False)


def test_an_age_is_never_negative():
    """A clock that was ahead makes an intent of the future, not a negative age."""
    intent(age=-500)
    assert backlog().oldest == 0.0


def test_a_database_that_does_not_answer():
    """It is named with its error; the others are shown."""
    intent("blog", relation=REVIEWED)
    with connections["default"].execute_wrapper(away):
        found = backlog()
    assert found.unreachable == {"default": "OperationalError: gone away"}
    assert [one.relation for one in found.relations] == [REVIEWED]
    assert not found.clean


def test_as_dict():
    """JSON carries it whole."""
    intent(age=100)
    with connections["shop"].execute_wrapper(away):
        found = backlog()
    figures = found.as_dict()
    assert json.loads(json.dumps(figures)) == figures
    (one,) = figures["relations"]
    assert figures == {
        "late": False,
        "depth": 1,
        "oldest": one["oldest"],
        "set_aside": 0,
        "second_look": 0,
        "relations": [
            {
                "alias": "default",
                "relation": AUTHOR,
                "depth": 1,
                "oldest": found.oldest,
                "set_aside": 0,
                "second_look": 0,
                "overdue": None,
                "paused": False,
                "late": False,
            }
        ],
        "unreachable": {"shop": "OperationalError: gone away"},
    }


def test_queries_do_not_grow_with_relations_or_intents():
    for relation in (AUTHOR, CUSTOMER, REVIEWED):
        for number in range(3):
            intent(relation=relation, status=["pending", "applied", "set_aside"][number])
    # The database's time, where it tells it, the figures and the pauses.
    asked = {
        alias: 2 if connections[alias].vendor == "sqlite" else 3
        for alias in ("default", "blog", "shop")
    }
    with counted_queries() as queries:
        backlog()
    assert queries == asked


def test_the_figures_are_read_through_the_index_of_the_unfinished():
    """Finished rows cost nothing, however many there are."""
    connection = connections["default"]
    seen = []

    def watch(execute, sql, params, many, context):
        seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        backlog("default")
    (query,) = [entry for entry in seen if "COUNT(" in entry[0]]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A table of no rows is read whole, whatever indexes there are.
            cursor.execute("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
        cursor.execute(explain + query[0], query[1])
        plan = "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())
    assert "xdbrel_intent_due" in plan


def test_warnings(settings, caplog):
    """One for each relation that is late, with its figures for machines."""
    settings.XDBREL = {**settings.XDBREL, "MAX_BACKLOG_AGE": 300.0}
    found = Backlog(
        [
            RelationBacklog("default", AUTHOR, depth=3, oldest=400.0),
            RelationBacklog("default", CUSTOMER, depth=3, oldest=200.0),
            RelationBacklog("blog", REVIEWED, second_look=2, overdue=301.0, paused=True),
        ]
    )
    with caplog.at_level(logging.WARNING, logger="xdbrel.cascade.backlog"):
        warn_if_late(found)
    first, second = caplog.records
    assert first.getMessage() == (
        "blog.Post.author: what waits in default is late: 3 intents, the oldest 400 seconds "
        "old; 0 second looks, overdue by 0 seconds. Are there relays enough?"
    )
    assert (first.action, first.relation, first.alias) == ("backlog_late", AUTHOR, "default")
    assert (first.depth, first.oldest, first.overdue) == (3, 400.0, None)
    assert second.getMessage() == (
        "shop.Review.post: what waits in blog is late: 0 intents, the oldest 0 seconds old; "
        "2 second looks, overdue by 301 seconds. The relation is paused."
    )
