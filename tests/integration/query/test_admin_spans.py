"""The admin, with ModelAdmins as for one database: search, filters and order across three."""

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import path, reverse

from sample_project.counting import counted_queries
from tests.apps.library.models import Author, Book, Sale
from xdbrel.admin import CrossDBModelAdmin

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.urls("tests.integration.query.test_admin_spans"),
]

site = admin.AdminSite()


@admin.register(Author, site=site)
class AuthorAdmin(admin.ModelAdmin):
    list_display = ("name", "born")
    list_filter = ("books__pages", ("books", admin.EmptyFieldListFilter))
    search_fields = ("name", "books__title")


@admin.register(Book, site=site)
class BookAdmin(admin.ModelAdmin):
    list_display = ("title", "author__name", "author")
    # Django 5.2 follows no relation that may be null by itself.
    list_select_related = ("author",)
    list_filter = ("author__name", "author__mentor", ("author__born", admin.DateFieldListFilter))
    search_fields = ("title", "author__name")
    ordering = ("-author__name", "title")
    date_hierarchy = "author__born"


@admin.register(Sale, site=site)
class SaleAdmin(CrossDBModelAdmin):
    """Prefetches what it shows; searches and filters as the others do."""

    list_display = ("copies", "book__title", "by")
    list_filter = ("book__author",)
    search_fields = ("book__title", "book__author__name__istartswith")
    ordering = ("book__author__name", "copies")
    date_hierarchy = "book__published"

    @admin.display(description="by", ordering="book__author__name")
    def by(self, sale):
        return sale.book.author and sale.book.author.name


urlpatterns = [path("admin/", site.urls)]


@pytest.fixture
def boss(client):
    """A superuser who is logged in."""
    client.force_login(User.objects.create_superuser("boss"))


def column(client, model, name, query=""):
    """Return what a change list shows in one column, from top to bottom, and its page."""
    response = client.get(reverse(f"admin:library_{model}_changelist") + query)
    assert response.status_code == 200
    page = response.content.decode()
    cells = re.findall(rf'<t[dh] class="field-{name}[^"]*">(.*?)</t[dh]>', page)
    return [re.sub(r"<[^>]+>", "", cell) for cell in cells], page


def test_ordering(client, boss, library):
    """The ModelAdmin's own order, and its columns'."""
    Book.objects.filter(author=None).delete()
    assert column(client, "book", "title")[0] == ["Birch", "Ash", "Maps", "Notes"]
    assert column(client, "book", "title", "?o=2.1")[0] == ["Maps", "Notes", "Ash", "Birch"]
    assert column(client, "book", "title", "?o=-2.-1")[0] == ["Birch", "Ash", "Notes", "Maps"]
    # By the authors' Meta.ordering.
    Author.objects.filter(name="Ada").update(name="Zoe")
    assert column(client, "book", "title", "?o=3.1")[0] == ["Ash", "Birch", "Maps", "Notes"]


def test_list_display(client, boss, library):
    """Columns beyond a relation, without a query for each row."""
    with counted_queries() as queries:
        names, _ = column(client, "book", "author__name", "?o=1")
    assert names == ["Bob", "Cleo", "Ada", "Ada", "-"]
    before = sum(queries.values())
    for number in range(20):
        Book.objects.create(title=f"More {number:02}", author=library.dan)
    with counted_queries() as queries:
        names, _ = column(client, "book", "author__name", "?o=1")
    assert names.count("Dan") == 20
    # The plan may be another, and may rest on reads that another test has made.
    assert sum(queries.values()) < before + 10


@pytest.mark.parametrize(
    ("searched", "found"),
    [
        ("Ada", ["Maps", "Notes"]),
        ("Ash", ["Ash"]),
        ("B", ["Ash", "Birch"]),
        ("o As", ["Ash"]),
        ("nobody", []),
    ],
)
def test_search(client, boss, library, searched, found):
    """Each word is somewhere in the title or in the author's name."""
    Book.objects.filter(author=None).delete()
    titles, page = column(client, "book", "title", f"?o=1&q={searched}")
    assert titles == found
    assert f"{len(found)} result" in page


def test_search_over_relations_to_many(client, boss, library):
    """A row is found once, however many of the others match."""
    assert column(client, "author", "name", "?q=s")[0] == ["Ada", "Bob"]
    assert column(client, "author", "name", "?q=Notes")[0] == ["Ada"]


def test_list_filter(client, boss, library):
    titles, page = column(client, "book", "title", "?o=1&author__name=Ada")
    assert titles == ["Maps", "Notes"]
    assert '<a href="?author__name=Bob&amp;o=1">Bob</a>' in page
    by_mentor = f"?o=1&author__mentor__id__exact={library.ada.pk}"
    assert column(client, "book", "title", by_mentor)[0] == ["Ash", "Birch"]
    by_birth = "?o=1&author__born__gte=1850-01-01&author__born__lt=1950-01-01"
    assert column(client, "book", "title", by_birth)[0] == ["Birch"]


def test_list_filter_over_relations_to_many(client, boss, library):
    names, page = column(client, "author", "name", "?books__pages=100")
    assert names == ["Ada", "Cleo"]
    assert '<a href="?books__pages=300">300</a>' in page
    assert column(client, "author", "name", "?books__isempty=1")[0] == ["Dan"]


def test_date_hierarchy(client, boss, library):
    """The years of another database, and what is of one."""
    titles, page = column(client, "book", "title", "?o=1&author__born__year=1815")
    assert titles == ["Maps", "Notes"]
    _, page = column(client, "book", "title")
    assert re.findall(r'href="\?author__born__year=(\d+)"', page) == ["1815", "1900"]
    copies, page = column(client, "sale", "copies", "?book__published__year=2001")
    assert copies == ["2", "3", "7"]
    assert "January" in page


def test_a_list_that_prefetches(client, boss, library):
    """CrossDBModelAdmin: two databases further in search, filter and order."""
    Sale.objects.filter(book__author=None).delete()
    assert column(client, "sale", "copies")[0] == ["1", "2", "3", "7"]
    assert column(client, "sale", "copies", "?q=Ada")[0] == ["1", "2", "3"]
    assert column(client, "sale", "copies", "?q=Notes")[0] == ["2", "3"]
    by_author = f"?book__author__id__exact={library.bob.pk}"
    assert column(client, "sale", "copies", by_author)[0] == ["7"]
    assert column(client, "sale", "by", by_author)[0] == ["Bob"]
    assert column(client, "sale", "book__title", by_author)[0] == ["Ash"]


def test_autocomplete(client, boss, library):
    """The choices of a relation's widget are searched through relations."""
    url = reverse("admin:autocomplete")
    asked = {"app_label": "library", "model_name": "book", "field_name": "author", "term": "Notes"}
    found = client.get(url, asked).json()["results"]
    assert [choice["id"] for choice in found] == [str(library.ada.pk)]


def test_actions(client, boss, library):
    """What is chosen in a filtered list is what is acted upon."""
    query = f"?book__author__id__exact={library.bob.pk}&q=Ash"
    response = client.post(
        reverse("admin:library_sale_changelist") + query,
        {
            "action": "delete_selected",
            "select_across": "1",
            "_selected_action": [library.sales[3].pk],
            "post": "yes",
        },
    )
    assert response.status_code == 302
    assert sorted(Sale.objects.values_list("copies", flat=True)) == [1, 2, 3, 4]
