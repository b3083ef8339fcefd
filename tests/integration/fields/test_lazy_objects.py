"""``request.user`` is a lazy object: it stands for its user wherever an object may stand."""

import pytest
from django.contrib.auth import login
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import User
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import router
from django.db.models import Prefetch
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from tests.apps.blog.models import Comment, Post
from tests.apps.climate.models import Trip, Weather
from tests.apps.clubs.models import Club, Reader
from tests.apps.notes.models import Note, Thing
from tests.integration.composite.conftest import hour
from xdbrel import plan_delete, prefetch_cross_db

pytestmark = pytest.mark.django_db(databases="__all__")


def lazy(obj):
    return SimpleLazyObject(lambda: obj)


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


def test_user_of_a_request(ada):
    """As the middleware hands it out: not looked up yet."""
    request = RequestFactory().get("/")
    SessionMiddleware(HttpResponse).process_request(request)
    login(request, ada, "django.contrib.auth.backends.ModelBackend")
    AuthenticationMiddleware(HttpResponse).process_request(request)
    assert type(request.user) is SimpleLazyObject
    post = Post.objects.create(title="Hello", author=request.user)
    assert Post.objects.get(author=request.user) == post


def test_routers_are_asked_about_what_it_stands_for(ada):
    assert router.allow_relation(lazy(ada), Post())
    assert router.allow_relation(Post(), lazy(ada))
    thing = Thing(name="vase")
    assert router.allow_relation(lazy(thing), ada)
    assert router.allow_relation(lazy(Post()), Thing()) is False


def test_foreign_key(ada):
    user = lazy(ada)
    post = Post(title="Hello", author=user)
    post.full_clean(exclude=["tags"])
    post.save()
    Post.objects.bulk_create([Post(title="More", author=lazy(ada))])
    assert Post.objects.filter(author=user).count() == 2
    assert Post.objects.filter(author__in=[user]).count() == 2
    assert Post.objects.update(editor=user) == 2
    assert {found.editor for found in Post.objects.all()} == {ada}
    found, made = Post.objects.get_or_create(title="Hello", author=user)
    assert (found, made) == (post, False)
    user.posts.create(title="Third")
    user.posts.add(lazy(Post.objects.create(title="Fourth", author=User.objects.create_user("b"))))
    assert ada.posts.count() == 4


def test_plain_relation_inside_the_sources_home(ada):
    """Django asks the router about it, too."""
    post = lazy(Post.objects.create(title="Hello", author=ada))
    comment = Comment.objects.create(post=post, author=lazy(ada))
    assert list(post.comments.all()) == [comment]


def test_prefetching(ada):
    Post.objects.create(title="Hello", author=ada)
    user = lazy(ada)
    (same,) = prefetch_cross_db([user], "posts")
    assert same is user
    assert [post.title for post in same._prefetched_objects_cache["posts"]] == ["Hello"]
    mixed = [lazy(User.objects.get(pk=ada.pk)), User.objects.get(pk=ada.pk)]
    for each in prefetch_cross_db(mixed, Prefetch("posts", to_attr="written")):
        assert [post.title for post in each.written] == ["Hello"]


def test_deletion(ada):
    Post.objects.create(title="Hello", author=ada)
    user = lazy(ada)
    expected = {"auth.User": 1, "blog.Post": 1}
    assert plan_delete(user).by_model == expected
    assert plan_delete([user, ada]).by_model == expected
    assert user.delete() == (2, expected)
    assert not Post.objects.exists()


def test_many_to_many():
    reader = Reader.objects.create(slug="ada")
    club = Club.objects.create(name="chess")
    lazy(club).readers.add(lazy(reader))
    assert list(club.readers.all()) == [reader]
    assert list(Club.objects.filter(readers=lazy(reader))) == [club]
    club.guests.set([lazy(reader)])
    assert list(reader.guest_of.all()) == [club]
    club.readers.remove(lazy(reader))
    assert not club.readers.exists()


def test_generic_relation():
    thing = lazy(Thing.objects.create(name="vase"))
    note = Note.objects.create(about=thing)
    assert Note.objects.get(pk=note.pk).about == thing
    assert list(thing.notes.all()) == [note]
    thing.notes.add(lazy(Note.objects.create()))
    assert Note.objects.filter(thing=thing).count() == 2


def test_relation_over_several_columns():
    weather = lazy(Weather.objects.create(place="JFK", hour=hour(1), celsius=1))
    trip = Trip.objects.create(weather=weather)
    assert (trip.place, trip.hour) == ("JFK", hour(1))
    assert Trip.objects.get(weather=weather) == trip
