"""Instances built directly are what Django builds."""

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.db.models.signals import post_init

from tests.apps.blog.models import Comment, Post
from tests.apps.people.models import Member, Person
from xdbrel import prefetch_cross_db
from xdbrel.compat import HAS_FETCH_MODES
from xdbrel.prefetch.instances import PlainIterable

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def rows():
    ada = User.objects.create(username="ada")
    post = Post.objects.create(author=ada, title="p")
    Comment.objects.create(post=post, author=ada)
    Member.objects.create(name="m", since=2001)


def built(queryset):
    queryset = queryset.all()
    queryset._iterable_class = PlainIterable
    return list(queryset)


def contents(instance):
    state = dict(vars(instance._state))
    state["peers"] = len(state.get("peers", ()))
    # Made at the first access, which Django's way of setting a foreign key is.
    state.setdefault("fields_cache", {})
    return {**vars(instance), "_state": state}


QUERYSETS = {
    "plain": lambda: User.objects.all(),
    "child": lambda: Member.objects.all(),
    "deferred": lambda: Post.objects.only("title"),
    "related": lambda: Comment.objects.select_related("post"),
    "annotated": lambda: Post.objects.annotate(other=F("title")),
    "extra": lambda: Post.objects.extra(select={"other": "1"}),
    "known": lambda: Post.objects.get().comments.all(),
    "foreign key": lambda: Post.objects.all(),
}


@pytest.mark.parametrize("name", QUERYSETS)
def test_the_contents_are_the_same(name):
    """Attributes, their order, and the instance's state."""
    queryset = QUERYSETS[name]()
    (expected,), (found,) = list(queryset), built(queryset)
    assert type(found) is type(expected)
    assert contents(found) == contents(expected)
    assert list(vars(found)) == list(vars(expected))
    assert not found._state.adding


def test_the_instances_work():
    """They are saved, refreshed and compared like any other."""
    (post,) = built(Post.objects.all())
    post.title = "changed"
    post.save()
    post.refresh_from_db()
    assert post.title == "changed"
    assert post == Post.objects.get()
    assert post.author.username == "ada"


@pytest.mark.skipif(not HAS_FETCH_MODES, reason="fetch modes came with Django 6.1")
def test_fetch_modes():
    """Instances carry the mode of their queryset, and know their peers."""
    from django.db.models import FETCH_PEERS

    ada = User.objects.get()
    Post.objects.create(author=ada, title="q")
    first, second = built(Post.objects.fetch_mode(FETCH_PEERS))
    assert first._state.fetch_mode is FETCH_PEERS
    assert [peer() for peer in first._state.peers] == [first, second]
    assert first.author == ada
    assert second._state.fields_cache["author"] == ada


@pytest.mark.skipif(not HAS_FETCH_MODES, reason="fetch modes came with Django 6.1")
def test_related_rows_take_the_mode_of_their_instances(statements):
    """Peers reach over chunks: one statement loads what all of them lack."""
    from django.db.models import FETCH_PEERS

    users = User.objects.bulk_create(User(username=f"u{n}") for n in range(3))
    Post.objects.bulk_create(Post(author=user) for user in users)
    users = prefetch_cross_db(
        list(User.objects.filter(username__startswith="u").fetch_mode(FETCH_PEERS)),
        "posts",
        chunk_size=2,
    )
    posts = [post for user in users for post in user.posts.all()]
    assert len(posts) == 3
    assert users[0].posts.all()._fetch_mode is FETCH_PEERS
    posts = prefetch_cross_db(
        list(Post.objects.filter(author__in=[u.pk for u in users]).fetch_mode(FETCH_PEERS)),
        "author",
        chunk_size=1,
    )
    with statements() as counted:
        assert [post.author.is_active for post in posts] == [True] * 3
    assert not counted
    assert len(posts[0].author._state.peers) == 3


def test_receivers_are_called():
    """A receiver of post_init sees the rows that are prefetched."""
    seen = []

    def receiver(sender, instance, **kwargs):
        seen.append(instance)

    post_init.connect(receiver, sender=User)
    try:
        (post,) = prefetch_cross_db(Post.objects.all(), "author")
    finally:
        post_init.disconnect(receiver, sender=User)
    assert seen == [post.author]


def test_a_models_own_from_db_is_called(monkeypatch):
    """Loading through from_db() is how projects remember what was loaded."""

    def from_db(cls, db, field_names, values, **options):
        instance = super(Person, cls).from_db(db, field_names, values, **options)
        instance.loaded = dict(zip(field_names, values, strict=True))
        return instance

    monkeypatch.setattr(Person, "from_db", classmethod(from_db))
    (person,) = built(Person.objects.all())
    assert person.loaded["name"] == "m"
