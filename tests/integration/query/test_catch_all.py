"""A router that lets every table be everywhere, as the one of Django's page on several databases.

``migrate`` makes the tables in every database then, and one of them has the rows: the one that
the routers read from.
"""

import pytest
from django.db import connections
from django.db.models import Count

from sample_project.counting import counted_queries
from tests.apps.library.models import Author, Book, Classification, Sale
from xdbrel.query import places

pytestmark = pytest.mark.django_db(databases="__all__")

HOMES = {Book: "blog", Classification: "blog", Sale: "shop"}


class CatchAll:
    def db_for_read(self, model, **hints):
        return HOMES.get(model, "default") if model._meta.app_label == "library" else None

    db_for_write = db_for_read

    def allow_relation(self, obj1, obj2, **hints):
        return True

    def allow_migrate(self, db, app_label, **hints):
        return True


@pytest.fixture(autouse=True)
def catch_all(library, settings):
    settings.DATABASE_ROUTERS = [f"{__name__}.CatchAll"]


@pytest.fixture
def everywhere(catch_all):
    """The tables of authors and books in the other's database as well, without rows."""
    made = [("blog", Author), ("default", Book), ("default", Classification)]
    for alias, model in made:
        with connections[alias].schema_editor() as editor:
            editor.create_model(model)
    places.forget()
    yield
    for alias, model in reversed(made):
        with connections[alias].schema_editor() as editor:
            editor.delete_model(model)
    places.forget()


def titles(books):
    return sorted(books.values_list("title", flat=True))


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_empty_tables_are_not_joined(everywhere):
    assert titles(Book.objects.filter(author__name="Ada")) == ["Maps", "Notes"]
    assert titles(Book.objects.filter(author__mentor__name="Ada")) == ["Ash", "Birch"]
    assert [one.name for one in Author.objects.filter(books__title="Maps")] == ["Ada"]
    assert {one.title: one.author for one in Book.objects.select_related("author")}["Ash"].pk


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_what_is_joined_to_such_a_table_is_read_beside_it(everywhere):
    authors = Author.objects.annotate(found=Count("books__classifications"))
    with counted_queries() as asked:
        assert {one.name: one.found for one in authors} == {
            "Ada": 3,
            "Bob": 1,
            "Cleo": 0,
            "Dan": 0,
        }
    assert set(asked) == {"default", "blog"}


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_subquery_is_run_where_its_rows_are(everywhere):
    written = Book.objects.filter(pages=100).values("author")
    assert [one.name for one in Author.objects.filter(pk__in=written)] == ["Ada", "Cleo"]


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_who_names_a_database_gets_what_it_has(everywhere):
    """As Django does it: by ``using()``, the rows there and no others."""
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO library_book (id, title, price) VALUES (1, 'Old', 0)")
    assert titles(Book.objects.using("default")) == ["Old"]
    assert titles(Book.objects.using("default").filter(classifications=None)) == ["Old"]
    assert Book.objects.using("default").filter(author__isnull=False).count() == 0
    assert Book.objects.count() == 5


def test_within_one_database_nothing_is_brought():
    with counted_queries() as asked:
        assert Classification.objects.filter(book__title="Maps").count() == 2
    assert asked == {"blog": 1}
