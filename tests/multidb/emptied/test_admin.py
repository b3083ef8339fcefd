"""The admin over several databases: plain classes, and the page's own for another database."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.flatpages.models import FlatPage
from django.contrib.redirects.models import Redirect
from django.contrib.sessions.models import Session
from django.contrib.sites.models import Site

from sample_project.counting import counted_queries
from tests.multidb.emptied.conftest import ALIASES
from tests.multidb.emptied.press.models import Author, Book, Publisher
from tests.multidb.emptied.shop.models import Account, Order

pytestmark = pytest.mark.django_db(databases=ALIASES)


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("boss"))
    return client


def posted(client, page, **values):
    """Fill in the form of a page, beside what stands in it, and send it."""
    answer = client.get(page)
    assert answer.status_code == 200, page
    forms = [answer.context["adminform"].form]
    for formset in answer.context["inline_admin_formsets"]:
        forms += [formset.formset.management_form, *formset.formset.forms]
    data = {}
    for form in forms:
        for bound in form:
            value = bound.value()
            if value is not None and value is not False:
                data[bound.html_name] = value
    data.pop("password", None)
    for name in ("last_login", "date_joined"):
        data.pop(name, None)
    data |= {"date_joined_0": "2026-01-01", "date_joined_1": "00:00", **values}
    answer = client.post(page, data)
    assert answer.status_code == 302, answer.context["errors"]
    return answer


class TestPlain:
    """Without a line of code for it."""

    def test_a_list_with_columns_filters_and_a_search_of_another_database(self, admin, order):
        page = "/admin/shop/order/"
        assert b"fred" in admin.get(page).content
        for query, number in (
            ("?q=fred", 1),
            ("?q=nobody", 0),
            ("?q=tea", 1),
            ("?customer__is_staff__exact=1", 0),
            ("?o=2", 1),
        ):
            assert admin.get(page + query).context["cl"].result_count == number, query

    def test_a_form_whose_choices_are_in_another_database(self, admin, fred, tea):
        posted(admin, "/admin/shop/order/add/", number=5, customer=fred.pk, extras=[tea.pk])
        made = Order.objects.get()
        assert (made.customer, made.extras.get(), made._state.db) == (fred, tea, "customers")
        entry = LogEntry.objects.get()
        assert (entry._state.db, entry.get_edited_object()) == ("users", made)
        found = admin.get(
            "/admin/autocomplete/?app_label=shop&model_name=order&field_name=customer&term=fr"
        )
        assert [one["text"] for one in found.json()["results"]] == ["fred"]

    def test_a_key_that_does_not_exist_is_refused(self, admin, fred):
        answer = admin.post("/admin/shop/order/add/", {"number": 5, "customer": fred.pk + 99})
        assert answer.status_code == 200
        assert list(answer.context["adminform"].form.errors) == ["customer"]

    def test_inlines_of_another_database(self, admin, fred, order):
        page = f"/admin/auth/user/{fred.pk}/change/"
        posted(
            admin,
            page,
            **{"orders-0-number": 8, "orders-1-number": 9, "account-0-user": fred.pk},
        )
        assert sorted(one.number for one in fred.orders.all()) == [8, 9]
        posted(admin, page, **{"orders-1-DELETE": "on"})
        assert fred.orders.count() == 1
        assert {one._state.db for one in Order.objects.all()} == {"customers"}

    def test_a_delete_asks_for_what_goes_in_every_database(self, admin, fred, order):
        page = f"/admin/auth/user/{fred.pk}/delete/"
        assert b"order 1" in admin.get(page).content
        Account.objects.create(user=fred)
        assert b"would require deleting the following protected" in admin.get(page).content
        Account.objects.all().delete()
        assert admin.post(page, {"post": "yes"}).status_code == 302
        assert not User.objects.filter(username="fred").exists()

    def test_history(self, admin, order):
        posted(admin, f"/admin/shop/order/{order.pk}/change/", number=3)
        history = admin.get(f"/admin/shop/order/{order.pk}/history/").content
        assert b"boss" in history
        assert b"Changed Number" in history
        assert b"order 3" in admin.get("/admin/").content


class TestOfOld:
    """With the page's classes, which name a database that the routers do not."""

    @pytest.fixture
    def old(self, db):
        books = Book.objects.using("legacy_users")
        publisher = Publisher.objects.using("legacy_users").create(name="Old House")
        author = Author.objects.using("legacy_users").create(name="Elder")
        Author.objects.create(name="Younger")
        book = books.create(title="Then", publisher=publisher)
        book.authors.add(author)
        return book

    def test_lists_and_forms_show_that_database(self, admin, old):
        assert b"Elder" in admin.get("/of-old/press/author/").content
        assert b"Younger" not in admin.get("/of-old/press/author/").content
        page = admin.get(f"/of-old/press/publisher/{old.publisher_id}/change/").content
        assert b"Then" in page
        assert b"Elder" in page
        assert b"Younger" not in page
        assert (
            b"Then"
            not in admin.get(f"/othersite/press/publisher/{old.publisher_id}/change/").content
        )

    def test_what_is_saved_and_deleted_is_there(self, admin, old):
        page = f"/of-old/press/publisher/{old.publisher_id}/change/"
        posted(admin, page, **{"name": "Older House", "book_set-1-title": "Now"})
        assert not Publisher.objects.exists()
        assert not Book.objects.exists()
        books = Book.objects.using("legacy_users")
        assert sorted(book.title for book in books) == ["Now", "Then"]
        assert Publisher.objects.using("legacy_users").get().name == "Older House"
        admin.post(f"/of-old/press/publisher/{old.publisher_id}/delete/", {"post": "yes"})
        assert not books.all().exists()

    def test_relations_lead_to_the_editors_home(self, admin, old, fred):
        old.editor = fred
        old.save()
        assert old._state.db == "legacy_users"
        assert Book.objects.using("legacy_users").get().editor == fred
        # What a query names comes before what routers say: users of old are joined.
        books = Book.objects.using("legacy_users").filter(editor__is_staff=False)
        assert not books.exists()
        fred.save(using="legacy_users")
        assert books.get().editor == fred


class TestContrib:
    """Sessions are for themselves; flat pages and redirects are with sites."""

    def test_sessions(self, client, fred):
        assert client.login(username="fred", password="fish")
        with counted_queries() as asked:
            assert client.get("/admin/").status_code == 302
        assert asked == {"customers": 1, "users": 1}
        session = Session.objects.get()
        assert session._state.db == "customers"
        assert session.get_decoded()["_auth_user_id"] == str(fred.pk)

    def test_sites_flat_pages_and_redirects(self, client):
        site = Site.objects.get_current()
        assert site.domain == "example.com"
        page = FlatPage.objects.create(url="/about/", title="About", content="Tea, since 1826")
        page.sites.add(site)
        assert b"Tea, since 1826" in client.get("/about/").content
        Redirect.objects.create(site=site, old_path="/us/", new_path="/about/")
        assert client.get("/us/")["Location"] == "/about/"
