"""Databases chosen by hand, as the page does it, beside relations that cross."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import IntegrityError, NotSupportedError, connections, transaction

from sample_project.counting import counted_queries
from tests.multidb.emptied.conftest import ALIASES
from tests.multidb.emptied.press.models import Book, Publisher
from tests.multidb.emptied.shop.models import Account, Order, Product

pytestmark = pytest.mark.django_db(databases=ALIASES)


def in_legacy(username, **given):
    return User.objects.db_manager("legacy_users").create_user(username, **given)


class TestUsing:
    def test_a_queryset_at_any_point_of_its_chain(self, fred):
        old = in_legacy("old")
        assert User.objects.get() == fred
        assert User.objects.using("legacy_users").get().username == "old"
        chained = User.objects.filter(username__in=["fred", "old"]).using("legacy_users")
        assert [one.username for one in chained.order_by("pk")] == ["old"]
        assert old._state.db == "legacy_users"

    def test_save_copies_and_overwrites_by_key(self, fred):
        copy = User(username="copy", pk=fred.pk)
        copy.save(using="legacy_users")
        fred.save(using="legacy_users")
        assert User.objects.using("legacy_users").get().username == "fred"

    def test_save_without_key_writes_a_new_object(self, fred):
        in_legacy("old", id=fred.pk)
        fred.pk = None
        fred.save(using="legacy_users")
        assert User.objects.using("legacy_users").count() == 2
        assert User.objects.count() == 1

    def test_force_insert_refuses_a_key_in_use(self, fred):
        in_legacy("old", id=fred.pk)
        with pytest.raises(IntegrityError), transaction.atomic(using="legacy_users"):
            fred.save(using="legacy_users", force_insert=True)

    def test_delete_where_it_was_retrieved(self, fred):
        in_legacy("fred")
        User.objects.using("legacy_users").get(username="fred").delete()
        assert User.objects.get() == fred
        assert not User.objects.using("legacy_users").exists()

    def test_a_move_by_hand_keeps_what_hangs_on_it(self, django_capture_on_commit_callbacks):
        """The copy that is deleted is not where the orders look for their customer."""
        fred = in_legacy("fred")
        Order.objects.create(customer_id=fred.pk)
        fred.save(using="users")
        with django_capture_on_commit_callbacks(using="legacy_users", execute=True) as called:
            assert fred.delete(using="legacy_users") == (1, {"auth.User": 1})
        assert called == []
        assert Order.objects.get().customer == User.objects.get()
        assert not User.objects.using("legacy_users").exists()

    def test_a_write_to_a_database_without_the_table_is_refused(self, order):
        with pytest.raises(NotSupportedError, match=r"shop\.Order lives in database 'customers'"):
            order.save(using="users")


class TestManagers:
    def test_db_manager_reaches_a_managers_own_methods(self):
        assert in_legacy("fred")._state.db == "legacy_users"
        boss = User.objects.db_manager("legacy_users").create_superuser("boss", password="fish")
        assert boss._state.db == "legacy_users"
        assert not User.objects.exists()
        assert User.objects.db_manager("legacy_users").get_by_natural_key("boss").is_superuser

    def test_async_twins(self):
        create = User.objects.db_manager("legacy_users").acreate_user
        assert async_to_sync(create)("fred")._state.db == "legacy_users"

    def test_a_managers_own_queryset_heeds_its_database(self, order):
        """``get_queryset()`` of ``OpenManager`` goes by ``_db``."""
        assert Order.watched.db_manager("customers").get_queryset()._db == "customers"
        assert Order.watched.get_queryset()._db is None
        assert Order.watched.all().open().get() == order

    def test_such_a_manager_at_the_other_end(self, fred, order):
        Order.objects.create(customer=fred, paid=True)
        watched = fred.orders(manager="watched")
        assert watched.all().open().get() == order
        assert watched.db_manager("customers").all().open().get() == order
        assert watched.count() == 2

    def test_related_managers_read_with_a_database_named(self, fred, order):
        for named in (fred.orders.using("customers"), fred.orders.db_manager("customers").all()):
            assert named.get() == order
            assert named.filter(customer__username="fred").get() == order
        # There is no such table: the rows come from where they live.
        assert fred.orders.using("users").get() == order

    @pytest.mark.parametrize("alias", [None, "customers"])
    def test_related_managers_write_where_the_orders_live(self, fred, order, alias):
        manager = fred.orders if alias is None else fred.orders.db_manager(alias)
        with counted_queries() as asked:
            made = manager.create(number=2)
            assert manager.get_or_create(number=2) == (made, False)
            assert manager.get_or_create(number=3)[1]
            assert manager.update_or_create(number=3, defaults={"paid": True})[0].paid
            manager.bulk_create([Order(number=4, customer=fred)])
            manager.remove(made)
            manager.add(made, bulk=False)
            manager.add(made)
            manager.set([made, order])
            assert manager.update(paid=True) == 2
            manager.clear()
        assert set(asked) == {"customers"}
        assert Order.objects.filter(customer=None).count() == 4
        async_to_sync(manager.aadd)(made)

    def test_many_to_many_inside_one_database(self, fred, order, tea):
        order.extras.add(tea)
        assert order.extras.using("customers").get() == tea
        assert tea.extra_in.db_manager("customers").get() == order
        assert tea.extra_in.get(customer__username="fred") == order
        tea.extra_in.db_manager("customers").create(number=7, customer=fred)
        order.extras.set([])
        assert [one.number for one in tea.extra_in.all()] == [7]
        assert User.objects.get(orders__extras__name="tea") == fred

    @pytest.mark.parametrize("named", [False, True])
    def test_many_to_many_across(self, fred, named):
        house = Publisher.objects.create(name="House")
        book = Book.objects.create(title="Tea", publisher=house)
        reviewers, reviewed = book.reviewers, fred.reviewed
        if named:
            reviewers, reviewed = reviewers.db_manager("users"), reviewed.db_manager("customers")
        reviewers.add(fred)
        assert book.reviewers.using("users").get() == fred
        assert fred.reviewed.using("customers").get() == book
        other = reviewed.create(title="Milk", publisher=house)
        assert other._state.db == "customers"
        assert reviewed.get_or_create(title="Milk") == (other, False)
        assert reviewers.create(username="ann")._state.db == "users"
        assert book.reviewers.count() == 2
        reviewed.set([book])
        assert list(fred.reviewed.all()) == [book]
        reviewers.remove(fred)
        reviewers.clear()
        assert not Book.reviewers.through.objects.exists()

    def test_the_forward_side(self, fred, order):
        read = Order.objects.using("customers").select_related("product").get()
        with counted_queries() as asked:
            assert read.customer == fred
        assert asked == {"users": 1}
        read.customer = in_legacy("old")
        with pytest.raises(
            User.DoesNotExist, match=r"key 7 has no auth\.User in database 'users'"
        ):
            Order(customer_id=7).customer

    def test_one_to_one(self, fred):
        account = Account.objects.db_manager("customers").create(user=fred)
        assert User.objects.using("users").get().account == account
        assert User.objects.using("users").select_related("account").get().account == account


def test_raw_cursors(order):
    with connections["customers"].cursor() as cursor:
        cursor.execute("SELECT number FROM shop_order")
        assert [number for (number,) in cursor.fetchall()] == [1]
    raw = Order.objects.raw("SELECT * FROM shop_order", using="customers")
    assert [one.customer.username for one in raw] == ["fred"]


def test_hints_of_migrations():
    """One RunPython ran by the hint of its model, the other by what a router makes of its own."""
    names = Product.objects.order_by("name").values_list("name", flat=True)
    assert list(names) == ["made in customers", "noted in customers"]
