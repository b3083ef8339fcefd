"""Targets that the database itself deletes with their parents: DB_CASCADE, a foreign key."""

import pytest
from django.db import connections

from tests.apps.blog.models import Visit
from tests.apps.people.models import Badge
from tests.integration.cascade.triggers.conftest import run, table, written
from xdbrel.cascade.relay import relay
from xdbrel.cascade.triggers import drift

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

VENDOR = connections["default"].vendor


@pytest.fixture
def owned(standing_elsewhere):
    """Badges of which each belongs to an owner, and goes with it."""
    standing_elsewhere(Badge, "owned_badge")
    run("CREATE TABLE badge_owner (id integer PRIMARY KEY)")
    run(
        "CREATE TABLE owned_badge (id integer PRIMARY KEY, number integer UNIQUE, owner integer,"
        " CONSTRAINT badge_of_owner FOREIGN KEY (owner) REFERENCES badge_owner (id)"
        " ON DELETE CASCADE)"
    )
    run("INSERT INTO badge_owner VALUES (1), (2)")
    run("INSERT INTO owned_badge VALUES (10, 100, 1), (20, 200, 2), (30, 300, 1)")
    yield
    run("DROP TABLE owned_badge")
    run("DROP TABLE badge_owner")


def test_rows_that_go_with_their_parent(owned, capturing):
    """They are captured where the database's cascades fire triggers, and announced elsewhere."""
    capturing(["blog.Visit.badge"])
    for number in (100, 200, 300):
        Visit.objects.create(badge_id=number)
    run("DELETE FROM badge_owner WHERE id = 1")
    remarks = drift.notes("default")
    if VENDOR == "mysql":
        assert written() == []
        assert (
            "Rows of owned_badge go through the foreign key badge_of_owner (ON DELETE CASCADE), "
            "which fires no trigger in MariaDB: a scan finds what they leave." in remarks
        )
        return
    assert not any("owned_badge" in remark for remark in remarks)
    assert sorted(key for intent in written() for key in intent.keys) == [100, 300]
    assert relay().failed == 0
    assert Visit.objects.get().badge_id == 200


def test_parents_that_stay(owned, capturing):
    capturing(["blog.Visit.badge"])
    run(f"DELETE FROM {table(Badge)} WHERE id = 20")
    assert [intent.keys for intent in written()] == [[200]]
