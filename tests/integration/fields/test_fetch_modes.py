"""Fetch modes of Django 6.1 over relations that cross databases."""

import pytest
from django.contrib.auth.models import User
from django.db import connections

from tests.apps.blog.models import Post, Signature
from tests.apps.people.models import Person
from xdbrel.compat import HAS_FETCH_MODES

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.skipif(not HAS_FETCH_MODES, reason="fetch modes come with Django 6.1"),
]

if HAS_FETCH_MODES:
    from django.core.exceptions import FieldFetchBlocked
    from django.db.models import FETCH_ONE, FETCH_PEERS, FETCH_RAISE


@pytest.fixture
def people():
    people = [Person.objects.create(name=name) for name in "abc"]
    for person in people[:2]:
        Signature.objects.create(person=person)
    return people


@pytest.fixture
def users():
    users = [User.objects.create(username=name) for name in "abc"]
    for user in users:
        Post.objects.create(title=user.username, author=user)
    return users


def test_one_forward(users, django_assert_num_queries):
    posts = list(Post.objects.fetch_mode(FETCH_ONE))
    with django_assert_num_queries(3, connection=connections["default"]):
        assert [post.author for post in posts] == users


def test_peers_forward(users, django_assert_num_queries):
    posts = list(Post.objects.fetch_mode(FETCH_PEERS))
    with django_assert_num_queries(1, connection=connections["default"]):
        assert [post.author for post in posts] == users


def test_peers_one_to_one_forward(people, django_assert_num_queries):
    signatures = list(Signature.objects.fetch_mode(FETCH_PEERS))
    with django_assert_num_queries(1, connection=connections["default"]):
        assert [signature.person for signature in signatures] == people[:2]


def test_peers_one_to_one_reverse(people, django_assert_num_queries):
    found = list(Person.objects.order_by("pk").fetch_mode(FETCH_PEERS))
    with django_assert_num_queries(1, connection=connections["blog"]):
        assert [hasattr(person, "signature") for person in found] == [True, True, False]


def test_raise_forward(users):
    post = Post.objects.fetch_mode(FETCH_RAISE)[0]
    with pytest.raises(FieldFetchBlocked, match=r"^Fetching of Post\.author blocked\.$"):
        _ = post.author


def test_raise_one_to_one_reverse(people):
    person = Person.objects.fetch_mode(FETCH_RAISE)[0]
    with pytest.raises(FieldFetchBlocked, match=r"^Fetching of Person\.signature blocked\.$"):
        _ = person.signature


def test_the_mode_is_handed_on_in_every_direction(users, people):
    post = Post.objects.fetch_mode(FETCH_PEERS)[0]
    assert post.author._state.fetch_mode is FETCH_PEERS
    assert post.author.posts.all()[0]._state.fetch_mode is FETCH_PEERS
    person = Person.objects.order_by("pk").fetch_mode(FETCH_PEERS)[0]
    assert person.signature._state.fetch_mode is FETCH_PEERS
    signature = Signature.objects.fetch_mode(FETCH_PEERS)[0]
    assert signature.person._state.fetch_mode is FETCH_PEERS


def test_what_came_in_several_chunks_are_peers_all_the_same(
    users, settings, django_assert_num_queries
):
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 2}
    posts = Post.objects.fetch_mode(FETCH_PEERS).prefetch_related("author")
    authors = [post.author for post in posts]
    for author in authors:
        assert [peer() for peer in author._state.peers] == users
