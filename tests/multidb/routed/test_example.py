"""What the page says of its two routers, with relations from the pool to ``auth_db``.

Replicas mirror the primary in tests, by connections of their own, so that each test commits.
"""

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.models import Count
from django.utils.connection import ConnectionDoesNotExist

import xdbrel
from sample_project.counting import counted_queries
from tests.multidb.routed.library.models import Book, Card, Person
from tests.multidb.routed.routers import POOL
from xdbrel.checks import fields

ALIASES = ["auth_db", "primary", "replica1", "replica2"]
REPLICAS = POOL - {"primary"}
pytestmark = pytest.mark.django_db(databases=ALIASES, transaction=True)


def test_users_are_in_auth_db(fred):
    fred = User.objects.get(username="fred")
    assert fred._state.db == "auth_db"
    fred.first_name = "Frederick"
    with counted_queries() as asked:
        fred.save()
    assert asked == {"auth_db": 1}


def test_all_else_is_read_from_replicas_and_written_to_the_primary(dna):
    assert dna._state.db == "primary"
    dna = Person.objects.get(name="Douglas Adams")
    assert dna._state.db in REPLICAS
    mh = Book(title="Mostly Harmless")
    assert mh._state.db is None
    mh.author = dna
    assert mh._state.db == "primary"
    mh.save()
    assert mh._state.db == "primary"
    assert Book.objects.get(title="Mostly Harmless")._state.db in REPLICAS


def test_an_assignment_across_consults_the_router(fred):
    """A new object goes to its own home, not to that of the other end."""
    mh = Book(title="Mostly Harmless", lent_to=fred)
    assert mh._state.db == "primary"
    card = Card(number="42")
    fred.card = card
    assert card._state.db == "primary"


def test_relations_cross_in_both_directions(fred, mh):
    read = Book.objects.get()
    assert read.lent_to == fred
    assert read.lent_to._state.db == "auth_db"
    assert list(fred.books.all()) == [mh]
    assert fred.books.get()._state.db in REPLICAS
    assert fred.books.create(title="Last Chance to See")._state.db == "primary"
    fred.books.remove(mh)
    assert fred.books.count() == 1
    assert [len(user.books.all()) for user in User.objects.prefetch_related("books")] == [1]


def test_queries_span_although_every_table_may_be_everywhere(fred, mh, dna):
    """The catch-all ``allow_migrate`` makes the tables of books in auth_db too, without rows."""
    assert Book.objects.get(lent_to__username="fred") == mh
    assert User.objects.get(books__title="Mostly Harmless") == fred
    assert User.objects.get(books__author=dna) == fred
    assert User.objects.get(books__author__name="Douglas Adams") == fred
    assert User.objects.get(pk__in=Book.objects.values("lent_to")) == fred
    assert User.objects.annotate(number=Count("books")).get().number == 1
    assert Book.objects.select_related("lent_to", "author").get().lent_to == fred
    with connections["auth_db"].cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM library_book")
        assert cursor.fetchone() == (0,)


def test_many_to_many_inside_the_pool(dna, mh):
    mh = Book.objects.get()
    mh.translators.add(dna)
    assert list(mh.translators.using("replica1")) == [dna]
    assert Person.objects.get(translations__lent_to__username="fred") == dna
    mh.translators.clear()
    assert not dna.translations.exists()


def test_many_to_many_with_auth_db(fred, boss, mh):
    mh = Book.objects.get()
    mh.readers.add(fred, boss)
    assert {user._state.db for user in mh.readers.all()} == {"auth_db"}
    assert list(fred.books_read.all()) == [mh]
    assert fred.books_read.get()._state.db in REPLICAS
    assert Book.objects.get(readers__username="fred") == mh
    assert User.objects.filter(books_read__author__name="Douglas Adams").count() == 2
    (found,) = Book.objects.prefetch_related("readers")
    assert set(found.readers.all()) == {fred, boss}
    mh.readers.remove(boss)
    fred.delete()
    assert not Book.readers.through.objects.exists()


def test_cascades_follow_from_auth_db(fred, mh):
    Card.objects.create(user=fred, number="42")
    assert xdbrel.plan_delete(fred).counts == {
        "auth_db": {"auth.User": 1},
        "primary": {"library.Card": 1},
    }
    assert fred.delete() == (2, {"auth.User": 1, "library.Card": 1})
    assert not Card.objects.exists()
    assert Book.objects.get().lent_to_id is None


def test_the_order_of_routers_counts(settings):
    """AuthRouter first; the other way round all models would be available on all databases."""
    databases = [alias for alias in ALIASES if router.allow_migrate_model(alias, User)]
    assert databases == ["auth_db"]
    settings.DATABASE_ROUTERS = settings.DATABASE_ROUTERS[::-1]
    databases = [alias for alias in ALIASES if router.allow_migrate_model(alias, User)]
    assert databases == ALIASES


def test_only_what_is_defined_can_be_reached():
    with pytest.raises(ConnectionDoesNotExist, match="The connection 'nowhere' doesn't exist"):
        Book.objects.using("nowhere").count()
    with pytest.raises(ImproperlyConfigured, match="Please supply the ENGINE value"):
        Book.objects.using("default").count()


class TestAuthRouterAlone:
    """The first router without the second says nothing of all other apps."""

    ALONE = "tests.multidb.routed.routers.AuthRouter"

    def test_a_check_says_what_is_missing(self, settings):
        settings.DATABASE_ROUTERS = [self.ALONE]
        found = {message.obj: message.id for message in fields.check_known_homes()}
        # No default, and nobody names one of the four.
        assert found[Book] == "xdbrel.E031"

    def test_home_router_says_the_rest(self, settings, fred, mh):
        settings.DATABASE_ROUTERS = [self.ALONE, "xdbrel.routers.HomeRouter"]
        apps = ("library", "admin", "sessions")
        settings.XDBREL = {**settings.XDBREL, "HOMES": dict.fromkeys(apps, "primary")}
        assert run_checks(tags=["xdbrel"]) == []
        assert list(fred.books.all()) == [mh]
        assert Book.objects.get(lent_to__username="fred") == mh
        assert User.objects.get(books__author__name="Douglas Adams") == fred
        assert not router.allow_migrate_model("auth_db", Book)
        assert router.allow_migrate_model("auth_db", User)
