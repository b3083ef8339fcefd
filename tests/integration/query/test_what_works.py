"""What the ORM can say of one database, said of three: the answers are those of one.

The tables of the library and who is in them are in ``conftest.py``.
"""

import datetime
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, User
from django.db import connections, models, transaction
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import (
    Coalesce,
    Concat,
    ExtractYear,
    Lower,
    Rank,
    RowNumber,
    TruncMonth,
    Upper,
)

from sample_project.counting import counted_queries
from tests.apps.blog.models import Comment, Essay, Post, Visit
from tests.apps.garden.models import Contract, Gardener, Payment, Photo, Plot
from tests.apps.knots.models import Album, Artist, Song
from tests.apps.library.models import Author, Book, Classification, Sale, Shelfmark, Subject
from tests.apps.people.models import Badge, Bookmark, Country, Cover, Device, Member
from tests.apps.shop.models import Order, Profile, Review
from xdbrel import prefetch_cross_db, routers

pytestmark = pytest.mark.django_db(databases="__all__")


def titles(books):
    return list(books.values_list("title", flat=True))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Q(author__name="Ada"), ["Maps", "Notes"]),
        (Q(author__name="ada"), []),
        (Q(author__name__in=["Bob", "Cleo"]), ["Ash", "Birch"]),
        (Q(author__name__gt="Ada"), ["Ash", "Birch"]),
        (Q(author__name__startswith="B"), ["Ash"]),
        (Q(author__name__contains="e"), ["Birch"]),
        (Q(author__name__regex="^.o.$"), ["Ash"]),
        (Q(author__born__year=1815), ["Maps", "Notes"]),
        (Q(author__born__range=("1850-01-01", "1950-01-01")), ["Birch"]),
        (Q(author__born=None), ["Ash", "Stray"]),
        (Q(author__born__isnull=False), ["Birch", "Maps", "Notes"]),
        (Q(author__isnull=True), ["Stray"]),
        (Q(author__name="Ada", pages__gt=100), ["Maps"]),
        (Q(author__name="Bob") | Q(pages=50), ["Ash", "Stray"]),
        (Q(author__name="Bob") | Q(author__name="Cleo", pages=100), ["Ash", "Birch"]),
        (Q(author__name="Ada") ^ Q(pages=100), ["Birch", "Maps"]),
        (~Q(author__name="Ada"), ["Ash", "Birch", "Stray"]),
        (~Q(author__born__year=1815), ["Ash", "Birch", "Stray"]),
        (~(Q(author__name="Ada") & Q(pages=100)), ["Ash", "Birch", "Maps", "Stray"]),
        (~(Q(author__name="Ada") | Q(pages=100)), ["Ash", "Stray"]),
        (~~Q(author__name="Ada"), ["Maps", "Notes"]),
        (Q(author__mentor__name="Ada"), ["Ash", "Birch"]),
        (Q(author__mentor=None), ["Maps", "Notes", "Stray"]),
        (Q(author__pupils__name="Cleo"), ["Maps", "Notes"]),
    ],
    ids=str,
)
def test_filter(library, condition, expected):
    assert titles(Book.objects.filter(condition).order_by("title")) == expected


def test_texts_compare_as_at_home(library):
    """What the authors' own database takes for equal is equal, wherever the books are."""
    at_home = Author.objects.filter(name__iexact="ADA")
    assert titles(Book.objects.filter(author__name__iexact="ADA").order_by("title")) == (
        ["Maps", "Notes"] if at_home else []
    )
    # MariaDB's tests are set up with a collation that tells letters apart.
    assert bool(at_home) == (connections["default"].vendor != "mysql")


def test_an_order_by_what_is_here_beside_a_subquery_on_what_is_not(library):
    """Only the subquery is taken apart; what orders the query is joined as ever."""
    found = Author.objects.exclude(books__title="Maps").order_by("mentor__name", "name")
    assert {author.name for author in found} == {
        author.name for author in Author.objects.all()
    } - {Book.objects.get(title="Maps").author.name}


def test_exclude_and_nulls(library):
    """What is unknown is not excluded, which is what Django makes of one database."""
    by_title = Book.objects.order_by("title")
    assert titles(by_title.exclude(author__name="Ada")) == ["Ash", "Birch", "Stray"]
    assert titles(by_title.exclude(author__born__gt="1850-01-01")) == [
        "Ash",
        "Maps",
        "Notes",
        "Stray",
    ]
    assert titles(by_title.exclude(author=None).exclude(author__born=None)) == [
        "Birch",
        "Maps",
        "Notes",
    ]
    assert titles(by_title.exclude(author__name="Ada", pages=300)) == [
        "Ash",
        "Birch",
        "Notes",
        "Stray",
    ]
    # Over relations to many, of which each Q is about one row.
    assert titles(by_title.exclude(sales__copies__gt=2)) == ["Birch", "Maps"]
    assert titles(by_title.exclude(sales__book__author__name="Ada")) == ["Ash", "Birch", "Stray"]
    assert titles(by_title.exclude(classifications__subject__name="math")) == [
        "Ash",
        "Birch",
        "Stray",
    ]


def test_dangling_keys(library):
    """A key without a target is a row without one, as after an outer join."""
    lost = Book.objects.create(title="Lost", author_id=10**6)
    assert titles(Book.objects.filter(author__name=None).order_by("title")) == ["Lost", "Stray"]
    assert titles(Book.objects.exclude(author__name="Ada").filter(pk=lost.pk)) == ["Lost"]
    assert Book.objects.filter(author__name__gt="").filter(pk=lost.pk).count() == 0


def test_f(library):
    """Columns of several databases in one expression."""
    assert titles(Book.objects.filter(title__gt=F("author__name")).order_by("title")) == [
        "Maps",
        "Notes",
    ]
    many = Sale.objects.filter(copies__gt=F("book__pages") / 100).order_by("copies")
    assert list(many.values_list("copies", flat=True)) == [2, 3, 4]
    longer = Sale.objects.alias(worth=F("copies") * F("book__price")).filter(worth__gt=100)
    assert [sale.copies for sale in longer] == [7]
    assert list(
        Book.objects.annotate(by=Concat(Upper("author__name"), Value(": "), Lower("title")))
        .filter(by__startswith="B")
        .values_list("by", flat=True)
    ) == ["BOB: ash"]


def test_order_by(library):
    by_author = Book.objects.filter(author__isnull=False)
    assert titles(by_author.order_by("author__name", "-title")) == [
        "Notes",
        "Maps",
        "Ash",
        "Birch",
    ]
    assert titles(by_author.order_by("-author__name", "title")) == [
        "Birch",
        "Ash",
        "Maps",
        "Notes",
    ]
    assert titles(by_author.order_by(Lower("author__name").desc(), "title").reverse()) == [
        "Notes",
        "Maps",
        "Ash",
        "Birch",
    ]


def test_order_by_nulls(library):
    born = F("author__born")
    assert titles(Book.objects.order_by(born.asc(nulls_first=True), "title")) == [
        "Ash",
        "Stray",
        "Maps",
        "Notes",
        "Birch",
    ]
    assert titles(Book.objects.order_by(born.desc(nulls_last=True), "title")) == [
        "Birch",
        "Maps",
        "Notes",
        "Ash",
        "Stray",
    ]


def test_order_by_the_target_is_by_its_own_ordering(library):
    """Meta.ordering of authors is their name, and is joined without being named."""
    Author.objects.filter(pk=library.ada.pk).update(name="Zoe")
    assert titles(Book.objects.exclude(author=None).order_by("author", "title")) == [
        "Ash",
        "Birch",
        "Maps",
        "Notes",
    ]
    assert titles(Book.objects.exclude(author=None).order_by("author_id", "title")) == [
        "Maps",
        "Notes",
        "Ash",
        "Birch",
    ]


def test_distinct(library):
    twice = Author.objects.filter(books__pages__gte=100)
    assert [author.name for author in twice] == ["Ada", "Ada", "Cleo"]
    assert [author.name for author in twice.distinct()] == ["Ada", "Cleo"]
    assert twice.distinct().count() == 2
    names = Sale.objects.order_by("book__author__name").values_list("book__author__name")
    assert list(names.exclude(book__author=None).distinct()) == [("Ada",), ("Bob",)]


@pytest.mark.skipif(
    connections["blog"].vendor != "postgresql", reason="DISTINCT ON is PostgreSQL's alone"
)
def test_distinct_on(library):
    """The dearest book of each author."""
    dearest = Book.objects.exclude(author=None).order_by("author__name", "-price")
    assert titles(dearest.distinct("author__name")) == ["Maps", "Ash", "Birch"]


def test_values(library):
    assert list(
        Book.objects.filter(pages=100).order_by("title").values("title", "author__name")
    ) == [
        {"title": "Birch", "author__name": "Cleo"},
        {"title": "Notes", "author__name": "Ada"},
    ]
    (row,) = Sale.objects.filter(copies=7).values_list(
        "copies", "book__title", "book__author__born"
    )
    assert row == (7, "Ash", None)
    (named,) = Sale.objects.filter(copies=7).values_list("book__price", "sold_at", named=True)
    assert named.book__price == Decimal("20.00")
    (computed,) = Book.objects.filter(title="Ash").values(name=Upper("author__name"))
    assert computed == {"name": "BOB"}
    assert set(
        Author.objects.filter(name="Bob").values_list("books__sales__copies", flat=True)
    ) == {7}


def test_types_of_values(library):
    """What comes from far is of the type that its field makes of it."""
    row = Sale.objects.filter(copies=1).values_list(
        "book__author__born", "book__price", "book__published", "book__author_id", "sold_at"
    )[0]
    assert row == (
        datetime.date(1815, 12, 10),
        Decimal("30.50"),
        datetime.date(2002, 2, 20),
        library.ada.pk,
        datetime.datetime(2020, 3, 10, tzinfo=datetime.UTC),
    )
    device = Device.objects.create(name="radio")
    visit = Visit.objects.create(device=device)
    assert Visit.objects.filter(device__name="radio").values_list("device__id").get() == (
        device.pk,
    )
    (country,) = [Country.objects.create(code="AT", name="Austria")]
    Visit.objects.create(country=country)
    assert Visit.objects.get(device__name="radio") == visit
    assert Country.objects.filter(visits__isnull=False).get() == country


def test_keys_other_than_the_primary_one(library):
    """A relation by ``to_field``, and one to a multi-table child."""
    badge = Badge.objects.create(number=77)
    member = Member.objects.create(name="Mo", since=1999)
    Visit.objects.create(badge=badge, member=member)
    Visit.objects.create()
    assert Visit.objects.filter(badge__pk=badge.pk).count() == 1
    assert Visit.objects.filter(badge__number__gt=70, member__since__lt=2000).count() == 1
    assert Visit.objects.get(member__name="Mo").member_id == member.pk
    assert list(Badge.objects.values_list("visits__member__name", flat=True)) == ["Mo"]
    essay = Essay.objects.create(title="On", writer=member, pages=9)
    assert Essay.objects.get(writer__name="Mo") == essay
    assert Member.objects.get(blog_article__essay__pages=9) == member


def test_annotate(library):
    counted = Author.objects.annotate(
        how_many=Count("books"), dearest=Max("books__price"), pages=Sum("books__pages")
    )
    # Django leaves Meta.ordering out where it groups.
    by_name = counted.order_by("name")
    assert list(by_name.values_list("name", "how_many", "dearest", "pages")) == [
        ("Ada", 2, Decimal("30.50"), 400),
        ("Bob", 1, Decimal("20.00"), None),
        ("Cleo", 1, Decimal("5.00"), 100),
        ("Dan", 0, None, None),
    ]
    assert [author.name for author in counted.filter(how_many__gt=1)] == ["Ada"]
    assert [author.name for author in counted.order_by("-how_many", "-name")] == [
        "Ada",
        "Cleo",
        "Bob",
        "Dan",
    ]
    with_name = Book.objects.annotate(by=F("author__name")).order_by("title")
    assert [(book.title, book.by) for book in with_name][:2] == [("Ash", "Bob"), ("Birch", "Cleo")]


def test_annotate_over_three_databases(library):
    authors = Author.objects.order_by("name")
    sold = authors.annotate(copies=Coalesce(Sum("books__sales__copies"), 0))
    assert list(sold.values_list("name", "copies")) == [
        ("Ada", 6),
        ("Bob", 7),
        ("Cleo", 0),
        ("Dan", 0),
    ]
    good = authors.annotate(
        early=Count("books__sales", filter=Q(books__sales__sold_at__year=2020), distinct=True)
    )
    assert list(good.values_list("name", "early")) == [
        ("Ada", 3),
        ("Bob", 0),
        ("Cleo", 0),
        ("Dan", 0),
    ]


def test_group_by_what_lives_elsewhere(library):
    by_author = Sale.objects.values("book__author__name").annotate(copies=Sum("copies"))
    assert list(by_author.exclude(book__author=None).order_by("book__author__name")) == [
        {"book__author__name": "Ada", "copies": 6},
        {"book__author__name": "Bob", "copies": 7},
    ]
    by_year = (
        Sale.objects.exclude(sold_at=None)
        .values(year=ExtractYear("sold_at"))
        .annotate(worth=Sum(F("copies") * F("book__price")))
        .order_by("year")
    )
    assert list(by_year) == [
        {"year": 2020, "worth": Decimal("80.50")},
        {"year": 2021, "worth": Decimal("140.00")},
    ]
    many = by_author.filter(copies__gt=6).values_list("book__author__name", flat=True)
    assert list(many) == ["Bob"]


def test_aggregate(library):
    assert Book.objects.filter(author__name="Ada").aggregate(
        Sum("pages"), Min("author__born"), Count("author", distinct=True)
    ) == {
        "pages__sum": 400,
        "author__born__min": datetime.date(1815, 12, 10),
        "author__count": 1,
    }
    assert Sale.objects.aggregate(
        books=Count("book__title", distinct=True),
        authors=Count("book__author__name", distinct=True),
        pages=Avg("book__pages"),
        last=Max("book__author__name"),
    ) == {"books": 4, "authors": 2, "pages": 137.5, "last": "Bob"}
    assert Author.objects.annotate(n=Count("books")).aggregate(most=Max("n"), all=Sum("n")) == {
        "most": 2,
        "all": 4,
    }
    assert Sale.objects.filter(book__author__name="Nobody").aggregate(n=Sum("copies")) == {
        "n": None
    }


def test_alias(library):
    found = Author.objects.alias(n=Count("books")).filter(n=1).order_by("-n", "name")
    assert [author.name for author in found] == ["Bob", "Cleo"]
    assert not hasattr(found[0], "n")


def test_case_when(library):
    kind = Case(
        When(author__born__lt="1850-01-01", then=Value("old")),
        When(author__isnull=True, then=Value("nobody's")),
        When(pages=100, then=F("author__name")),
        default=Value("new"),
    )
    assert list(
        Book.objects.annotate(kind=kind).order_by("title").values_list("title", "kind")
    ) == [
        ("Ash", "new"),
        ("Birch", "Cleo"),
        ("Maps", "old"),
        ("Notes", "old"),
        ("Stray", "nobody's"),
    ]
    first = Case(When(author__name="Cleo", then=0), default=1)
    assert titles(Book.objects.order_by(first, "title"))[0] == "Birch"


def test_subquery(library):
    newest = Sale.objects.filter(book=OuterRef("pk")).order_by("-copies")
    with_most = Book.objects.annotate(most=Subquery(newest.values("copies")[:1])).order_by("title")
    assert list(with_most.values_list("title", "most")) == [
        ("Ash", 7),
        ("Birch", None),
        ("Maps", 1),
        ("Notes", 3),
        ("Stray", 4),
    ]
    by = Sale.objects.annotate(
        by=Subquery(Author.objects.filter(books__sales=OuterRef("pk")).values("name")[:1])
    )
    assert list(by.order_by("copies").values_list("copies", "by")) == [
        (1, "Ada"),
        (2, "Ada"),
        (3, "Ada"),
        (4, None),
        (7, "Bob"),
    ]
    # Whole, without a word of the query around it.
    first = Author.objects.order_by("born").exclude(born=None).values("name")[:1]
    assert titles(Book.objects.filter(author__name=Subquery(first)).order_by("title")) == [
        "Maps",
        "Notes",
    ]


def test_exists(library):
    sold = Exists(Sale.objects.filter(book=OuterRef("pk"), copies__gt=2))
    assert titles(Book.objects.filter(sold).order_by("title")) == ["Ash", "Notes", "Stray"]
    assert titles(Book.objects.filter(~sold).order_by("title")) == ["Birch", "Maps"]
    assert list(
        Book.objects.annotate(sold=sold).order_by("title").values_list("sold", flat=True)
    ) == [
        True,
        False,
        False,
        True,
        True,
    ]
    # The subquery spans as well, and names a column two queries away.
    namesake = Exists(
        Book.objects.filter(
            Exists(Sale.objects.filter(book=OuterRef("pk"), copies=7)), author=OuterRef("pk")
        )
    )
    assert [author.name for author in Author.objects.filter(namesake)] == ["Bob"]


def test_filtered_relation(library):
    dear = FilteredRelation("books", condition=Q(books__price__gt=15))
    found = Author.objects.annotate(dear=dear).values_list("name", "dear__title")
    assert list(found) == [("Ada", "Maps"), ("Bob", "Ash"), ("Cleo", None), ("Dan", None)]
    old = FilteredRelation("author", condition=Q(author__born__lt="1850-01-01"))
    assert titles(Book.objects.annotate(old=old).filter(old__name="Ada").order_by("title")) == [
        "Maps",
        "Notes",
    ]


def test_windows(library):
    ranked = Book.objects.exclude(author=None).annotate(
        nth=Window(RowNumber(), partition_by="author__name", order_by="-price"),
        all=Window(Sum("price"), partition_by=F("author__name")),
    )
    assert list(ranked.order_by("author__name", "nth").values_list("title", "nth", "all")) == [
        ("Maps", 1, Decimal("40.50")),
        ("Notes", 2, Decimal("40.50")),
        ("Ash", 1, Decimal("20.00")),
        ("Birch", 1, Decimal("5.00")),
    ]
    assert titles(ranked.filter(nth=1).order_by("author__name")) == ["Maps", "Ash", "Birch"]
    by_birth = Sale.objects.annotate(
        nth=Window(Rank(), order_by=F("book__author__name").asc(nulls_last=True))
    )
    assert sorted(by_birth.values_list("nth", "copies")) == [
        (1, 1),
        (1, 2),
        (1, 3),
        (4, 7),
        (5, 4),
    ]


def test_combined_queries(library):
    ada = Book.objects.filter(author__name="Ada")
    hundred = Book.objects.filter(pages=100)
    late = Book.objects.filter(sales__copies__gt=2)
    assert titles(ada.union(hundred).order_by("title")) == ["Birch", "Maps", "Notes"]
    assert sorted(titles(ada.union(hundred, late, all=True))) == [
        "Ash",
        "Birch",
        "Maps",
        "Notes",
        "Notes",
        "Notes",
        "Stray",
    ]
    assert titles(ada.intersection(late)) == ["Notes"]
    assert titles(ada.difference(late)) == ["Maps"]
    assert ada.union(late).count() == 4
    # SQLite wants no order inside, and that of Meta is one.
    names = Author.objects.filter(books__pages=100).order_by().values_list("name")
    others = Author.objects.filter(name="Dan").order_by().values_list("name")
    assert list(names.union(others).order_by("name")) == [("Ada",), ("Cleo",), ("Dan",)]
    assert titles((ada | hundred).order_by("title")) == ["Birch", "Maps", "Notes"]
    assert titles(ada & hundred) == ["Notes"]


def test_in_a_queryset_of_another_database(library):
    pupils = Author.objects.filter(mentor__name="Ada")
    assert titles(Book.objects.filter(author__in=pupils).order_by("title")) == ["Ash", "Birch"]
    assert titles(Book.objects.exclude(author__in=pupils).order_by("title")) == [
        "Maps",
        "Notes",
        "Stray",
    ]
    assert titles(Book.objects.filter(author__name__in=pupils.values("name"), pages=100)) == [
        "Birch"
    ]
    assert titles(
        Book.objects.filter(pk__in=Sale.objects.filter(copies__gt=2).values("book")).order_by("pk")
    ) == ["Notes", "Ash", "Stray"]
    chain = Sale.objects.filter(book__in=Book.objects.filter(author__in=pupils))
    assert [sale.copies for sale in chain] == [7]
    # A slice, its order and a value that spans.
    oldest = Author.objects.exclude(born=None).order_by("born")[:1]
    assert titles(Book.objects.filter(author__in=oldest.values("pk")).order_by("title")) == [
        "Maps",
        "Notes",
    ]
    assert not Book.objects.filter(author__in=Author.objects.none())


def test_select_related(library):
    books = Book.objects.select_related("author", "author__mentor").order_by("title")
    with counted_queries() as queries:
        found = [
            (
                book.title,
                book.author and book.author.name,
                book.author and book.author.mentor and book.author.mentor.name,
            )
            for book in books
        ]
        first = dict(queries)
    assert found == [
        ("Ash", "Bob", "Ada"),
        ("Birch", "Cleo", "Ada"),
        ("Maps", "Ada", None),
        ("Notes", "Ada", None),
        ("Stray", None, None),
    ]
    # Nothing was read one by one.
    assert first == queries
    chain = Sale.objects.select_related("book__author").get(copies=7)
    back = Book.objects.select_related("shelfmark").get(title="Ash")
    with counted_queries() as queries:
        assert (chain.book.title, chain.book.author.name) == ("Ash", "Bob")
        assert back.shelfmark.code == "A1"
    assert queries == {}


@pytest.mark.filterwarnings("ignore:Calling select_related")
def test_select_related_bare(library):
    """Without names: every relation that is not null, over two databases."""
    mark = Shelfmark.objects.select_related().get(code="A1")
    sale = Sale.objects.select_related().get(copies=7)
    with counted_queries() as queries:
        assert mark.book.title == "Ash"
        assert sale.book.title == "Ash"
    assert queries == {}
    with counted_queries() as queries:
        # It may be null, and so is not followed.
        assert sale.book.author.name == "Bob"
    assert queries == {"default": 1}


def test_what_is_selected_knows_where_it_lives(library):
    """An instance that came along is saved, refreshed and asked where its rows are."""
    book = Book.objects.select_related("author").get(title="Ash")
    assert (book._state.db, book.author._state.db) == ("blog", "default")
    book.author.name = "Rob"
    book.author.save()
    book.author.refresh_from_db()
    assert Author.objects.get(pk=library.bob.pk).name == "Rob"
    assert list(book.author.books.all()) == [book]


def test_only_and_defer(library):
    only = Book.objects.select_related("author").only("title", "author__name").get(title="Ash")
    assert only.get_deferred_fields() == {"pages", "price", "published"} | (
        only.get_deferred_fields() & {"author_id"}
    )
    assert only.author.get_deferred_fields() == {"born", "mentor_id"}
    with counted_queries() as queries:
        assert only.author.name == "Bob"
    assert queries == {}
    with counted_queries() as queries:
        assert only.author.born is None
    assert queries == {"default": 1}
    rest = Book.objects.select_related("author").defer("author__born", "pages").get(title="Ash")
    assert rest.author.get_deferred_fields() == {"born"}
    assert rest.get_deferred_fields() == {"pages"}


def test_the_short_ways(library):
    by_ada = Book.objects.filter(author__name="Ada")
    assert by_ada.in_bulk([library.notes.pk, library.ash.pk]) == {library.notes.pk: library.notes}
    assert by_ada.count() == 2
    assert by_ada.exists()
    assert not by_ada.filter(sales__copies=7).exists()
    assert by_ada.contains(library.notes)
    assert Book.objects.order_by("author__name", "title").exclude(author=None).first().title == (
        "Maps"
    )
    assert Book.objects.exclude(author=None).order_by("author__name", "title").last().title == (
        "Birch"
    )
    assert by_ada.earliest("published") == library.notes
    assert by_ada.latest("published") == library.maps
    sold = Sale.objects.filter(book__author__name="Ada")
    assert sold.latest("book__published", "copies").copies == 1
    assert by_ada.get(pages=300) == library.maps
    with pytest.raises(Book.DoesNotExist):
        by_ada.get(pages=1)
    with pytest.raises(Book.MultipleObjectsReturned):
        by_ada.get()
    assert not Book.objects.filter(author__name="Ada").none()


def test_dates(library):
    sold = Sale.objects.filter(book__author__name="Ada")
    months = [(month.year, month.month) for month in sold.datetimes("sold_at", "month")]
    assert months == [(2020, 1), (2020, 2), (2020, 3)]
    assert list(Book.objects.filter(author__name="Ada").dates("published", "year")) == [
        datetime.date(2001, 1, 1),
        datetime.date(2002, 1, 1),
    ]
    assert list(
        Sale.objects.filter(sold_at__isnull=False)
        .annotate(month=TruncMonth("book__published"))
        .order_by("month", "copies")
        .values_list("month", "copies")
    ) == [
        (datetime.date(2001, 1, 1), 2),
        (datetime.date(2001, 1, 1), 3),
        (datetime.date(2001, 3, 1), 7),
        (datetime.date(2002, 2, 1), 1),
    ]


def test_slices(library):
    ordered = Book.objects.exclude(author=None).order_by("author__name", "title")
    assert titles(ordered[:2]) == ["Maps", "Notes"]
    assert titles(ordered[1:3]) == ["Notes", "Ash"]
    assert [book.title for book in ordered[::2]] == ["Maps", "Ash"]
    assert ordered[3].title == "Birch"
    assert ordered[1:].count() == 3
    with pytest.raises(IndexError):
        ordered[4]


def test_iterator(library):
    """In chunks, with another query that spans in between."""
    found = []
    for book in Book.objects.filter(author__name="Ada").order_by("title").iterator(chunk_size=1):
        found.append((book.title, Sale.objects.filter(book__title=book.title).count()))
    assert found == [("Maps", 1), ("Notes", 2)]
    left = Book.objects.filter(author__name="Ada").order_by("title").iterator(chunk_size=1)
    assert next(left).title == "Maps"
    left.close()
    assert Book.objects.filter(author__name="Ada").count() == 2


def test_asynchronously(library):
    async def ask():
        by_ada = Book.objects.filter(author__name="Ada").order_by("title")
        return (
            [book.title async for book in by_ada],
            [book.title async for book in by_ada.aiterator(chunk_size=1)],
            await by_ada.acount(),
            await by_ada.aexists(),
            (await by_ada.afirst()).title,
            await Sale.objects.filter(book__author__name="Bob").aaggregate(n=Sum("copies")),
        )

    found = async_to_sync(ask)()
    assert found == (["Maps", "Notes"], ["Maps", "Notes"], 2, True, "Maps", {"n": 7})


def test_select_for_update(library):
    """The rows of the query are locked; what was brought only serves to find them."""
    with transaction.atomic(using="blog"):
        locked = Book.objects.filter(author__name="Ada").select_for_update().order_by("title")
        assert titles(locked) == ["Maps", "Notes"]
    if connections["blog"].features.has_select_for_update_of:
        with transaction.atomic(using="blog"):
            locked = Book.objects.filter(author__name="Ada").select_for_update(of=("self",))
            assert titles(locked.order_by("title")) == ["Maps", "Notes"]
            joined = Book.objects.select_related("author").select_for_update(of=("self",))
            assert [book.author.name for book in joined.filter(author__name="Bob")] == ["Bob"]


def test_update(library):
    assert Book.objects.filter(author__name="Ada").update(pages=7) == 2
    assert titles(Book.objects.filter(pages=7).order_by("title")) == ["Maps", "Notes"]
    assert Book.objects.exclude(author__name="Ada").update(title=Concat("title", Value("!"))) == 3
    assert Author.objects.filter(books__sales__copies=7).update(name="Rob") == 1
    assert Author.objects.get(pk=library.bob.pk).name == "Rob"
    assert Sale.objects.filter(book__author__mentor__name="Ada").update(copies=8) == 1
    assert Book.objects.filter(author__name="Nobody").update(pages=0) == 0
    subquery = Author.objects.filter(pk=OuterRef("author")).values("name")[:1]
    assert Book.objects.filter(author__isnull=False).update(title=Subquery(subquery)) == 4
    assert sorted(titles(Book.objects.all())) == ["Ada", "Ada", "Cleo", "Rob", "Stray!"]


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_delete(library):
    assert Sale.objects.filter(book__author__name="Bob").delete() == (1, {"library.Sale": 1})
    assert Sale.objects.count() == 4
    _, rows = Book.objects.filter(author__name="Ada").delete()
    assert rows["library.Book"] == 2
    assert rows["library.Sale"] == 3
    assert titles(Book.objects.order_by("title")) == ["Ash", "Birch", "Stray"]
    assert not Book.objects.filter(sales__copies__lt=4).exists()
    assert Author.objects.filter(books__isnull=True).exclude(name="Dan").delete()[0] == 1
    assert [author.name for author in Author.objects.all()] == ["Bob", "Cleo", "Dan"]


def test_get_or_create(library):
    found, created = Book.objects.get_or_create(
        author__name="Bob", defaults={"title": "Never", "author": library.bob}
    )
    assert (found, created) == (library.ash, False)
    made, created = Book.objects.get_or_create(
        author__name="Dan", defaults={"title": "Dunes", "author": library.dan}
    )
    assert (made.title, created) == ("Dunes", True)
    changed, created = Book.objects.update_or_create(
        author__name="Dan", defaults={"pages": 9}, create_defaults={}
    )
    assert (changed.pk, changed.pages, created) == (made.pk, 9, False)


def test_explain(library):
    """The plan of the statement that is run here; nothing of it stays."""
    plan = Book.objects.filter(author__name="Ada").explain()
    assert isinstance(plan, str)
    assert plan
    assert Book.objects.filter(author__name="Ada").count() == 2


def test_a_chain_forward_and_back(library):
    """shop → blog → default, and the way back."""
    assert [sale.copies for sale in Sale.objects.filter(book__author__name="Bob")] == [7]
    assert [author.name for author in Author.objects.filter(books__sales__copies=7)] == ["Bob"]
    assert [
        author.name for author in Author.objects.filter(books__shelfmark__code__in=["A1", "N1"])
    ] == ["Ada", "Bob"]
    # There, back and there again.
    of_colleagues = Sale.objects.filter(book__author__books__sales__copies=1)
    assert sorted(of_colleagues.values_list("copies", flat=True)) == [1, 2, 3]


def test_relations_to_many_in_one_filter_and_in_two(library):
    """One filter() is about one row, two are about any two."""
    both = Author.objects.filter(books__pages=100, books__price=Decimal("30.50"))
    assert not both.exists()
    either = Author.objects.filter(books__pages=100).filter(books__price=Decimal("30.50"))
    assert [author.name for author in either] == ["Ada"]


def test_one_to_one(library):
    assert Shelfmark.objects.get(book__title="Ash").code == "A1"
    assert titles(Book.objects.filter(shelfmark__code="A1")) == ["Ash"]
    assert titles(Book.objects.filter(shelfmark=None).order_by("title")) == [
        "Birch",
        "Maps",
        "Stray",
    ]
    ada = User.objects.create(username="ada")
    User.objects.create(username="bob")
    Profile.objects.create(user=ada, motto="On.")
    assert User.objects.get(profile__motto="On.") == ada
    assert Profile.objects.get(user__username="ada").motto == "On."
    post = Post.objects.create(title="First", author=ada)
    cover = Cover.objects.create(post=post)
    assert Cover.objects.get(post__title="First", post__author__username="ada") == cover
    assert Post.objects.get(cover__isnull=False) == post


def test_a_table_in_between_whose_other_side_lives_elsewhere(library):
    """As a many-to-many relation has it."""
    by_title = Book.objects.order_by("title")
    assert titles(by_title.filter(classifications__subject__name="math")) == ["Maps", "Notes"]
    assert titles(by_title.filter(classifications__subject=None)) == ["Birch", "Stray"]
    assert titles(by_title.filter(classifications__subject__in=[library.math])) == [
        "Maps",
        "Notes",
    ]
    subjects = Subject.objects.order_by("name")
    of_ada = subjects.filter(classifications__book__author__name="Ada").values_list("name")
    assert list(of_ada) == [("math",), ("math",), ("travel",)]
    assert list(of_ada.distinct()) == [("math",), ("travel",)]
    counted = subjects.annotate(n=Count("classifications__book")).values_list("name", "n")
    assert list(counted) == [("math", 2), ("travel", 1), ("trees", 1)]
    pairs = Classification.objects.filter(book__author__name="Ada", subject__name="math")
    assert pairs.count() == 2
    read = by_title.prefetch_related("classifications__subject")
    assert [[one.subject.name for one in book.classifications.all()] for book in read] == [
        ["trees"],
        [],
        ["math", "travel"],
        ["math"],
        [],
    ]


def test_many_to_many_tables_on_the_way(library):
    """Tables in between that live elsewhere, with both of their ends or with one."""
    ada = User.objects.create(username="ada")
    ada.groups.add(Group.objects.create(name="staff"))
    Order.objects.create(customer=ada, number="A1")
    Order.objects.create(customer=User.objects.create(username="bob"), number="B1")
    assert Order.objects.get(customer__groups__name="staff").number == "A1"
    assert Order.objects.exclude(customer__groups__name="staff").get().number == "B1"
    post = Post.objects.create(title="First", author=ada)
    post.tags.create(name="news")
    assert User.objects.get(posts__tags__name="news") == ada
    assert Group.objects.get(user__posts__tags__name="news").name == "staff"


def test_generic_relations(library):
    """On the way through another database, whose content types are meant."""
    plot = Plot.objects.create(name="south")
    Photo.objects.create(subject=plot)
    contract = Contract.objects.create(gardener=Gardener.objects.create(name="Gil"), plot=plot)
    paid = Payment.objects.create(contract=contract)
    other = Contract.objects.create(gardener=contract.gardener, plot=Plot.objects.create())
    Payment.objects.create(contract=other)
    assert Payment.objects.get(contract__plot__photos__isnull=False) == paid


def test_managers_of_relations(library):
    """``author.books`` and the like are querysets as any other."""
    assert titles(library.ada.books.filter(sales__copies=1)) == ["Maps"]
    assert library.ada.books.filter(author__mentor=None).count() == 2
    assert titles(library.ada.books.order_by("author__name", "title")) == ["Maps", "Notes"]
    with_sales = Author.objects.filter(name="Ada").prefetch_related(
        models.Prefetch("books", Book.objects.filter(sales__copies__gt=2))
    )
    assert [titles_of(author) for author in with_sales] == [["Notes"]]
    ours = prefetch_cross_db(Author.objects.filter(books__sales__copies=7), "books")
    assert [titles_of(author) for author in ours] == [["Ash"]]


def titles_of(author):
    return [book.title for book in author.books.all()]


def test_the_home_of_the_query_does_not_matter(library):
    """Relations that circle, and one model in two places of one query."""
    ada = User.objects.create(username="ada")
    bob = User.objects.create(username="bob")
    post = Post.objects.create(title="First", author=ada, editor=bob)
    Comment.objects.create(post=post, author=bob, content="Yes.")
    Bookmark.objects.create(post=post, note="later")
    Review.objects.create(post=post, author=bob)
    assert Post.objects.get(author__username="ada", editor__username="bob") == post
    assert Comment.objects.get(author__username="bob", post__author__username="ada").post == post
    assert Comment.objects.filter(author=F("post__editor")).count() == 1
    assert Bookmark.objects.get(post__comments__author__username="bob").note == "later"
    assert User.objects.get(reviews__post__bookmarks__note="later") == bob
    artist = Artist.objects.create(name="Trio")
    album = Album.objects.create(artist=artist)
    Song.objects.create(album=album, artist=artist)
    assert Artist.objects.get(songs__album__artist__name="Trio") == artist


def test_using_is_respected(library):
    """A query that names its database runs there; only what is elsewhere is brought."""
    with counted_queries() as queries:
        assert titles(Book.objects.using("blog").filter(author__name="Bob")) == ["Ash"]
    assert set(queries) == {"blog", "default"}
    found = Book.objects.using("blog").select_related("author").get(title="Ash")
    assert (found._state.db, found.author._state.db) == ("blog", "default")


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_a_replica_is_read_where_it_is_named(library, aliases, settings):
    """Its tables are not brought from the primary, and the other home's come as ever."""
    aliases.define_like("blog_replica", "blog")
    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"blog_replica": "blog"}}
    aliases.connect("blog_replica")
    replica = Book.objects.using("blog_replica")
    with counted_queries() as queries:
        found = replica.filter(author__name="Bob", classifications__subject__name="trees").get()
        assert replica.select_related("author").get(title="Ash").author.name == "Bob"
        assert replica.filter(shelfmark__code="A1").count() == 1
    assert set(queries) == {"blog_replica", "default", "shop"}
    assert (found.title, found._state.db) == ("Ash", "blog_replica")


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_what_comes_from_a_home_is_read_where_the_routers_say(library, aliases, settings):
    """The authors from their replica, for a query on the books' primary."""
    aliases.define_like("default_replica", "default")
    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"default_replica": "default"}}
    settings.DATABASE_ROUTERS = ["xdbrel.routers.PrimaryReplicaRouter", *settings.DATABASE_ROUTERS]
    aliases.connect("default_replica")
    routers.reset_writes()
    with counted_queries() as queries:
        assert titles(Book.objects.using("blog").filter(author__name="Bob")) == ["Ash"]
    assert set(queries) == {"blog", "default_replica"}


def test_the_state_of_an_open_transaction_is_seen(library):
    """What this code has written and not yet committed, on either side."""
    with pytest.raises(RuntimeError), transaction.atomic(using="default"):
        with transaction.atomic(using="blog"):
            Author.objects.filter(name="Bob").update(name="Rob")
            Book.objects.create(title="New", author=library.bob)
            assert titles(Book.objects.filter(author__name="Rob").order_by("title")) == [
                "Ash",
                "New",
            ]
        raise RuntimeError
    assert not Book.objects.filter(author__name="Rob").exists()
    assert Book.objects.filter(author__name="Bob").count() == 2


def test_str_of_a_query_is_djangos_and_runs_nothing(library):
    """Whoever looks at the SQL sees what Django would run in one database."""
    queryset = Book.objects.filter(author__name="Ada").order_by("author__born")
    with counted_queries() as queries:
        shown = str(queryset.query)
        sql, params = queryset.query.sql_with_params()
    assert queries == {}
    assert "library_author" in shown
    assert " INNER JOIN " in shown
    assert "xdbrel" not in shown
    assert params == ("Ada",)
    assert sql.count("library_author") >= 2
    list(queryset)
    assert str(queryset.query) == shown


def test_what_stays_within_one_database_is_djangos(library):
    """Neither a statement more nor a cache passed by."""
    with counted_queries() as queries:
        list(Post.objects.filter(comments__content="Yes.", author_id=1))
        list(Book.objects.filter(author=library.ada))
        list(Author.objects.filter(mentor__name="Ada"))
    assert queries == {"blog": 2, "default": 1}


def test_nothing_is_left_behind(library):
    """No temporary table outlives its statement, whatever became of it."""
    asked = [
        lambda: list(Sale.objects.filter(book__author__name="Ada")),
        lambda: Sale.objects.filter(book__author__name="Ada").exists(),
        lambda: next(Sale.objects.filter(book__title__gt="").iterator(chunk_size=1)),
        lambda: Sale.objects.filter(book__author__name="Ada").update(copies=1),
    ]
    for ask in asked:
        ask()
    # What could not go at once goes before the next of its connection.
    assert Sale.objects.filter(book__author__name="Ada").count() == 3
    assert temporary_tables("shop") == []


def temporary_tables(alias):
    connection = connections[alias]
    asks = {
        "sqlite": "SELECT name FROM sqlite_temp_master WHERE name LIKE 'xdbrel%%'",
        "postgresql": (
            "SELECT relname FROM pg_class WHERE relpersistence = 't' AND relkind = 'r'"
            " AND relname LIKE 'xdbrel%%' AND pg_table_is_visible(oid)"
        ),
        "mysql": None,
    }
    if asks[connection.vendor] is None:
        # MariaDB lists nobody's temporary tables.
        return []
    with connection.cursor() as cursor:
        cursor.execute(asks[connection.vendor].replace("%%", "%"))
        return [name for (name,) in cursor.fetchall()]
