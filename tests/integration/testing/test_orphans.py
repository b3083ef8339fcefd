"""assert_no_orphans(): every relation, no trace."""

import pytest
from django.contrib.auth.models import User
from django.test import TestCase

from tests.apps.blog.models import Lenient, Post
from tests.apps.people.models import Country
from tests.apps.shop.models import Order
from xdbrel.exceptions import UnknownRelation
from xdbrel.models import CascadeIntent, Orphan, ScanRun
from xdbrel.relations import get
from xdbrel.signals import orphans_found
from xdbrel.testing import assert_no_orphans

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

GONE = 4_711


def test_nothing_is_wrong(ada):
    assert_no_orphans()


def test_relation_keys_and_numbers_are_told():
    Order.objects.create(customer_id=GONE)
    Order.objects.create(customer_id=GONE)
    Order.objects.create(customer_id=GONE + 1)
    Post.objects.create(title="one", author_id=GONE)
    with pytest.raises(AssertionError) as caught:
        assert_no_orphans()
    assert str(caught.value) == (
        "There are orphans:\n"
        "  blog.Post.author (blog → default): key 4711 (1 source)\n"
        "  shop.Order.customer (shop → default): key 4711 (2 sources), key 4712 (1 source)"
    )


def test_many_keys_are_not_all_listed():
    Order.objects.bulk_create([Order(customer_id=GONE + n) for n in range(12)])
    with pytest.raises(AssertionError, match=r"key 4720 \(1 source\) … \(12 keys in all\)$"):
        assert_no_orphans()


def test_intents_that_wait_are_told():
    Order.objects.create(customer_id=GONE)
    CascadeIntent.objects.create(relation="shop.Order.customer", keys=[GONE])
    with pytest.raises(AssertionError, match=r"\(1 source\); 1 intent waits, see drain\(\)$"):
        assert_no_orphans()
    CascadeIntent.objects.create(
        relation="shop.Order.customer", keys=[GONE], status=CascadeIntent.Status.SET_ASIDE
    )
    with pytest.raises(AssertionError, match=r"; 2 intents wait, see drain\(\)$"):
        assert_no_orphans()


@pytest.mark.parametrize(
    "named",
    [
        lambda: "shop.Order.customer",
        lambda: "shop.order.customer",
        lambda: Order._meta.get_field("customer"),
        lambda: Order.customer,
        lambda: get("shop.Order.customer"),
    ],
    ids=["handle", "letters", "field", "descriptor", "relation"],
)
def test_relations_can_be_named(named):
    Post.objects.create(title="one", author_id=GONE)
    assert_no_orphans(named())
    Order.objects.create(customer_id=GONE)
    with pytest.raises(AssertionError) as caught:
        assert_no_orphans(named(), "blog.Comment.author")
    assert str(caught.value) == (
        "There are orphans:\n  shop.Order.customer (shop → default): key 4711 (1 source)"
    )
    assert_no_orphans(exclude=[named(), Post.author])


def test_keys_of_other_types_are_looked_for():
    from tests.apps.blog.models import Visit

    Visit.objects.create(country=Country.objects.create(code="nl"))
    assert_no_orphans()
    Visit.objects.create(country_id="zz")
    with pytest.raises(AssertionError, match=r"blog\.Visit\.country .*: key 'zz' \(1 source\)"):
        assert_no_orphans()


def test_what_does_nothing_is_looked_at_too(ada):
    Lenient.objects.create(author=ada)
    ada.delete()
    with pytest.raises(AssertionError, match=r"blog\.Lenient\.author"):
        assert_no_orphans()
    assert_no_orphans(exclude=["blog.Lenient.author"])


def test_an_unknown_relation_is_an_error():
    with pytest.raises(UnknownRelation):
        assert_no_orphans("shop.Order.gone")
    with pytest.raises(UnknownRelation, match=r"shop\.Order\.number"):
        assert_no_orphans(Order._meta.get_field("number"))


def test_nothing_is_recorded():
    sent = []

    def receive(**kwargs):
        sent.append(kwargs)

    orphans_found.connect(receive)
    Order.objects.create(customer_id=GONE)
    with pytest.raises(AssertionError):
        assert_no_orphans()
    orphans_found.disconnect(receive)
    assert (ScanRun.objects.count(), Orphan.objects.count(), sent) == (0, 0, [])


class WithTwoDatabases(TestCase):
    databases = ("default", "blog")

    def test_relations_of_a_forbidden_database_are_left_out(self):
        user = User.objects.create(username="ada")
        Post.objects.create(title="one", author=user)
        assert_no_orphans()

    def test_what_its_own_transaction_has_written_is_seen(self):
        Post.objects.create(title="one", author_id=GONE)
        with pytest.raises(AssertionError, match="key 4711"):
            assert_no_orphans()

    def test_a_relation_that_is_named_is_not_left_out(self):
        with pytest.raises(AssertionError, match="to 'shop' are not allowed"):
            assert_no_orphans("shop.Order.customer")
