"""What a query cannot do across databases, and what it says then.

Each error names the part, the reason and the remedy; "no such table" says none of them.
"""

import re

import pytest
from django.core.exceptions import FieldError
from django.db import (
    DatabaseError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)
from django.db.models import F
from django.db.models.expressions import RawSQL

from sample_project.counting import counted_queries
from tests.apps.library.models import Author, Book, Sale
from xdbrel.exceptions import QueryTooLarge, XdbrelError

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def configure(settings):
    """Change settings of xdbrel for one test."""

    def configure(**given):
        settings.XDBREL = {**settings.XDBREL, **given}

    return configure


def refused(using, do, error=NotSupportedError):
    """Return the message with which ``do`` is refused, the transaction around it intact."""
    with pytest.raises(error) as caught, transaction.atomic(using=using):
        do()
    assert Author.objects.using("default").exists()
    return str(caught.value)


def test_raw(library):
    sql = (
        "SELECT b.id, b.title FROM library_book b JOIN library_author a ON a.id = b.author_id"
        " WHERE a.name = %s"
    )
    assert refused("blog", lambda: list(Book.objects.raw(sql, ["Ada"]))) == (
        "raw() on database 'blog' names library_author (library.Author, which lives in "
        "'default'): raw SQL reaches one database and cannot be taken apart. Name the relation "
        "in filter() or annotate() instead, which reach all of them; or read what is there with "
        "raw() and using('default')."
    )


def test_raw_with_tables_of_several(library):
    """All of them are named, however they are written."""
    sql = 'SELECT * FROM library_author a, "library_book" b, LIBRARY_SALE s WHERE s.book_id = b.id'
    if connections["default"].vendor == "mysql":
        sql = sql.replace('"', "`")
    assert refused("default", lambda: Author.objects.raw(sql).columns) == (
        "raw() on database 'default' names library_book (library.Book, which lives in 'blog'), "
        "library_sale (library.Sale, which lives in 'shop'): raw SQL reaches one database and "
        "cannot be taken apart. Name the relation in filter() or annotate() instead, which reach "
        "all of them; or read what is there with raw() and using('blog') or using('shop')."
    )


def test_raw_remedies(library):
    """What the error says to do works."""
    found = Author.objects.raw("SELECT * FROM library_author WHERE name = %s", ["Ada"])
    assert list(found) == [library.ada]
    pinned = Author.objects.using("blog").raw("SELECT * FROM library_author ORDER BY name")
    assert refused("blog", lambda: list(pinned)).startswith("raw() on database 'blog' names ")
    assert pinned.using("default")[0] == library.ada


def test_raw_errors_that_have_nothing_to_do_with_it(library):
    """Another mistake is the database's to explain, though the SQL names such a table."""
    for sql in [
        "SELECT nonsense FROM library_book",
        "SELECT id, 'library_author' AS name FROM library_book WHERE nonsense = 1",
        "SELECT id FROM library_author_of_old",
        "SELECT nonsense nonsense FROM FROM library_author",
    ]:
        message = refused(
            "blog",
            lambda sql=sql: list(Book.objects.raw(sql)),
            error=(OperationalError, ProgrammingError),
        )
        assert re.search("nonsense|library_author_of_old|FROM", message)
        assert "raw()" not in message


def test_raw_chains_the_error_of_the_database(library):
    with pytest.raises(NotSupportedError) as caught, transaction.atomic(using="blog"):
        list(Book.objects.raw("SELECT * FROM library_author"))
    assert isinstance(caught.value.__cause__, DatabaseError)
    assert "library_author" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "queryset",
    [
        # Whatever else of the query leads elsewhere, or nothing.
        lambda: Book.objects.filter(author__name="Ada"),
        lambda: Book.objects.filter(pages=100),
    ],
    ids=["spanning", "alone"],
)
def test_extra_tables(library, queryset):
    assert refused("blog", lambda: list(queryset().extra(tables=["library_author"]))) == (
        "extra(tables=['library_author']) names the table of library.Author, which lives in "
        "database 'default', in a query on database 'blog'; what is written by hand is not "
        "brought here. Follow a relation to library.Author in filter() or annotate() instead, or "
        "ask Subquery() or Exists() for it."
    )


@pytest.mark.parametrize(
    "queryset",
    [
        lambda: Book.objects.filter(
            pk__in=RawSQL("SELECT book_id FROM library_sale WHERE copies > %s", [3])
        ),
        lambda: Book.objects.filter(author__name="Ada").extra(
            where=["library_book.id IN (SELECT book_id FROM library_sale)"]
        ),
        lambda: Book.objects.annotate(n=RawSQL("(SELECT MAX(copies) FROM library_sale)", [])),
        lambda: Book.objects.extra(select={"n": "SELECT MAX(copies) FROM library_sale"}),
    ],
    ids=["RawSQL", "extra where", "annotation", "extra select"],
)
def test_raw_sql_inside_a_query(library, queryset):
    assert refused("blog", lambda: list(queryset())) == (
        "Raw SQL in a query on database 'blog' names library_sale (library.Sale, which lives in "
        "'shop'): what is written by hand is not brought here. Ask for it in filter() or "
        "annotate(), or by Subquery() or Exists(), instead."
    )


def test_raw_sql_about_what_the_query_brings(library):
    """Its columns are there, by the names that Django gave to their tables."""
    by_hand = Book.objects.filter(author__name__gt="").extra(where=["library_author.name = 'Ada'"])
    assert by_hand.count() == 2
    longer = Book.objects.filter(author__born=None).annotate(n=RawSQL("LENGTH(title)", []))
    assert sorted(longer.values_list("n", flat=True)) == [3, 5]


def test_extra_tables_of_the_same_database(library):
    """What stays here is Django's own."""
    found = Book.objects.extra(
        tables=["library_classification"],
        where=["library_classification.book_id = library_book.id"],
    )
    assert found.count() == 4


@pytest.mark.skipif(
    not connections["blog"].features.has_select_for_update, reason="SQLite locks no rows"
)
@pytest.mark.parametrize(
    ("queryset", "message"),
    [
        (
            lambda: Book.objects.select_related("author").select_for_update(of=("author",)),
            "select_for_update(of=['author']) cannot lock rows of library.Author, which live in "
            "database 'default', in a query on database 'blog'. Lock them by a query of their "
            "own: Author.objects.using('default').select_for_update().",
        ),
        (
            lambda: Sale.objects.select_related("book__author").select_for_update(
                of=("self", "book")
            ),
            "select_for_update(of=['book']) cannot lock rows of library.Book, which live in "
            "database 'blog', in a query on database 'shop'. Lock them by a query of their "
            "own: Book.objects.using('blog').select_for_update().",
        ),
    ],
    ids=["author", "book"],
)
def test_locks_of_other_databases(library, queryset, message):
    assert refused(queryset().db, lambda: list(queryset())) == message


@pytest.mark.skipif(
    not connections["blog"].features.has_select_for_update, reason="SQLite locks no rows"
)
@pytest.mark.django_db(databases="__all__", transaction=True)
def test_locks_need_a_transaction(library):
    """What brings the other tables is not the transaction that the user has to open."""
    with pytest.raises(
        transaction.TransactionManagementError,
        match=r"^select_for_update cannot be used outside of a transaction\.$",
    ):
        list(Book.objects.filter(author__name="Ada").select_for_update())


def test_more_rows_than_allowed(library, configure):
    """Nothing was changed, nothing stays, and the next query runs."""
    configure(MAX_SHIPPED_ROWS=2)
    with pytest.raises(QueryTooLarge) as caught, transaction.atomic(using="blog"):
        list(Book.objects.values_list("title", "author__name"))
    label = caught.value.label
    assert label.startswith("library.Author")
    assert (caught.value.home, caught.value.budget) == ("default", 2)
    # SQLite estimates nothing, and MariaDB may say two of three.
    about = "" if caught.value.estimate is None else f"about {caught.value.estimate}, "
    if connections["default"].vendor == "postgresql":
        assert caught.value.estimate > 2
    assert str(caught.value) == (
        f"This query would bring {about}more than 2 rows of {label} out of database 'default' "
        f'(XDBREL["MAX_SHIPPED_ROWS"]). Filter by a field of {label} that fewer rows have, '
        f"filter the other side first, or raise the limit."
    )
    assert isinstance(caught.value, XdbrelError)
    assert isinstance(caught.value, NotSupportedError)
    assert Book.objects.filter(author__name="Ada").count() == 2


def test_joined_columns_in_an_update(library):
    """Django allows them in no database."""
    with pytest.raises(
        FieldError, match=r"^Joined field references are not permitted in this query$"
    ):
        Book.objects.update(title=F("author__name"))


def test_switched_off(library, configure):
    """Everything is Django's own then, what it says of missing tables included."""
    configure(SPANNING_QUERIES=False)
    table = "library_author"
    for ask in [
        lambda: list(Book.objects.filter(author__name="Ada")),
        lambda: list(Book.objects.select_related("author")),
        lambda: Book.objects.order_by("author").first(),
        lambda: Book.objects.filter(author__name="Ada").update(pages=1),
        lambda: list(Book.objects.raw("SELECT * FROM library_author")),
    ]:
        message = refused("blog", ask, error=(OperationalError, ProgrammingError))
        assert table in message
        assert "raw()" not in message
    with counted_queries() as queries:
        assert Book.objects.filter(author=library.ada).count() == 2
    assert queries == {"blog": 1}


def test_switched_on_again(library, configure):
    configure(SPANNING_QUERIES=False)
    configure(SPANNING_QUERIES=True)
    assert Book.objects.filter(author__name="Ada").count() == 2
