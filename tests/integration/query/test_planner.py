"""Ways that the planner takes with many rows, taken here with few."""

import pytest
from django.db.models import Count, Window

from tests.apps.library.models import Author, Book, Sale
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
