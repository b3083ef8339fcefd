"""Finished intents are deleted in bounded steps; whatever is unfinished stays."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connections

from xdbrel.cascade import clock
from xdbrel.cascade.prune import PruneResult, prune
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__")

DAY = 86_400


def finished(number=1, *, using="default", days=30.0, status="confirmed"):
    """Write intents that were applied so many days ago, all at the same moment."""
    moment = clock.read(using) - timedelta(days=days)
    CascadeIntent.objects.using(using).bulk_create(
        CascadeIntent(
            relation="blog.Post.author",
            source_alias="blog",
            keys=[key],
            status=status,
            created_at=moment,
            applied_at=moment,
        )
        for key in range(number)
    )


def left(using="default"):
    return CascadeIntent.objects.using(using).count()


class Statements:
    """What is sent to one database: the verbs, and the number of rows that deletes meet."""

    def __init__(self, alias):
        self.verbs, self.deleted, self.alias = [], [], alias

    def __enter__(self):
        self.wrapper = connections[self.alias].execute_wrapper(self._watch)
        self.wrapper.__enter__()
        return self

    def __exit__(self, *args):
        self.wrapper.__exit__(*args)

    def _watch(self, execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        verb = sql.split()[0]
        if "xdbrel_cascadeintent" in sql:
            self.verbs.append(verb)
        if verb == "DELETE":
            self.deleted.append(context["cursor"].rowcount)
        return result


def test_only_what_is_finished_and_old(settings):
    settings.XDBREL = {**settings.XDBREL, "KEEP_APPLIED_DAYS": 7.0}
    finished(2, days=8)
    finished(days=6)
    for status in ("pending", "applied", "set_aside"):
        finished(days=400, status=status)
    assert prune() == PruneResult(intents={"default": 2, "blog": 0, "shop": 0})
    assert left() == 4
    assert prune().intents["default"] == 0


def test_older_than():
    """Days that are given come before the setting; none at all is everything finished."""
    finished(days=2)
    finished(days=1)
    assert prune(older_than=1.5).intents["default"] == 1
    assert prune(older_than=0).intents["default"] == 1
    assert left() == 0


def test_using():
    finished(using="default")
    finished(using="blog")
    assert prune("blog") == PruneResult(intents={"blog": 1})
    assert (left("default"), left("blog")) == (1, 0)


@pytest.mark.parametrize("number", [6, 7], ids=["whole chunks", "a rest"])
def test_no_statement_is_unbounded(settings, number):
    """Chunk by chunk, each query going on after the last: nothing is met twice or left out."""
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 3}
    finished(number - 2, days=30)
    finished(2, days=20)
    with Statements("default") as statements:
        assert prune("default").intents == {"default": number}
    assert statements.deleted == ([3, 3] if number == 6 else [3, 3, 1])
    assert statements.verbs == (["SELECT", "DELETE"] * 3)[: 2 * len(statements.deleted)] + (
        ["SELECT"] if number == 6 else []
    )
    assert left() == 0


def test_a_dry_run_takes_the_same_way(settings):
    """It says the same numbers and deletes nothing."""
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 3}
    finished(7)
    with Statements("default") as statements:
        result = prune("default", dry_run=True)
    assert result == PruneResult(dry_run=True, intents={"default": 7})
    assert statements.verbs == ["SELECT"] * 3
    assert left() == 7
    assert prune("default").intents == {"default": 7}


def test_a_database_that_does_not_answer(caplog):
    """The others are pruned; it is named and logged, and comes next time."""

    def away(execute, sql, params, many, context):
        raise OperationalError("gone away")

    finished(using="default")
    finished(using="blog")
    with connections["default"].execute_wrapper(away):
        result = prune()
    assert result.intents == {"default": 0, "blog": 1, "shop": 0}
    assert result.unreachable == {"default": "OperationalError: gone away"}
    (record,) = [
        one for one in caplog.records if getattr(one, "action", "") == "prune_unreachable"
    ]
    assert (record.levelname, record.alias) == ("ERROR", "default")
    assert prune().intents["default"] == 1


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_what_was_deleted_before_a_failure_stays_deleted(settings):
    """Each chunk is a transaction of its own."""
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 3}
    finished(7)
    deletes = []

    def fail_at_the_second(execute, sql, params, many, context):
        if sql.startswith("DELETE"):
            deletes.append(sql)
            if len(deletes) == 2:
                raise OperationalError("gone away")
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(fail_at_the_second):
        result = prune("default")
    assert result.intents == {"default": 3}
    assert result.unreachable == {"default": "OperationalError: gone away"}
    assert left() == 4


def test_as_dict():
    assert PruneResult(True, {"default": 3}, {"blog": "why"}).as_dict() == {
        "dry_run": True,
        "intents": {"default": 3},
        "unreachable": {"blog": "why"},
    }
