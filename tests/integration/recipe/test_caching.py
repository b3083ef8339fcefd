"""django-cachalot beside xdbrel: what is answered from the cache, and never from before a write.

On layouts of servers the cache is Redis, as in the sample project's with services.
"""

import inspect
from sqlite3 import Error
from time import time

import pytest
from cachalot import utils
from cachalot.api import LOCAL_STORAGE, get_last_invalidation
from cachalot.cache import cachalot_caches
from cachalot.settings import cachalot_settings
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import OperationalError, connections, transaction
from django.db.models.functions import Now
from django.db.models.signals import post_delete

from sample_project.blog.models import Comment, Post
from sample_project.counting import counted_queries
from sample_project.shop.models import Category, Order, Product, Profile, Review
from tests.integration.recipe.conftest import elsewhere
from tests.settings import LAYOUT
from xdbrel import caching, relations
from xdbrel.cascade.relay import relay
from xdbrel.integrity.repair import repair
from xdbrel.integrity.scan import scan
from xdbrel.prefetch import prefetch_cross_db

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.usefixtures("cached"),
]


@pytest.fixture
def ada():
    return User.objects.create(username="ada", email="old@example.com")


@pytest.fixture
def post(ada):
    post = Post.objects.create(title="First", author=ada)
    Comment.objects.create(post=post, author=ada, content="Yes.")
    Order.objects.create(order_number="1", customer=ada, total=1)
    category = Category.objects.create(name="Books")
    product = Product.objects.create(name="Notes", category=category, price=1)
    Review.objects.create(product=product, author=ada)
    Profile.objects.create(user=ada, city="London")
    return post


def queries_of(ask):
    """Return what is asked, and how many statements that took by alias."""
    with counted_queries() as queries:
        answer = ask()
    return answer, dict(queries)


def behind_its_back(alias, sql, params=()):
    """Write as another program does: django-cachalot sees nothing of it."""
    with connections[alias].cursor() as cursor:
        cursor.cursor.execute(sql.replace("%s", "?") if LAYOUT == "sqlite" else sql, params)


READS = {
    "access": (
        lambda: [one.author.email for one in Post.objects.all()],
        {"blog_db": 1, "default": 1},
    ),
    "reverse": (
        lambda: [one.title for user in User.objects.all() for one in user.blog_posts.all()],
        {"default": 1, "blog_db": 1},
    ),
    "prefetch_cross_db": (
        lambda: [one.author.email for one in prefetch_cross_db(Post.objects.all(), "author")],
        {"blog_db": 1, "default": 1},
    ),
    "prefetch_cross_db, reverse": (
        lambda: [
            one.title
            for user in prefetch_cross_db(User.objects.all(), "blog_posts__comments")
            for one in user.blog_posts.all()
        ],
        {"default": 1, "blog_db": 2},
    ),
    "prefetch_related": (
        lambda: [one.author.email for one in Post.objects.prefetch_related("author")],
        {"blog_db": 1, "default": 1},
    ),
}


@pytest.mark.parametrize("name", READS)
def test_reads_are_cached_and_follow_both_sides(ada, post, name):
    read, statements = READS[name]
    first, queries = queries_of(read)
    assert queries == statements
    assert queries_of(read) == (first, {})
    User.objects.filter(pk=ada.pk).update(email="new@example.com")
    Post.objects.filter(pk=post.pk).update(title="Second")
    after, _ = queries_of(read)
    assert after == [{"old@example.com": "new@example.com", "First": "Second"}[first[0]]]
    assert queries_of(read) == (after, {})
    ada.delete()
    assert queries_of(read)[0] == []


@pytest.mark.services("redis")
@pytest.mark.skipif(LAYOUT == "sqlite", reason="layout: the cache is in memory beside files")
def test_the_cache_is_in_redis(ada):
    assert django_settings.CACHES["default"]["BACKEND"].endswith("RedisCache")
    email = lambda: User.objects.get(pk=ada.pk).email  # noqa: E731
    assert email() == elsewhere(email) == "old@example.com"
    assert queries_of(lambda: elsewhere(email)) == ("old@example.com", {})


def everything():
    return {
        model.__name__: list(model.objects.order_by("pk").values())
        for model in (User, Post, Comment, Order, Review, Profile)
    }


def fresh():
    with caching.uncached():
        return everything()


def listened(ada):
    heard = lambda **kwargs: None  # noqa: E731
    post_delete.connect(heard, sender=Post)
    try:
        ada.delete()
    finally:
        post_delete.disconnect(heard, sender=Post)


def in_a_block(ada):
    with transaction.atomic(using="default"), transaction.atomic(using="blog_db"):
        ada.delete()
        assert everything() == fresh()


WAYS = {
    "instance": lambda ada: ada.delete(),
    "queryset": lambda ada: User.objects.filter(pk=ada.pk).delete(),
    "_raw_delete": lambda ada: User.objects.filter(pk=ada.pk)._raw_delete("default"),
    "listened to": listened,
    "in a block": in_a_block,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_cascade_is_seen_in_every_database(ada, post, way):
    User.objects.create(username="bob")
    before = everything()
    WAYS[way](ada)
    after = everything()
    assert after == fresh() == elsewhere(everything)
    assert after != before
    assert (after["Post"], after["Comment"], after["Order"]) == ([], [], [])
    assert [row["author_id"] for row in after["Review"]] == [None]


def test_a_relay_is_seen_in_every_database(ada, post, settings):
    """It also says what a process that dies at its commit cannot say: the targets are gone."""
    settings.XDBREL = {**settings.XDBREL, "CLAIM_SECONDS": 0.001}
    before = everything()
    with transaction.atomic(using="default"):
        ada.delete()
        connections["default"].run_on_commit.clear()
    assert everything()["Post"] == before["Post"]
    said = get_last_invalidation(User, db_alias="default")
    while not relay().applied:
        pass
    assert get_last_invalidation(User, db_alias="default") > said
    assert everything() == fresh() == elsewhere(everything)
    assert Post.objects.count() == 0


@pytest.mark.parametrize(
    ("policy", "raw"), [("delete", False), ("delete", True), ("set_null", False)]
)
def test_a_repair_is_seen(ada, post, policy, raw, settings):
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 0, "MAX_ORPHAN_SHARE": 1}
    relation = relations.get("shop.Review.author" if policy == "set_null" else "blog.Post.author")
    Comment.objects.all().delete()
    everything()
    behind_its_back("default", "DELETE FROM auth_user WHERE id = %s", [ada.pk])
    assert scan(relation).orphans == 1
    repair(relation, policy=policy, raw=raw)
    found = everything()
    assert found[relation.source.__name__] == fresh()[relation.source.__name__]
    if policy == "delete":
        assert found["Post"] == []
    else:
        assert [row["author_id"] for row in found["Review"]] == [None]


def test_what_decides_is_read_past_the_cache(ada, post):
    """Scan, preview, validation and existence, where the cache knows nothing of the truth."""
    asked = lambda: (User.objects.get(pk=ada.pk), Comment.objects.count())  # noqa: E731
    assert asked() == (ada, 1)
    behind_its_back("default", "DELETE FROM auth_user WHERE id = %s", [ada.pk])
    behind_its_back("blog_db", "DELETE FROM blog_comment")
    assert asked() == (ada, 1), "it is stale, as it has to be for this test"
    assert scan(relations.get("blog.Post.author")).orphans == 1
    assert scan(relations.get("blog.Comment.author")).orphans == 0
    with pytest.raises(ValidationError, match="'author': "):
        post.full_clean()


# Where django-cachalot alone goes stale.


def test_callbacks_of_a_commit_are_called_when_others_see_it(ada):
    """Alone it invalidates after them: a task that they send is answered from before."""
    email = lambda: User.objects.get(pk=ada.pk).email  # noqa: E731
    assert elsewhere(email) == "old@example.com"
    seen = []
    with transaction.atomic(using="default"):
        transaction.on_commit(lambda: seen.append(elsewhere(email)), using="default")
        User.objects.filter(pk=ada.pk).update(email="new@example.com")
        with transaction.atomic(using="default"):
            transaction.on_commit(lambda: seen.append(email()), using="default")
    assert seen == ["new@example.com"] * 2
    assert elsewhere(email) == email() == "new@example.com"


def test_receivers_of_a_cascade_are_called_when_others_see_its_targets_gone(ada, post):
    there = lambda: User.objects.filter(pk=ada.pk).exists()  # noqa: E731
    assert elsewhere(there)
    seen = []

    def heard(**kwargs):
        seen.append(elsewhere(there))

    post_delete.connect(heard, sender=Post)
    try:
        ada.delete()
    finally:
        post_delete.disconnect(heard, sender=Post)
    assert seen == [False]


def test_what_is_rolled_back_is_not_announced(ada):
    email = lambda: User.objects.get(pk=ada.pk).email  # noqa: E731
    assert email() == "old@example.com"
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="default"):
        User.objects.filter(pk=ada.pk).update(email="new@example.com")
        assert email() == "new@example.com"
        raise ZeroDivisionError
    assert queries_of(email) == ("old@example.com", {})


def levels(alias):
    return len(cachalot_caches.atomic_caches[alias])


def test_a_block_that_cannot_connect_leaves_nothing_behind(aliases, tmp_path, monkeypatch):
    """Alone it leaves a level that answers everything that this thread asks, for ever."""
    aliases.define("away", NAME=str(tmp_path / "nowhere" / "file.sqlite3"))
    # Django's test cases let nobody connect to it on demand.
    monkeypatch.setattr(connections["away"], "ensure_connection", connections["away"].connect)
    for _ in range(2):
        with pytest.raises(Error), transaction.atomic(using="away"):
            pass
        assert levels("away") == 0


def test_a_block_that_cannot_begin_leaves_no_answers_behind(ada, monkeypatch):
    email = lambda: User.objects.get(pk=ada.pk).email  # noqa: E731
    assert elsewhere(email) == "old@example.com"
    with monkeypatch.context() as patch:
        patch.setattr(connections["default"], "get_autocommit", lost)
        with pytest.raises(OperationalError, match="lost"), transaction.atomic(using="default"):
            pass
    assert email() == "old@example.com"
    User.objects.filter(pk=ada.pk).update(email="new@example.com")
    assert elsewhere(email) == "new@example.com"
    elsewhere(lambda: User.objects.filter(pk=ada.pk).update(email="newer@example.com"))
    assert email() == elsewhere(email) == "newer@example.com"


def test_a_savepoint_that_cannot_be_made_leaves_nothing_behind(monkeypatch):
    with pytest.raises(OperationalError, match="lost"), transaction.atomic(using="default"):
        assert levels("default") == 1
        monkeypatch.setattr(connections["default"], "savepoint", lost)
        with transaction.atomic(using="default"):
            pass
    assert levels("default") == 0


def lost():
    raise OperationalError("lost")


def test_what_is_kept_of_several_databases_leans_on_what_cachalot_writes(ada):
    """The times of writes, by alias and table, in its cache and in those of open blocks."""
    key = cachalot_settings.CACHALOT_TABLE_KEYGEN("default", "auth_user")
    before = time()
    User.objects.filter(pk=ada.pk).update(email="new@example.com")
    assert before < cachalot_caches.get_cache(db_alias="default").get(key) < time()
    with transaction.atomic(using="default"):
        ada.save()
        (level,) = cachalot_caches.atomic_caches["default"]
        assert [one.to_be_invalidated for one in level.values()] == [{"auth_user"}]
    assert set(connections) == cachalot_settings.CACHALOT_DATABASES
    assert list(inspect.signature(utils.get_query_cache_key).parameters) == ["compiler"]
    assert list(inspect.signature(utils.get_table_cache_key).parameters) == ["db_alias", "table"]
    assert issubclass(utils.UncachableQuery, Exception)
    assert Now in utils.UNCACHABLE_FUNCS
    assert utils.are_all_cachable({"auth_user"})
    assert not utils.are_all_cachable({"auth_user", "xdbrel_cascadeintent"})
    names = {"ENABLED", "CACHE", "TIMEOUT", "CACHE_RANDOM", "CACHE_ITERATORS", "INVALIDATE_RAW"}
    assert {f"CACHALOT_{name}" for name in names} <= cachalot_settings.get_names()
    assert cachalot_settings.CACHALOT_ADDITIONAL_TABLES == []
    assert LOCAL_STORAGE.cachalot_enabled is True


def test_what_cachalot_puts_back_is_djangos_own():
    """It reloads its settings by taking its patches back."""
    enter = transaction.Atomic.__enter__.__wrapped__
    assert enter.__module__ == "django.db.transaction"
    assert not hasattr(enter, "__wrapped__")
