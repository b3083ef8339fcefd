"""What is counted, summed and compared across databases comes grouped, not row by row."""

from decimal import Decimal

import pytest
from django.db.models import Case, Count, F, Max, Min, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce

from tests.apps.library.models import Author, Book, Sale

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def books():
    ada, bob, _ = (Author.objects.create(name=name) for name in ("Ada", "Bob", "Cleo"))
    for author, pages, price in (
        (ada, 100, "1.50"),
        (ada, 250, "2.25"),
        (ada, None, "0.00"),
        (bob, 30, "9.99"),
        (None, 70, "1.00"),
    ):
        Book.objects.create(title="x", author=author, pages=pages, price=Decimal(price))


def shipped(queryset):
    plan = queryset.explain_cross_db(analyze=True)
    return [step.rows for step in plan.steps if step.strategy == "ship"]


def test_one_row_comes_for_each_key():
    counted = Author.objects.annotate(
        n=Count("books"),
        long=Count("books", filter=Q(books__pages__gt=99)),
        pages=Sum("books__pages"),
        least=Min("books__price"),
        most=Max("books__price"),
    ).order_by("name")
    assert list(counted.values_list("name", "n", "long", "pages", "least", "most")) == [
        ("Ada", 3, 2, 350, Decimal("0.00"), Decimal("2.25")),
        ("Bob", 1, 0, 30, Decimal("9.99"), Decimal("9.99")),
        ("Cleo", 0, 0, None, None, None),
    ]
    assert all(type(author.n) is int for author in counted)
    assert shipped(counted) == [3], "one for each author of a book, and one for none"


def test_conditions_on_what_is_counted_go_along():
    long = Author.objects.filter(books__pages__gt=50).annotate(n=Count("books"))
    assert {author.name: author.n for author in long} == {"Ada": 2}
    assert shipped(long) == [2]


def test_order_and_having():
    busy = Author.objects.annotate(n=Count("books")).filter(n__gt=0).order_by("-n", "name")
    assert [(author.name, author.n) for author in busy] == [("Ada", 3), ("Bob", 1)]


def test_several_rows_make_one_group():
    Author.objects.create(name="Ada")
    other = Author.objects.create(name="Bob")
    Book.objects.create(title="y", author=other, pages=5)
    by_name = Author.objects.values("name").annotate(n=Count("books"), most=Max("books__pages"))
    assert list(by_name.order_by("name").values_list("name", "n", "most")) == [
        ("Ada", 3, 250),
        ("Bob", 2, 30),
        ("Cleo", 0, None),
    ]


@pytest.mark.parametrize(
    "queryset",
    [
        # Rows of the query's own are counted once for each of the others.
        lambda: Author.objects.annotate(n=Count("books"), own=Count("id")),
        lambda: Author.objects.annotate(n=Count("books__pages", distinct=True)),
        lambda: Author.objects.annotate(n=Sum(F("books__pages") + F("id"))),
    ],
    ids=["own", "distinct", "mixed"],
)
def test_what_needs_the_rows_gets_them(queryset):
    found = {author.name: author for author in queryset()}
    assert len(found) == 3
    assert found["Cleo"].n in (0, None)
    if hasattr(found["Ada"], "own"):
        assert (found["Ada"].n, found["Ada"].own, found["Cleo"].own) == (3, 3, 1)
    assert shipped(queryset()) == [5]


def test_a_value_for_what_is_not_there_counts_as_in_one_database():
    """Cleo has no book, so that Django joins one row to her: of that one, all columns are NULL."""
    counted = Author.objects.annotate(
        pages=Sum(Coalesce("books__pages", 7)),
        other=Sum(Case(When(books__pages=100, then=1), default=2)),
        least=Min(Case(When(~Q(books__pages__gt=99), then=Value(5)))),
        twice=Sum(F("books__pages") * 2),
    ).order_by("name")
    assert list(counted.values_list("name", "pages", "other", "least", "twice")) == [
        ("Ada", 357, 5, 5, 700),
        ("Bob", 30, 2, 5, 60),
        ("Cleo", 7, 2, 5, None),
    ]
    assert shipped(counted) == [5]


def test_what_excludes_the_row_that_is_not_there_needs_no_rows():
    counted = Author.objects.annotate(
        n=Sum(Coalesce("books__pages", 7), filter=Q(books__price__gt=1)),
        twice=Sum(F("books__pages") * 2),
    ).order_by("name")
    assert list(counted.values_list("name", "n", "twice")) == [
        ("Ada", 350, 700),
        ("Bob", 30, 60),
        ("Cleo", None, None),
    ]
    assert shipped(counted) == [3]


def test_two_databases_further():
    for book in Book.objects.filter(author__name="Ada"):
        Sale.objects.create(book=book, copies=2)
    sold = Book.objects.values("author__name").annotate(copies=Sum("sales__copies"))
    assert {row["author__name"]: row["copies"] for row in sold} == {
        "Ada": 6,
        "Bob": None,
        None: None,
    }


def test_a_subquery_that_looks_at_both_sides_gets_the_rows():
    """Its value differs from row to row of what is counted."""
    as_long = Book.objects.filter(pages=OuterRef("books__pages"), author=OuterRef("pk"))
    counted = Author.objects.annotate(n=Count("books"), same=Subquery(as_long.values("pages")[:1]))
    rows = counted.order_by("name", "same").values_list("name", "n", "same")
    assert sorted(rows, key=str) == sorted(
        [
            ("Ada", 1, 100),
            ("Ada", 1, 250),
            ("Ada", 1, None),
            ("Bob", 1, 30),
            ("Cleo", 0, None),
        ],
        key=str,
    )
