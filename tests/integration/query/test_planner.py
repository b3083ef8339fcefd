"""Ways that the planner takes with many rows, taken here with few."""

import pytest
from django.db import OperationalError, connections
from django.db.models import Count, Q, Window
from django.test.utils import CaptureQueriesContext

from tests.apps.blog.models import Translation
from tests.apps.library.models import Author, Book, Sale
from tests.apps.people.models import Language
from xdbrel.query import limits

pytestmark = pytest.mark.django_db(databases="__all__")


def test_keys_of_a_further_block_count_though_the_nearer_ones_are_known(monkeypatch):
    """The books of that title are few, the authors of that name are not."""
    monkeypatch.setattr(limits, "PAGE_KEYS", 1)
    adas = [Author.objects.create(name="Ada") for _ in range(3)]
    bob = Author.objects.create(name="Bob")
    for title, author in (("one", bob), ("two", adas[0]), ("three", adas[2])):
        Sale.objects.create(book=Book.objects.create(title=title, author=author))
    by_ada = Sale.objects.filter(book__author__name="Ada").order_by("pk")
    assert not by_ada.filter(book__title="one")[:5]
    assert [sale.book.title for sale in by_ada.filter(book__title="two")[:5]] == ["two"]
    assert by_ada.filter(book__title="one").count() == 0
    assert by_ada.count() == 2


def test_equal_rows_are_all_there_for_a_window():
    ada = Author.objects.create(name="Ada")
    for _ in range(3):
        Book.objects.create(title="x", author=ada)
    counted = Author.objects.annotate(n=Window(Count("books__title"))).distinct()
    assert list(counted.values_list("name", "n")) == [("Ada", 3)]


@pytest.mark.parametrize("first_step", [1, 100])
def test_pages_along_the_order_of_another_database(monkeypatch, first_step):
    """The codes tell the languages apart, so that a page is put together key by key."""
    monkeypatch.setattr(limits, "PAGE_KEYS", 0)
    monkeypatch.setattr(limits, "FIRST_STEP", first_step)
    monkeypatch.setattr(limits, "FEW", 0)
    for code, texts in (("de", "ca"), ("en", "b"), ("fr", ""), ("it", "db")):
        language = Language.objects.create(code=code)
        for text in texts:
            Translation.objects.create(language=language, text=text)
    ordered = Translation.objects.order_by("language__code", "text")
    expected = [("de", "a"), ("de", "c"), ("en", "b"), ("it", "b"), ("it", "d")]
    for columns in (("language__code", "text"), ("text", "language__code")):
        rows = [row if columns[0] == "language__code" else row[::-1] for row in expected]
        for low, high in ((0, 2), (1, 4), (3, 9), (5, 6)):
            assert list(ordered.values_list(*columns)[low:high]) == rows[low:high]
        backwards = ordered.reverse().values_list(*columns)
        assert list(backwards[:3]) == rows[:1:-1]
    assert (ordered.first().text, ordered.last().text) == ("a", "d")
    assert ordered.select_related("language").last().language.code == "it"
    assert [step.strategy for step in ordered[:2].explain_cross_db().steps] == ["top"]


def test_a_database_that_could_not_answer_is_asked_again():
    """Whether NULL fulfils a condition is asked once, unless the answer got lost."""
    Book.objects.create(title="y", author=Author.objects.create(name="Ada"))
    Book.objects.create(title="x")
    asked = []

    def losing(execute, sql, params, many, context):
        if '"holds"' in sql or "`holds`" in sql:
            asked.append(sql)
            if len(asked) == 1:
                raise OperationalError("the connection was lost")
        return execute(sql, params, many, context)

    # A value of its own: other tests may have asked for others.
    either = Q(author__name="Ada") | Q(author__name="asked again")
    with connections["default"].execute_wrapper(losing):
        counts = []
        for _ in range(3):
            found = Book.objects.filter(either | Q(title="x")).order_by("title")
            assert [book.title for book in found] == ["x", "y"]
            counts.append(len(asked))
        # The one that was lost is asked again, the second time and no more.
        assert counts[1] == counts[2]
    assert asked.count(asked[0]) == 2


def test_a_walk_that_is_given_up_leaves_the_order(monkeypatch):
    """Hardly any of its rows do, so that an index of the order is no way to those that do."""
    for name, figure in {"PAGE_KEYS": 0, "FEW": 0, "FIRST_STEP": 1, "STEP": 2}.items():
        monkeypatch.setattr(limits, name, figure)
    monkeypatch.setattr(limits, "PATIENCE", 2)
    ada, bob = (Author.objects.create(name=name) for name in ("Ada", "Bob"))
    Book.objects.bulk_create(Book(title=f"b{number}", author=bob) for number in range(9))
    Book.objects.bulk_create(Book(title=title, author=ada) for title in ("z", "y", "x"))
    with CaptureQueriesContext(connections["blog"]) as captured:
        found = [book.title for book in Book.objects.filter(author=ada).order_by("title")[:2]]
        by_ada = Book.objects.filter(author__name="Ada")
        assert [book.title for book in by_ada.order_by("title")[:2]] == found == ["x", "y"]
        assert [book.title for book in by_ada.order_by("-title", "pk")[1:3]] == ["y", "x"]
        assert by_ada.order_by("title").reverse()[0].title == "z"
    orders = [query["sql"].partition("ORDER BY")[2] for query in captured]
    assert sum(order.strip().startswith("COALESCE(") for order in orders) >= 1
