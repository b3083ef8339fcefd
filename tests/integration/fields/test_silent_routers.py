"""Projects whose routers speak for one app only, or hardly at all.

Django follows the hinted instance to its own database where no router speaks, which for a
relation that crosses is the wrong one.
"""

import pytest
from django.contrib.auth.models import User

from tests.apps.blog.models import Desk, Post, Signature, Strict
from tests.apps.people.models import Bookmark, Cover, Person
from tests.apps.shop.models import Profile, Review
from xdbrel.exceptions import MissingTarget

pytestmark = pytest.mark.django_db(databases="__all__")

ROUTERS = "tests.integration.fields.routers_for_tests"


@pytest.fixture
def speaks_for_blog(settings):
    settings.DATABASE_ROUTERS = [f"{ROUTERS}.BlogOnly"]


@pytest.fixture
def silent(settings):
    settings.DATABASE_ROUTERS = [f"{ROUTERS}.MigrationsOnly"]


def test_a_target_that_no_router_speaks_for(speaks_for_blog):
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="x", author=user)
    assert Post.objects.get().author._state.db == "default"
    assert Post.objects.prefetch_related("author").get().author == user
    assert user.posts.get() == post
    assert User.objects.prefetch_related("posts").get().posts.all()[0] == post
    post.full_clean(exclude=["tags"])


def test_a_source_that_no_router_speaks_for(speaks_for_blog):
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="x", author=user)
    bookmark = post.bookmarks.create(note="n")
    assert bookmark._state.db == "default"
    assert post.bookmarks.get_or_create(note="n") == (bookmark, False)
    assert post.bookmarks.update_or_create(note="m")[0]._state.db == "default"
    post.bookmarks.add(Bookmark.objects.get(note="n"))
    post.bookmarks.set([bookmark])
    assert post.bookmarks.count() == 2
    assert Bookmark.objects.filter(pk=bookmark.pk).get().post._state.db == "blog"
    assert Post.objects.prefetch_related("bookmarks").get().bookmarks.all()[0] == bookmark
    cover = Cover.objects.create(post=post)
    assert Post.objects.get().cover == cover
    assert Post.objects.prefetch_related("cover").get().cover == cover


def test_unsaved_objects_are_placed_in_their_homes(speaks_for_blog):
    """Forward and reverse: neither is drawn into the other's database."""
    post, user = Post(title="x"), User(username="ada")
    post.author = user
    assert (post._state.db, user._state.db) == ("blog", "default")
    bookmark, saved = Bookmark(), Post(title="y", author=user)
    saved._state.db = "blog"
    bookmark.post = saved
    assert bookmark._state.db == "default"
    person, desk = Person(name="p"), Desk()
    person.desk = desk
    assert (person._state.db, desk._state.db) == ("default", "blog")
    person, desk = Person.objects.create(name="p"), Desk()
    person.desk = desk
    desk.save()
    assert Desk.objects.get().owner == person


def test_nothing_speaks_but_tables_have_one_place_each(silent):
    """Where the router says no more than which tables are where, that is enough."""
    user = User.objects.create(username="ada")
    post = user.posts.create(title="x")
    assert post._state.db == "blog"
    assert user.posts.get() == post
    assert Post.objects.using("blog").get().author == user
    assert Post.objects.using("blog").prefetch_related("author").get().author == user
    assert User.objects.prefetch_related("posts").get().posts.all()[0] == post
    profile = Profile(user=user, motto="m")
    assert profile._state.db == "shop"
    profile.save()
    assert User.objects.get().profile == profile
    review = post.reviews.create(author=user)
    assert review._state.db == "shop"
    assert Review.objects.using("shop").get().post == post


def test_writing_managers_of_nullable_relations(silent):
    user = User.objects.create(username="ada")
    posts = [user.posts.create(title=title) for title in "ab"]
    user.edited_posts.add(*posts)
    user.edited_posts.remove(posts[0])
    assert list(user.edited_posts.all()) == [posts[1]]
    user.edited_posts.set(posts, bulk=False)
    user.edited_posts.clear(bulk=False)
    assert user.edited_posts.count() == 0


def test_verification_looks_in_the_targets_home(silent):
    person = Person.objects.create(name="ada")
    strict = person.strict.create()
    strict.save()
    Strict.objects.using("blog").update(person=person)
    Strict.objects.using("blog").bulk_create([Strict(person=person)])
    with pytest.raises(MissingTarget, match="in database 'default'"):
        Strict.objects.using("blog").update(person=person.pk + 1)


def test_objects_stay_where_they_are_while_both_may_live_there(settings):
    """No router at all: everything related to an object is where the object is."""
    settings.DATABASE_ROUTERS = []
    post = Post(title="x")
    post._state.db = "shop"
    user = User(username="ada")
    post.author = user
    assert user._state.db == "shop"
    assert Post.author.get_queryset(instance=post).db == "shop"
    user.pk = 1
    assert user.posts.all().db == "shop"
    signature = Signature(person_id=1)
    signature._state.db = "shop"
    assert Signature.person.get_queryset(instance=signature).db == "shop"


def test_an_explicit_no_is_respected(settings):
    user = User.objects.create(username="ada")
    person = Person.objects.create(name="ada")
    settings.DATABASE_ROUTERS = [f"{ROUTERS}.Forbids"]
    message = (
        r'^Cannot assign "<User: ada>": the current database router prevents this relation\.$'
    )
    with pytest.raises(ValueError, match=message):
        Post(title="x", author=user)
    with pytest.raises(ValueError, match="prevents this relation"):
        person.desk = Desk()


def test_no_opinion_is_no_objection(settings):
    user = User.objects.create(username="ada")
    settings.DATABASE_ROUTERS = [f"{ROUTERS}.NoOpinion"]
    assert Post(title="x", author=user).author is user


def test_objects_of_two_tenants_do_not_mix(settings):
    """Without a word from a router, each would look for the other in its own database."""
    settings.DATABASE_ROUTERS = []
    user, post = User(pk=1, username="ada"), Post(title="x")
    user._state.db, post._state.db = "default", "shop"
    with pytest.raises(ValueError, match="prevents this relation"):
        post.author = user
    person, desk = Person(pk=1, name="p"), Desk()
    person._state.db, desk._state.db = "default", "shop"
    with pytest.raises(ValueError, match="prevents this relation"):
        person.desk = desk


def test_a_replicas_object_is_its_primarys(settings, speaks_for_blog):
    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"shop": "default"}}
    user = User(pk=1, username="ada")
    user._state.db = "shop"
    assert Post(title="x", author=user).author_id == 1
