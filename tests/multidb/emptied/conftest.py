"""A customer with an order, and somebody who may do everything."""

import pytest
from django.contrib.auth.models import User

from tests.multidb.emptied.shop.models import Order, Product

#: All but ``default``, which names none.
ALIASES = ["users", "legacy_users", "customers"]


@pytest.fixture
def fred(db):
    return User.objects.create_user("fred", password="fish")


@pytest.fixture
def tea(db):
    return Product.objects.create(name="tea")


@pytest.fixture
def order(fred, tea):
    return Order.objects.create(customer=fred, product=tea, number=1)
