"""The next key of a table that others write to while it is altered."""

import pytest
from django.db import OperationalError, connections

from tests.apps.wagons.models import Depot
from xdbrel.moving import sequences

ON_MARIADB = [name for name in ("default", "blog") if connections[name].vendor == "mysql"]

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.skipif(not ON_MARIADB, reason="layout: needs MariaDB"),
]


class GivesWay:
    """Fails as many ALTERs as it is told, as MariaDB fails the one of two that gives way."""

    def __init__(self, times, number=1213):
        self.times, self.number, self.altered = times, number, 0

    def __call__(self, execute, sql, params, many, context):
        if sql.startswith("ALTER TABLE"):
            self.altered += 1
            if self.altered <= self.times:
                raise OperationalError(self.number, "Deadlock found when trying to get lock")
        return execute(sql, params, many, context)


def forward(gives_way, *, beyond=50):
    using = ON_MARIADB[0]
    last = sequences.given(Depot, using) + beyond
    with connections[using].execute_wrapper(gives_way):
        sequences.forward(Depot, using, last)
    return using, last


@pytest.mark.parametrize("number", [1213, 1205], ids=["deadlock", "too long a wait"])
def test_who_gave_way_tries_again(number):
    gives_way = GivesWay(2, number)
    using, last = forward(gives_way)
    assert gives_way.altered == 3
    assert sequences.given(Depot, using) == last
    assert Depot.objects.using(using).create(code="next").pk == last + 1


def test_deadlock_after_deadlock():
    gives_way = GivesWay(sequences.ATTEMPTS)
    with pytest.raises(OperationalError, match="Deadlock found"):
        forward(gives_way)
    assert gives_way.altered == sequences.ATTEMPTS


def test_other_errors_are_not_tried_again():
    gives_way = GivesWay(1, number=1142)
    with pytest.raises(OperationalError):
        forward(gives_way)
    assert gives_way.altered == 1


def test_what_is_far_enough_is_not_altered():
    gives_way = GivesWay(0)
    forward(gives_way, beyond=0)
    assert gives_way.altered == 0
