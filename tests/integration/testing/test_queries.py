"""count_queries() and assert_queries(): statements by database."""

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connections, transaction
from django.db.utils import ConnectionDoesNotExist
from django.test import TestCase

from tests.apps.blog.models import Post
from tests.apps.shop.models import Order
from xdbrel.testing import assert_queries, count_queries

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_statements_are_counted_by_database():
    with count_queries() as count:
        assert count == {"default": 0, "blog": 0, "shop": 0}
        Post.objects.count()
        list(User.objects.all())
        list(User.objects.all())
    assert count == {"default": 2, "blog": 1, "shop": 0}
    assert (count["default"], count["blog"], len(count)) == (2, 1, 3)
    (statement,) = count.statements["blog"]
    assert statement.startswith("SELECT COUNT(*)")
    assert repr(count) == "<QueryCount: {'default': 2, 'blog': 1, 'shop': 0}>"


def test_after_the_block_nothing_is_counted():
    with count_queries() as count:
        pass
    Post.objects.count()
    assert count["blog"] == 0
    assert not any(connections[alias].execute_wrappers for alias in connections)


def test_what_fails_is_counted():
    refused = pytest.raises(DatabaseError, match="no_such_table")
    with count_queries() as count, refused, connections["blog"].cursor() as cursor:
        cursor.execute("SELECT 1 FROM no_such_table")
    assert count["blog"] == 1


def test_transactions_are_no_queries():
    with assert_queries(blog=1), transaction.atomic(using="blog"):
        with transaction.atomic(using="blog"):
            Post.objects.count()
        with pytest.raises(ZeroDivisionError), transaction.atomic(using="blog"):
            raise ZeroDivisionError


def test_as_expected():
    with assert_queries(default=1, blog=1) as count:
        Post.objects.count()
        User.objects.count()
    assert count.statements["shop"] == []
    with assert_queries():
        pass
    with assert_queries({"shop": 1}, blog=0):
        Order.objects.count()


def test_a_failure_lists_the_statements():
    with pytest.raises(AssertionError) as caught, assert_queries(default=1, blog=1):
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
        with connections["shop"].cursor() as cursor:
            cursor.execute("SELECT %s", [2])
            cursor.execute("SELECT 3")
    assert str(caught.value) == (
        "Queries are not as expected: blog was sent 0, expected 1, shop was sent 2, expected 0.\n"
        "blog:\n"
        "  (none)\n"
        "shop:\n"
        "  1. SELECT %s\n"
        "  2. SELECT 3"
    )


def test_an_error_of_the_block_is_its_own():
    with pytest.raises(ZeroDivisionError), assert_queries(default=1):
        raise ZeroDivisionError


def test_an_alias_that_nobody_has_is_an_error():
    refused = pytest.raises(ConnectionDoesNotExist, match="connection 'bolg' doesn't exist")
    with refused, assert_queries(bolg=1):
        pass


class InATestCase(TestCase):
    databases = ("default",)

    def test_counts_are_those_of_a_transaction_test_case(self):
        with assert_queries(default=1), transaction.atomic(using="default"):
            User.objects.count()
