"""A query of one table, on a database that was named and does not hold it.

It is asked where its table is: what others name for their own sake, as Django's generic
relations do for content types, need not know where these live. Models that no app has,
those of a migration's state, stay where the query says.
"""

import pytest
from django.db import DatabaseError, NotSupportedError, connections, models, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Prefetch

from sample_project.counting import counted_queries
from tests.apps.library.models import Author, Book
from xdbrel import prefetch_cross_db
from xdbrel.query import places
from xdbrel.routers import HomeRouter

pytestmark = pytest.mark.django_db(databases="__all__")


def test_its_rows_come_from_its_home(library):
    assert list(Author.objects.using("blog").values_list("name", flat=True)) == [
        "Ada",
        "Bob",
        "Cleo",
        "Dan",
    ]
    assert Author.objects.using("shop").get(name="Bob") == library.bob
    assert Book.objects.using("default").filter(pages__gte=100).count() == 3
    assert not Book.objects.using("shop").filter(title="Oak").exists()


class Silent:
    """A router that says where tables stand, and nothing of where rows are read and written."""

    allow_migrate = HomeRouter().allow_migrate


def test_an_object_knows_where_its_row_is(library, settings):
    """So that it is saved and deleted there, whoever decides."""
    found = Author.objects.using("blog").get(name="Bob")
    assert found._state.db == "default"
    for router in (settings.DATABASE_ROUTERS[0], Silent()):
        settings.DATABASE_ROUTERS = [router]
        found = Author.objects.using("blog").get(pk=library.bob.pk)
        found.name += "by"
        found.save()
        assert Author.objects.using("default").get(pk=found.pk).name == found.name
    assert found.name == "Bobbyby"
    found.delete()
    assert [one._state.db for one in Author.objects.using("shop").only("name")] == ["default"] * 3


def test_what_comes_along_knows_it_as_well(library):
    book = Book.objects.using("default").select_related("author").get(title="Ash")
    assert (book._state.db, book.author._state.db) == ("blog", "default")
    authors = Author.objects.order_by()
    both = authors.using("shop").filter(name="Ada").union(authors.using("shop").filter(name="Bob"))
    assert {author._state.db for author in both} == {"default"}
    asked = Prefetch("author", Author.objects.using("shop"))
    books = prefetch_cross_db(Book.objects.filter(author=library.ada), asked)
    assert {book.author._state.db for book in books} == {"default"}


def test_an_object_is_made_as_its_model_makes_it(library, monkeypatch):
    """By from_db(), of whatever arguments."""
    asked = []

    def from_db(cls, db, field_names, values, **kwargs):
        asked.append(db)
        return super(Author, cls).from_db(db, field_names, values, **kwargs)

    monkeypatch.setattr(Author, "from_db", classmethod(from_db))
    assert Author.objects.using("blog").get(name="Bob").name == "Bob"
    assert asked == ["default"]


def test_with_the_home_named_nothing_else_is_asked(library):
    with counted_queries() as asked:
        assert Book.objects.using("blog").get(title="Ash") == library.ash
    assert asked == {"blog": 1}


def test_the_record_of_migrations_is_where_it_is_asked_for():
    for alias in ("default", "blog", "shop"):
        recorder = MigrationRecorder(connections[alias])
        recorder.ensure_schema()
        recorder.record_applied("orchard", f"0001_{alias}")
    for alias in ("default", "blog", "shop"):
        applied = MigrationRecorder(connections[alias]).applied_migrations()
        assert [name for app, name in applied if app == "orchard"] == [f"0001_{alias}"]


def test_a_model_of_a_migrations_state_is_asked_for_where_the_query_says(library):
    state = ProjectState()
    fields = [("id", models.BigAutoField(primary_key=True))]
    state.add_model(ModelState("library", "Author", fields))
    model = state.apps.get_model("library", "Author")
    assert model._base_manager.using("default").count() == 4
    with pytest.raises(DatabaseError, match="library_author"):
        model._base_manager.using("blog").count()


@pytest.fixture
def old_authors(library):
    """The table of authors as it was before they moved, in the books' database."""
    connection = connections["blog"]
    with connection.schema_editor() as editor:
        editor.create_model(Author)
    places.forget()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO library_author (id, name) VALUES (1, 'Ada the elder')")
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Author)
    places.forget()


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_table_that_stands_there_all_the_same_is_read(old_authors):
    old = Author.objects.using("blog")
    assert list(old.values_list("name", flat=True)) == ["Ada the elder"]
    assert old.filter(mentor__name="Ada").count() == 0
    assert Author.objects.count() == 4
    # Books are at home there, and their authors are not those of the old table.
    assert Book.objects.using("blog").filter(author__name="Ada").count() == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda named, ada: named.create(name="Eve"),
        lambda named, ada: named.bulk_create([Author(name="Eve")]),
        lambda named, ada: named.update(name="Eve"),
        lambda named, ada: named.filter(name="Ada").delete(),
        lambda named, ada: ada.save(using="blog"),
        lambda named, ada: ada.delete(using="blog"),
        lambda named, ada: named.get_or_create(name="Eve"),
    ],
    ids=["create", "bulk_create", "update", "delete", "save", "instance delete", "get_or_create"],
)
def test_a_write_is_refused_where_the_table_is_missing(library, write):
    with (
        pytest.raises(NotSupportedError) as refused,
        transaction.atomic(using="blog"),
    ):
        write(Author.objects.using("blog"), library.ada)
    assert str(refused.value) == (
        "library.Author lives in database 'default', and database 'blog', which was named for "
        "a write, has no table library_author. Nothing was written. Leave out using(), save() "
        "and delete() know the home; or name 'default'."
    )
