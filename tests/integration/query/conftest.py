"""A small library over three databases, which the tests of queries ask about."""

import datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.utils import timezone

from tests.apps.library.models import Author, Book, Classification, Sale, Shelfmark, Subject


def moment(*of):
    return datetime.datetime(*of, tzinfo=datetime.UTC)


@pytest.fixture
def library(db):
    """Four authors, five books, five sales, three subjects.

    ======  ======  =====  =====  ==========  ============  ===============  =========
    book    author  pages  price  published   subjects      copies sold      shelfmark
    ======  ======  =====  =====  ==========  ============  ===============  =========
    Notes   Ada     100    10.00  2001-01-10  math          3 and 2          N1
    Maps    Ada     300    30.50  2002-02-20  math, travel  1
    Ash     Bob            20.00  2001-03-01  trees         7                A1
    Birch   Cleo    100    5.00
    Stray           50     1.00                             4, nobody knows when
    ======  ======  =====  =====  ==========  ============  ===============  =========
    """
    ada = Author.objects.create(name="Ada", born=datetime.date(1815, 12, 10))
    bob = Author.objects.create(name="Bob", mentor=ada)
    cleo = Author.objects.create(name="Cleo", born=datetime.date(1900, 1, 1), mentor=ada)
    dan = Author.objects.create(name="Dan", born=datetime.date(1950, 5, 5))

    def book(title, author, pages, price, published=None):
        return Book.objects.create(
            title=title,
            author=author,
            pages=pages,
            price=Decimal(price),
            published=published and datetime.date(*published),
        )

    notes = book("Notes", ada, 100, "10", (2001, 1, 10))
    maps = book("Maps", ada, 300, "30.5", (2002, 2, 20))
    ash = book("Ash", bob, None, "20", (2001, 3, 1))
    birch = book("Birch", cleo, 100, "5")
    stray = book("Stray", None, 50, "1")
    sales = [
        Sale.objects.create(book=notes, copies=3, sold_at=moment(2020, 1, 10)),
        Sale.objects.create(book=notes, copies=2, sold_at=moment(2020, 2, 10, 12)),
        Sale.objects.create(book=maps, copies=1, sold_at=moment(2020, 3, 10)),
        Sale.objects.create(book=ash, copies=7, sold_at=moment(2021, 1, 10)),
        Sale.objects.create(book=stray, copies=4),
    ]
    Shelfmark.objects.create(book=notes, code="N1")
    Shelfmark.objects.create(book=ash, code="A1")
    math, travel, trees = (
        Subject.objects.create(name=name) for name in ("math", "travel", "trees")
    )
    for its, subject in [(notes, math), (maps, math), (maps, travel), (ash, trees)]:
        Classification.objects.create(book=its, subject=subject)
    found = SimpleNamespace(
        ada=ada,
        bob=bob,
        cleo=cleo,
        dan=dan,
        notes=notes,
        maps=maps,
        ash=ash,
        birch=birch,
        stray=stray,
        sales=sales,
        math=math,
    )
    # MariaDB does not know other zones unless it was told of them.
    with timezone.override(datetime.UTC):
        yield found
