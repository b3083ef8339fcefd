"""The people and books of the page's example."""

import pytest
from django.contrib.auth.models import User

from tests.multidb.routed.library.models import Book, Person


@pytest.fixture
def fred(db):
    return User.objects.create_user("fred", password="fish")


@pytest.fixture
def boss(db):
    return User.objects.create_superuser("boss", password="fish")


@pytest.fixture
def dna(db):
    return Person.objects.create(name="Douglas Adams")


@pytest.fixture
def mh(dna, fred):
    return Book.objects.create(title="Mostly Harmless", author=dna, lent_to=fred)
