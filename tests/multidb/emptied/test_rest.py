"""The rest of xdbrel, where ``default`` names no database."""

import pytest
from django.contrib.auth.models import User
from django.db.models import ProtectedError

import xdbrel
from tests.multidb.emptied.conftest import ALIASES
from tests.multidb.emptied.shop.models import Account, Order
from xdbrel.contrib.prometheus import Collector
from xdbrel.models import CascadeIntent
from xdbrel.testing import assert_no_orphans, count_queries, drain

pytestmark = pytest.mark.django_db(databases=ALIASES, transaction=True)


def test_cascades(fred, order):
    deleted = fred.delete()
    assert deleted == (2, {"auth.User": 1, "shop.Order": 1})
    assert deleted.wait(timeout=0)
    assert not Order.objects.exists()
    intents = CascadeIntent.objects.using("users")
    assert intents.filter(relation="shop.Order.customer").get().status == "applied"
    assert {one.status for one in intents} == {"applied"}


def test_protect(fred, order):
    Account.objects.create(user=fred)
    with pytest.raises(ProtectedError, match=r"'Account\.user'"):
        fred.delete()


def test_a_block_over_several_databases(fred, order):
    with pytest.raises(ZeroDivisionError), xdbrel.atomic("users", "customers"):
        fred.delete()
        assert not Order.objects.exists()
        1 / 0
    assert Order.objects.get().customer == User.objects.get()


def test_prefetch(fred, order):
    with count_queries() as asked:
        (found,) = xdbrel.prefetch_cross_db(Order.objects.all(), "customer")
        assert found.customer == fred
        (user,) = User.objects.prefetch_related("orders", "account")
        assert list(user.orders.all()) == [order]
    assert {alias: number for alias, number in asked.items() if number} == {
        "customers": 3,
        "users": 2,
    }


def test_queries_are_explained(fred, order):
    plan = xdbrel.explain_cross_db(Order.objects.filter(customer__username="fred"))
    assert {step.alias for step in plan.steps} == {"users", "customers"}


def test_tests(fred, order):
    User.objects.filter(pk=fred.pk)._raw_delete("users")
    drain()
    assert_no_orphans()


def test_metrics(order):
    found = {metric.name: metric.samples for metric in Collector().collect()}
    asked = {sample.labels["alias"]: sample.value for sample in found["xdbrel_database_up"]}
    assert asked == {"users": 1, "customers": 1}
