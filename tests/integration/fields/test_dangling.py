"""A key without a target row: one behaviour on every path."""

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Prefetch, prefetch_related_objects

from tests.apps.blog.models import Desk, Lenient, Post, Signature, Visit
from tests.apps.people.models import Person
from xdbrel.compat import HAS_FETCH_MODES

pytestmark = pytest.mark.django_db(databases="__all__")

MISSING = 987654

#: Every way to read a field: each returns the instances to read it from.
PATHS = {
    "plain": lambda rows, name: rows,
    "prefetched": lambda rows, name: rows.prefetch_related(name),
    "prefetched with a queryset": lambda rows, name: rows.prefetch_related(
        Prefetch(name, rows.model._meta.get_field(name).related_model.objects.all())
    ),
    "prefetched to an attribute": lambda rows, name: rows.prefetch_related(
        Prefetch(name, to_attr="found")
    ),
    "deferred": lambda rows, name: rows.only("pk"),
}
if HAS_FETCH_MODES:
    from django.db.models import FETCH_PEERS

    PATHS["peers"] = lambda rows, name: rows.fetch_mode(FETCH_PEERS)


@pytest.fixture(params=PATHS)
def read(request):
    return lambda model, name: list(PATHS[request.param](model.objects.order_by("pk"), name))


def message(handle, target, alias="default", key=MISSING):
    return (
        f"{handle}: key {key!r} has no {target} in database {alias!r}. The target was deleted or "
        f'never existed; "manage.py xdbrel_scan {handle}" lists such keys.'
    )


def test_raise(read):
    """The error names relation, key and database, whether or not the key may be empty."""
    author = User.objects.create(username="ada")
    Post.objects.create(title="x", author_id=MISSING, editor_id=MISSING)
    Post.objects.create(title="y", author=author)
    for name in ("author", "editor"):
        dangling, fine = read(Post, name)
        for _ in range(2):
            with pytest.raises(User.DoesNotExist) as caught:
                getattr(dangling, name)
            assert type(caught.value) is getattr(Post, name).RelatedObjectDoesNotExist
            assert str(caught.value) == message(f"blog.Post.{name}", "auth.User")
        assert not hasattr(dangling, name)
        assert getattr(fine, name) == (author if name == "author" else None)


def test_raise_one_to_one(read):
    Signature.objects.create(person_id=MISSING)
    Desk.objects.create(owner_id=MISSING)
    Signature.objects.create(person=Person.objects.create(name="ada"))
    with pytest.raises(Person.DoesNotExist) as caught:
        _ = read(Signature, "person")[0].person
    assert str(caught.value) == message("blog.Signature.person", "people.Person")
    with pytest.raises(Person.DoesNotExist) as caught:
        _ = read(Desk, "owner")[0].owner
    assert str(caught.value) == message("blog.Desk.owner", "people.Person")


def test_raise_for_a_to_field(read):
    Visit.objects.create(badge_id=MISSING)
    with pytest.raises(Visit.badge.RelatedObjectDoesNotExist) as caught:
        _ = read(Visit, "badge")[0].badge
    assert str(caught.value) == message("blog.Visit.badge", "people.Badge")


def test_none(read):
    author = User.objects.create(username="ada")
    Lenient.objects.create(author_id=MISSING)
    Lenient.objects.create(author=author)
    dangling, fine = read(Lenient, "author")
    assert dangling.author is None
    assert dangling.author is None
    assert dangling.author_id == MISSING
    assert fine.author == author


def test_none_one_to_one(read):
    Desk.objects.create(lender_id=MISSING)
    Desk.objects.create(lender=Person.objects.create(name="ada"))
    dangling, fine = read(Desk, "lender")
    assert dangling.lender is None
    assert fine.lender.lent_desk == fine


def test_none_is_remembered(django_assert_num_queries):
    Lenient.objects.create(author_id=MISSING)
    found = Lenient.objects.get()
    assert found.author is None
    with django_assert_num_queries(0, connection=connections["default"]):
        assert found.author is None


def test_none_is_for_dangling_keys_only():
    """A relation that must not be empty and has no key raises Django's own error."""
    with pytest.raises(User.DoesNotExist, match=r"^Lenient has no author\.$"):
        _ = Lenient().author


def test_a_dangling_key_is_kept_when_the_object_is_saved():
    Lenient.objects.create(author_id=MISSING)
    Post.objects.create(title="x", author_id=MISSING)
    for read in (
        Lenient.objects.get(),
        Lenient.objects.prefetch_related("author").get(),
        Post.objects.prefetch_related("author").get(),
    ):
        assert not getattr(read, "author", None)
        read.save()
        read.refresh_from_db()
        assert read.author_id == MISSING


def test_an_attribute_of_ones_own_holds_none():
    """``to_attr`` names a plain attribute; the field beside it goes on raising."""
    Post.objects.create(title="x", author_id=MISSING)
    post = Post.objects.prefetch_related(Prefetch("author", to_attr="found")).get()
    assert post.found is None
    with pytest.raises(User.DoesNotExist):
        _ = post.author


def test_paths_beyond_a_dangling_key_are_empty():
    Post.objects.create(title="x", author_id=MISSING)
    Post.objects.create(title="y", author=User.objects.create(username="ada"))
    dangling, fine = Post.objects.prefetch_related("author__orders")
    assert list(fine.author.orders.all()) == []
    assert not hasattr(dangling, "author")


def test_a_target_that_comes_back_is_found():
    Post.objects.create(title="x", author_id=MISSING)
    post = Post.objects.prefetch_related("author").get()
    User.objects.create(pk=MISSING, username="late")
    with pytest.raises(User.DoesNotExist):
        _ = post.author
    post.refresh_from_db()
    assert post.author.username == "late"


def test_setting_another_key_forgets_the_dangling_one():
    author = User.objects.create(username="ada")
    Post.objects.create(title="x", author_id=MISSING)
    post = Post.objects.prefetch_related("author").get()
    post.author_id = author.pk
    assert post.author == author


def test_the_reverse_side_of_a_missing_source_is_djangos_own():
    person = Person.objects.create(name="ada")
    prefetch_related_objects([person], "signature", "desk")
    with pytest.raises(Signature.DoesNotExist, match=r"^Person has no signature\.$"):
        _ = person.signature
