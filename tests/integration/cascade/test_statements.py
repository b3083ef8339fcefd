"""How many statements a delete takes, in each database."""

from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connections

from tests.apps.knots.models import Owner, Ticket
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@contextmanager
def statements():
    """Yield a list of (alias, first word, table) of what is executed in the block."""
    seen = []

    def watch(execute, sql, params, many, context):
        verb = sql.split()[0]
        if verb in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            words = sql.replace("`", '"').split('"')
            table = next(word for word in words if "_" in word)
            seen.append((context["connection"].alias, verb, table))
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(watch))
        yield seen


def test_a_single_delete():
    """Three relations to one target: one intent statement, one settlement."""
    owner = Owner.objects.create()
    Ticket.objects.create(default=owner)
    with statements() as seen:
        owner.delete()
    assert Counter(seen) == {
        # A policy of the project's own may refuse, so its sources are looked at beforehand,
        # and are collected; then the others' are counted, so that no statement is too large.
        ("shop", "SELECT", "knots_ticket"): 5,
        ("default", "INSERT", "xdbrel_cascadeintent"): 1,
        ("default", "DELETE", "knots_owner"): 1,
        ("default", "SELECT", "knots_owner"): 1,
        ("default", "SELECT", "xdbrel_pausedrelation"): 1,
        ("shop", "UPDATE", "knots_ticket"): 1,
        ("default", "UPDATE", "xdbrel_cascadeintent"): 1,
    }
    assert CascadeIntent.objects.filter(status="applied").count() == 3
