"""Lists that never join across databases, and the admin of the rows that xdbrel owns."""

import os
import re
import subprocess
import sys

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connections
from django.urls import path, reverse

from sample_project.counting import counted_queries
from tests.apps.blog.models import Comment, Lenient, Post
from tests.apps.shop.models import Order, Profile, Review
from xdbrel import keys, relations
from xdbrel.admin import (
    CascadeIntentAdmin,
    CrossDBModelAdmin,
    HeartbeatAdmin,
    OrphanAdmin,
    PausedRelationAdmin,
    QuarantinedRowAdmin,
    RepairRunAdmin,
    ScanRunAdmin,
)
from xdbrel.admin.model_admin import local_ordering
from xdbrel.cascade.pauses import pause, paused
from xdbrel.integrity.repair import repair
from xdbrel.integrity.scan import scan
from xdbrel.models import (
    CascadeIntent,
    Heartbeat,
    Orphan,
    PausedRelation,
    QuarantinedRow,
    RepairRun,
    ScanRun,
)

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.urls("tests.integration.test_admin"),
]

site = admin.AdminSite()
site.register(User)
site.register(CascadeIntent, CascadeIntentAdmin)
site.register(PausedRelation, PausedRelationAdmin)
site.register(ScanRun, ScanRunAdmin)
site.register(Orphan, OrphanAdmin)
site.register(RepairRun, RepairRunAdmin)
site.register(QuarantinedRow, QuarantinedRowAdmin)
site.register(Heartbeat, HeartbeatAdmin)


@admin.register(Post, site=site)
class PostAdmin(CrossDBModelAdmin):
    list_display = ("title", "author", "editor")
    list_filter = ("author",)


@admin.register(Comment, site=site)
class CommentAdmin(CrossDBModelAdmin):
    list_display = ("content", "post", "author__username", "post__author__email")


@admin.register(Order, site=site)
class OrderAdmin(CrossDBModelAdmin):
    list_display = ("number",)

    def get_list_select_related(self, request):
        # As an attribute, True is deprecated in Django 6.1.
        return True


@admin.register(Review, site=site)
class ReviewAdmin(CrossDBModelAdmin):
    list_display = ("id", "title")
    list_select_related = ("post__author",)

    def title(self, review):
        return f"{review.post.title} by {review.post.author}"


@admin.register(Profile, site=site)
class ProfileAdmin(CrossDBModelAdmin):
    list_display = ("user", "motto")


@admin.register(Lenient, site=site)
class LenientAdmin(CrossDBModelAdmin):
    list_display = ("id", "author")


urlpatterns = [path("admin/", site.urls)]


@pytest.fixture
def boss(client):
    """A superuser who is logged in."""
    user = User.objects.create_superuser("boss")
    client.force_login(user)
    return user


@pytest.fixture
def people():
    return [User.objects.create(username=f"person{n}", email=f"{n}@example.com") for n in (1, 2)]


def get_list(client, name, query=""):
    """Return (page, queries by alias) of a change list."""
    url = reverse(f"admin:{name}_changelist") + query
    with counted_queries() as queries:
        response = client.get(url)
    assert response.status_code == 200
    return response.content.decode(), queries


@pytest.mark.parametrize("rows", [1, 30])
def test_list_display_is_prefetched(client, boss, people, rows):
    """Foreign keys of a list are one query in the targets' home, however many rows."""
    for number in range(rows):
        Post.objects.create(title=f"Post {number}", author=people[0], editor=people[number % 2])
    page, queries = get_list(client, "blog_post")
    assert '<td class="field-author nowrap">person1</td>' in page
    # Session, user and the filter's choices are in default as well; two counts in blog.
    assert queries == {"default": 4, "blog": 3}


def test_a_list_mixes_joins_and_prefetches(client, boss, people):
    """Relations inside the database are joined; paths that cross are prefetched."""
    post = Post.objects.create(title="First", author=people[0])
    for _ in range(5):
        Comment.objects.create(post=post, author=people[1], content="Yes.")
    page, queries = get_list(client, "blog_comment")
    assert page.count('<td class="field-author__username">person2</td>') == 5
    assert page.count('<td class="field-post__author__email">1@example.com</td>') == 5
    assert queries["blog"] == 3
    # Session and user; the comments' and the posts' authors.
    assert queries["default"] == 4


@pytest.mark.filterwarnings("ignore:Returning True from ModelAdmin.get_list_select_related")
def test_list_select_related_true(client, boss, people):
    """To select everything prefetches what cannot be joined."""
    Order.objects.create(customer=people[0], number="A1")
    order = site.get_model_admin(Order).get_changelist(None)
    _, queries = get_list(client, "shop_order")
    assert order.__name__ == "CrossDBChangeList"
    assert queries == {"default": 3, "shop": 3}


def test_list_select_related_paths(client, boss, people):
    """A declared path is followed through any number of databases."""
    post = Post.objects.create(title="First", author=people[0])
    for _ in range(3):
        Review.objects.create(post=post)
    page, queries = get_list(client, "shop_review")
    assert page.count("First by person1") == 3
    assert queries == {"default": 3, "blog": 1, "shop": 3}


def test_sorting_by_a_crossing_relation_sorts_by_its_key(client, boss, people):
    """A column of another database is sorted by the key that is here."""
    for author in reversed(people):
        Post.objects.create(title=f"by {author}", author=author)
    page, _ = get_list(client, "blog_post", "?o=2")
    assert page.index("by person1") < page.index("by person2")
    page, _ = get_list(client, "blog_post", "?o=-2")
    assert page.index("by person2") < page.index("by person1")


def test_columns_beyond_a_relation_cannot_be_sorted(client, boss, people):
    """What stands in another database offers no order; asking for it all the same is harmless."""
    post = Post.objects.create(title="First", author=people[0])
    Comment.objects.create(post=post, author=people[1], content="Yes.")
    page, _ = get_list(client, "blog_comment", "?o=3.4")
    assert 'class="column-author__username"' in page
    assert 'class="column-post__author__email"' in page
    assert 'class="sortable column-post"' in page


def test_local_ordering():
    """A key is a column of the source, whatever its target's ordering says."""
    assert {
        path: local_ordering(Comment, path) for path in ("content", "-post", "post__title")
    } == {
        "content": "content",
        "-post": "-post",
        "post__title": "post__title",
    }
    assert local_ordering(Comment, "-author") == "-author_id"
    assert local_ordering(Comment, "post__author") == "post__author_id"
    assert local_ordering(Comment, "author__username") is None
    assert local_ordering(Review, "post__author") is None


def test_list_filter(client, boss, people):
    """Filtering by a target compares the key, without a join."""
    for author in people:
        Post.objects.create(title=f"by {author}", author=author)
    page, _ = get_list(client, "blog_post", f"?author__id__exact={people[0].pk}")
    assert "by person1" in page
    assert "by person2" not in page


def test_dangling_keys_in_a_list(client, boss, people):
    """A key without a target shows as empty, whatever the field says of it."""
    Post.objects.create(title="Lost", author_id=10**6)
    Lenient.objects.create(author_id=10**6)
    for name in ("blog_post", "blog_lenient"):
        page, _ = get_list(client, name)
        assert re.search(r'<td class="field-author( nowrap)?">-</td>', page)


def test_one_to_one(client, boss, people):
    """A one-to-one relation is prefetched like any other."""
    for user in people:
        Profile.objects.create(user=user, motto="On.")
    page, queries = get_list(client, "shop_profile")
    assert "person1" in page
    assert queries == {"default": 3, "shop": 3}


def test_another_change_list_is_kept():
    """A project's own ChangeList keeps its behaviour."""

    class Own(admin.views.main.ChangeList):
        pass

    class Base(admin.ModelAdmin):
        def get_changelist(self, request, **kwargs):
            return Own

    class Mixed(CrossDBModelAdmin, Base):
        pass

    assert issubclass(Mixed(Post, site).get_changelist(None), Own)
    assert Mixed(Post, site).get_changelist(None).apply_select_related is not Own


def intent(using, **given):
    given = {"relation": "blog.Post.author", "source_alias": "blog", **given}
    field = relations.get(given["relation"]).target_field
    given["keys"] = keys.encode(given.get("keys", [10**6]), field)
    return CascadeIntent.objects.using(using).create(**given)


@pytest.mark.parametrize(
    "name",
    [
        "xdbrel_cascadeintent",
        "xdbrel_pausedrelation",
        "xdbrel_scanrun",
        "xdbrel_orphan",
        "xdbrel_repairrun",
        "xdbrel_quarantinedrow",
        "xdbrel_heartbeat",
    ],
)
def test_own_rows_are_read_only(client, boss, name):
    """Nobody adds, changes or deletes what only xdbrel writes, a superuser included."""
    intent("default")
    pause(relations.get("blog.Post.author"))
    Post.objects.create(title="Lost", author_id=10**6)
    scan(relations.get("blog.Post.author"))
    QuarantinedRow.objects.create(relation="blog.Post.author", key=7, data={"id": 7})
    repair(relations.get("blog.Post.author"), "report")
    Heartbeat.objects.create(work="relay")
    model = {
        site_model._meta.label_lower.replace(".", "_"): site_model for site_model in site._registry
    }[name]
    pk = model.objects.get().pk
    assert client.get(reverse(f"admin:{name}_changelist")).status_code == 200
    page = client.get(reverse(f"admin:{name}_change", args=[pk]))
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    assert client.post(reverse(f"admin:{name}_change", args=[pk]), {}).status_code == 403
    assert client.get(reverse(f"admin:{name}_add")).status_code == 403
    assert client.post(reverse(f"admin:{name}_delete", args=[pk])).status_code == 403
    assert model.objects.filter(pk=pk).exists()


def test_intents_of_one_database_at_a_time(client, boss):
    """The filter chooses the database, for the list and for the page of one intent."""
    intent("default", last_error="in default")
    there = intent("blog", relation="shop.Review.post", source_alias="shop")
    page, _ = get_list(client, "xdbrel_cascadeintent")
    assert "blog.Post.author" in page
    assert "shop.Review.post" not in page
    page, queries = get_list(client, "xdbrel_cascadeintent", "?database=blog")
    assert "shop.Review.post" in page
    assert "blog.Post.author" not in page
    assert queries["blog"] == 3

    url = reverse("admin:xdbrel_cascadeintent_change", args=[there.pk])
    page = client.get(url, {"_changelist_filters": "database=blog"}).content.decode()
    assert "shop.Review.post" in page


def test_an_unknown_database_is_not_asked(client, boss):
    """A made-up alias shows the list of the default one."""
    intent("default")
    page, queries = get_list(client, "xdbrel_cascadeintent", "?database=nowhere")
    assert "blog.Post.author" in page
    assert set(queries) == {"default"}


def test_what_happened_to_the_targets(client, boss):
    """Deleted or given new keys, seen by the ORM or by a trigger: words and arrows, no JSON."""
    gone = intent("default", keys=[7, 8])
    moved = intent("default", keys=[7, 8], new_keys=[70, 80], cause="trigger", deletion="abc")
    page, _ = get_list(client, "xdbrel_cascadeintent")
    assert page.count('<td class="field-event">deleted</td>') == 1
    assert page.count('<td class="field-event">keys changed</td>') == 1
    assert page.count('<td class="field-cause">trigger</td>') == 1

    def shown(row, field):
        page = client.get(reverse("admin:xdbrel_cascadeintent_change", args=[row.pk]))
        found = re.search(
            rf'field-{field}">.*?class="readonly">(.*?)</', page.content.decode(), re.S
        )
        return found[1]

    assert (shown(gone, "event"), shown(gone, "targets")) == ("deleted", "7, 8")
    assert (shown(moved, "event"), shown(moved, "targets")) == ("keys changed", "7 → 70, 8 → 80")
    assert shown(moved, "deletion") == "abc"
    many = intent("default", keys=list(range(1_000)))
    assert shown(many, "targets") == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 … (1000 in all)"


def test_every_status_can_be_chosen(client, boss):
    """A finished intent is confirmed; the list tells it from an applied one."""
    intent("default", status="confirmed")
    intent("default", status="applied", relation="shop.Order.customer")
    page, _ = get_list(client, "xdbrel_cascadeintent", "?status__exact=confirmed")
    assert '<td class="field-status">confirmed</td>' in page
    assert '<td class="field-status">applied</td>' not in page
    for status in ("pending", "applied", "confirmed", "set_aside"):
        assert f"?status__exact={status}" in page


def test_paused_relations_of_one_database_at_a_time(client, boss):
    pause(relations.get("blog.Post.author"))
    pause(relations.get("shop.Review.post"))
    page, _ = get_list(client, "xdbrel_pausedrelation")
    assert "blog.Post.author" in page
    assert "shop.Review.post" not in page
    page, _ = get_list(client, "xdbrel_pausedrelation", "?database=blog")
    assert "shop.Review.post" in page
    assert "blog.Post.author" not in page


def test_resume(client, boss):
    """Those that were chosen, in the database that the list shows; renamed ones as well."""
    pause(relations.get("shop.Review.post"))
    PausedRelation.objects.using("blog").create(relation="shop.Review.gone")
    chosen = PausedRelation.objects.using("blog").get(relation="shop.Review.gone")
    status, said = act(client, "xdbrel_pausedrelation", "resume", [chosen], "?database=blog")
    assert (status, said) == (302, ["1 relation was resumed."])
    assert paused("blog") == {"shop.Review.post"}


def act(client, name, action, rows, query=""):
    """Run an admin action; return its messages."""
    response = client.post(
        reverse(f"admin:{name}_changelist") + query,
        {"action": action, "_selected_action": [row.pk for row in rows]},
    )
    return response.status_code, [str(message) for message in get_messages(response.wsgi_request)]


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_retry(client, boss):
    """An intent that was set aside is applied at once, and only those that were chosen."""
    Post.objects.create(title="Lost", author_id=10**6)
    chosen = intent("default", status="set_aside", attempts=10, last_error="gone away")
    status, said = act(client, "xdbrel_cascadeintent", "retry_now", [chosen])
    assert (status, said) == (302, ["1 intent was applied."])
    chosen.refresh_from_db()
    assert (chosen.status, chosen.last_error) == ("applied", "")
    assert not Post.objects.exists()


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_retry_in_another_database(client, boss):
    """The action acts in the database that the list shows."""
    Review.objects.create(post_id=10**6)
    chosen = intent("blog", relation="shop.Review.post", source_alias="shop", status="set_aside")
    status, said = act(client, "xdbrel_cascadeintent", "retry_now", [chosen], "?database=blog")
    assert (status, said) == (302, ["1 intent was applied."])
    assert not Review.objects.exists()


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_retry_that_fails_again(client, boss):
    """What fails once more is said, and stays."""
    chosen = intent("default", status="set_aside")
    CascadeIntent.objects.filter(pk=chosen.pk).update(relation="blog.Post.nobody")
    _, said = act(client, "xdbrel_cascadeintent", "retry_now", [chosen])
    assert said == [
        "0 intents were applied.",
        "1 intent failed again; its last error says why.",
    ]
    chosen.refresh_from_db()
    assert chosen.status == "pending"
    assert "blog.Post.nobody" in chosen.last_error


def test_retry_leaves_what_is_held_or_done(client, boss):
    """An intent that a process holds now, and one that is applied, are not touched."""
    held = intent("default", claimed_by="somebody")
    done = intent("default", status="applied")
    _, said = act(client, "xdbrel_cascadeintent", "retry_now", [held, done])
    assert said == ["0 intents were applied."]
    held.refresh_from_db()
    assert held.claimed_by == "somebody"


def test_scan_again(client, boss):
    """The relations of the chosen runs are scanned, each once, and the new runs are rows."""
    relation = relations.get("blog.Post.author")
    scan(relation)
    scan(relation)
    Post.objects.create(title="Lost", author_id=10**6)
    status, said = act(client, "xdbrel_scanrun", "scan_again", ScanRun.objects.all())
    assert (status, said) == (302, ["1 relation was scanned: 1 orphans."])
    assert list(ScanRun.objects.order_by("pk").values_list("orphans", flat=True)) == [0, 0, 1]


def test_scan_again_what_is_no_more(client, boss):
    """A relation that was removed since is reported, and the others are scanned."""
    scan(relations.get("blog.Post.author"))
    ScanRun.objects.create(
        relation="blog.Post.critic", source_alias="blog", target_alias="default", strategy="gaps"
    )
    _, said = act(client, "xdbrel_scanrun", "scan_again", ScanRun.objects.all())
    assert said[0].startswith(
        "blog.Post.critic: There is no cross-database relation 'blog.Post.critic'."
    )
    assert said[1] == "1 relation was scanned: 0 orphans."


@pytest.mark.parametrize(
    ("name", "action", "needed"),
    [
        ("xdbrel_cascadeintent", "retry_now", "change_cascadeintent"),
        ("xdbrel_pausedrelation", "resume", "delete_pausedrelation"),
        ("xdbrel_scanrun", "scan_again", "add_scanrun"),
    ],
)
def test_actions_need_permission(client, name, action, needed):
    """Who may look may not act; the action is offered with its permission alone."""
    reader = User.objects.create(username="reader", is_staff=True)
    view = Permission.objects.filter(content_type__app_label="xdbrel", codename__startswith="view")
    reader.user_permissions.set(view)
    client.force_login(reader)
    intent("default")
    pause(relations.get("blog.Post.author"))
    scan(relations.get("blog.Post.author"))
    page, _ = get_list(client, name)
    assert f'value="{action}"' not in page

    reader.user_permissions.add(Permission.objects.get(codename=needed))
    page, _ = get_list(client, name)
    assert f'value="{action}"' in page


def test_findings_of_a_run(client, boss):
    """A run leads to its keys; one without findings leads nowhere."""
    scan(relations.get("shop.Order.customer"))
    page, _ = get_list(client, "xdbrel_scanrun")
    assert "Show keys" not in page

    Post.objects.create(title="Lost", author_id=10**6)
    found = scan(relations.get("blog.Post.author"))
    page, _ = get_list(client, "xdbrel_scanrun")
    link = f"{reverse('admin:xdbrel_orphan_changelist')}?run__id__exact={found.run_id}"
    assert f'<a href="{link}">Show keys</a>' in page
    keys_page = client.get(link).content.decode()
    assert '<td class="field-key">1000000</td>' in keys_page


def test_quarantined_rows_of_one_database_at_a_time(client, boss):
    """They stand where their tables are."""
    Post.objects.create(title="Lost", author_id=10**6)
    scan(relations.get("blog.Post.author"))
    repair(relations.get("blog.Post.author"), "quarantine", actor="grace")
    (row,) = QuarantinedRow.objects.using("blog")
    page, _ = get_list(client, "xdbrel_quarantinedrow")
    assert row.repair not in page
    url = reverse("admin:xdbrel_quarantinedrow_changelist")
    assert row.repair in client.get(f"{url}?database=blog").content.decode()
    page, _ = get_list(client, "xdbrel_repairrun")
    assert '<td class="field-actor">grace</td>' in page


WITHOUT_ADMIN = """
import sys, django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "xdbrel"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
print([name for name in sys.modules if name.startswith(("xdbrel.admin", "django.contrib.admin"))])
"""


@pytest.mark.django_db(databases=[])
def test_a_project_without_the_admin_does_not_import_it():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_ADMIN],
        env={**os.environ, "PYTHONPATH": os.getcwd(), "DJANGO_SETTINGS_MODULE": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_every_alias_of_the_layout_is_known():
    """The tests above count by these aliases."""
    assert {"default", "blog", "shop"} <= set(connections)
