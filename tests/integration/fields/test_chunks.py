"""More keys than one statement takes."""

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Prefetch, prefetch_related_objects
from django.test.utils import CaptureQueriesContext

from tests.apps.blog.models import Lenient, Post, Quote, Signature, Visit
from tests.apps.people.models import Country, Person, Rate
from xdbrel import keys

pytestmark = pytest.mark.django_db(databases="__all__")

#: More than PostgreSQL takes parameters.
MANY = 70_000
#: More than SQLite does.
MOST = 300_000 if connections["default"].vendor == "sqlite" else MANY


def test_forward_for_more_instances_than_parameters():
    """Django alone fails here on SQLite: too many SQL variables."""
    users = [User.objects.create(username=str(number)) for number in range(3)]
    first = users[0].pk
    # Every instance has a key of its own; the first few lead somewhere.
    rows = [
        Lenient.from_db("blog", ["id", "author_id"], (number, first + number))
        for number in range(MOST)
    ]
    size = keys.chunk_size("default", User._meta.pk)
    with CaptureQueriesContext(connections["default"]) as context:
        prefetch_related_objects(rows, "author")
    assert len(context) == -(-MOST // size)
    known = {user.pk: user for user in users}
    assert all(row.author == known.get(row.author_id) for row in rows)


def test_reverse_for_more_instances_than_parameters():
    person = Person.objects.create(name="ada")
    Signature.objects.create(person=person)
    people = [
        Person.from_db("default", ["id", "name", "hidden"], (person.pk + number, "", False))
        for number in range(MANY)
    ]
    size = keys.chunk_size("blog", Signature._meta.get_field("person"))
    with CaptureQueriesContext(connections["blog"]) as context:
        prefetch_related_objects(people, Prefetch("signature", to_attr="signed"))
    assert len(context) == -(-MANY // size)
    assert [found.pk for found in people if found.signed] == [person.pk]


def test_reverse_manager_for_more_instances_than_parameters():
    author = User.objects.create(username="ada")
    Post.objects.bulk_create([Post(title=str(number), author=author) for number in range(3)])
    users = [
        User.from_db("default", ["id", "username"], (author.pk + number, ""))
        for number in range(MANY)
    ]
    prefetch_related_objects(users, Prefetch("posts", to_attr="written"))
    assert [post.title for post in users[0].written] == ["0", "1", "2"]
    assert not any(user.written for user in users[1:])


@pytest.mark.parametrize(
    ("target", "name", "make"),
    [
        (Country, "country", lambda number: f"{number:02d}"),
        (Rate, "rate", lambda number: number),
    ],
)
def test_every_chunk_is_fetched(target, name, make, settings):
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 7}
    source = {"country": Visit, "rate": Quote}[name]
    target.objects.bulk_create([target(pk=make(number)) for number in range(30)])
    source.objects.bulk_create([source(**{f"{name}_id": make(number)}) for number in range(30)])
    with CaptureQueriesContext(connections["default"]) as context:
        read = list(source.objects.prefetch_related(name))
    assert len(context) == 5
    assert all(getattr(row, name).pk == getattr(row, f"{name}_id") for row in read)
    reverse = target._meta.get_field(source._meta.get_field(name).remote_field.name)
    with CaptureQueriesContext(connections["blog"]) as context:
        found = list(target.objects.prefetch_related(reverse.get_accessor_name()))
    assert len(context) == 5
    assert all(len(getattr(row, reverse.get_accessor_name()).all()) == 1 for row in found)
