"""Relations of every kind that XDBREL["ADOPT"] lets cross."""

import io

import pytest
from django.contrib.auth.models import User
from django.contrib.flatpages.models import FlatPage
from django.contrib.sites.models import Site
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, models
from django.db.migrations.state import ModelState
from django.test.utils import CaptureQueriesContext

from tests.multidb.adopted.board.models import DatedMarker, Marker, Topic, Vote
from tests.multidb.adopted.people.models import Profile
from xdbrel import CrossDBGenericForeignKey, CrossDBManyToManyField, prefetch_cross_db, relations
from xdbrel.checks import adoption
from xdbrel.fields.generic import CrossDBGenericRelation

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


@pytest.fixture
def bob():
    return User.objects.create_user("bob")


@pytest.fixture
def topic(ada):
    return Topic.objects.create(name="tea", author=ada)


@pytest.fixture
def profile():
    # Not the key that the topic has.
    Profile.objects.create(name="nobody").delete()
    return Profile.objects.create(name="Ada")


def dropped(model, pk):
    """Delete a row without anybody's knowing."""
    connection = connections["default"]
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE id = %s", [pk])


def test_nothing_is_left_to_say():
    assert run_checks(databases=["default", "content"]) == []
    handles = [one.handle for one in relations.all_relations() if one.crosses]
    assert handles == [
        "board.Marker.content_object[people.Profile]",
        "board.Marker.content_type",
        "board.Topic.author",
        "board.Topic_followers.user",
        "board.Vote.user",
        "flatpages.FlatPage_sites.site",
    ]


def test_migrations_do_not_learn_of_it():
    fields = ModelState.from_model(Topic).fields
    assert fields["followers"].deconstruct()[1:] == (
        "django.db.models.ManyToManyField",
        [],
        {"to": "auth.user", "related_name": "followed"},
    )
    assert fields["voters"].deconstruct()[3]["through"] == "board.Vote"
    call_command("makemigrations", check_changes=True, stdout=io.StringIO())


def test_what_was_declared_without_constraint_stays_so():
    kind = type(Topic._meta.get_field("followers"))
    assert issubclass(kind, CrossDBManyToManyField)
    assert "db_constraint" not in kind(User).deconstruct()[3]
    assert kind(User, db_constraint=False).clone().deconstruct()[3]["db_constraint"] is False


def test_many_to_many(topic, ada, bob):
    topic.followers.add(ada, bob)
    assert {user.username for user in topic.followers.all()} == {"ada", "bob"}
    assert list(ada.followed.all()) == [topic]
    assert list(Topic.objects.filter(followers__username="bob")) == [topic]
    assert list(User.objects.filter(followed__name="tea").order_by("pk")) == [ada, bob]
    (found,) = prefetch_cross_db(Topic.objects.all(), "followers")
    with (
        CaptureQueriesContext(connections["default"]) as far,
        CaptureQueriesContext(connections["content"]) as near,
    ):
        assert {user._state.db for user in found.followers.all()} == {"default"}
    assert not [*far, *near]
    topic.followers.set([bob])
    assert list(topic.followers.all()) == [bob]


def test_rows_in_between_follow_a_delete(topic, bob):
    topic.followers.add(bob)
    topic.voters.add(bob, through_defaults={"value": 2})
    assert bob.delete() == (3, {"auth.User": 1, "board.Topic_followers": 1, "board.Vote": 1})
    assert not Topic.followers.through.objects.exists()
    assert not Vote.objects.exists()


def test_model_in_between_of_the_apps_own(topic, ada, bob):
    Vote.objects.create(topic=topic, user=bob, value=3)
    assert list(topic.voters.all()) == [bob]
    assert list(Topic.objects.filter(voters=bob, votes__value=3)) == [topic]
    topic.voters.set([ada])
    assert [vote.user for vote in Vote.objects.all()] == [ada]


def test_rows_in_between_are_scanned(topic, ada, bob):
    topic.followers.add(ada, bob)
    dropped(User, bob.pk)
    found = io.StringIO()
    call_command("xdbrel_scan", "board.Topic_followers.user", stdout=found, stderr=found)
    assert "1 orphans in 1 of 1 relations" in found.getvalue()
    call_command("xdbrel_repair", "board.Topic_followers.user", policy="delete", stdout=found)
    assert list(topic.followers.all()) == [ada]


def test_generic_relation(topic, profile):
    far = profile.markers.create(word="far")
    near = topic.markers.create(word="near")
    assert (far._state.db, near._state.db) == ("content", "content")
    markers = Marker.objects.prefetch_related("content_object")
    assert [marker.content_object for marker in markers] == [profile, topic]
    assert [marker.content_object._state.db for marker in markers] == ["default", "content"]
    assert Marker.objects.get(profile__name="Ada") == far
    assert list(Profile.objects.filter(markers__word="far")) == [profile]
    assert list(Topic.objects.filter(markers__word="near")) == [topic]
    assert not Topic.objects.filter(markers__word="far").exists()


def test_generic_rows_follow_a_delete(topic, profile):
    topic.markers.create(word="stays")
    profile.markers.create(word="goes")
    assert profile.delete() == (2, {"people.Profile": 1, "board.Marker": 1})
    assert [marker.word for marker in Marker.objects.all()] == ["stays"]
    assert topic.delete() == (2, {"board.Marker": 1, "board.Topic": 1})


def test_dangling_generic_keys_are_found(topic, profile):
    profile.markers.create(word="dangles")
    topic.markers.create(word="stays")
    dropped(Profile, profile.pk)
    found = io.StringIO()
    call_command("xdbrel_scan", stdout=found, stderr=found)
    assert "1 orphans in 1 of" in found.getvalue()
    assert Marker.objects.first().content_object is None


def test_copies_of_children_are_adopted(profile):
    """A multi-table child has a copy of its parent's generic foreign key."""
    (copy,) = DatedMarker._meta.private_fields
    assert isinstance(copy, CrossDBGenericForeignKey)
    assert isinstance(Profile._meta.get_field("markers"), CrossDBGenericRelation)
    made = DatedMarker.objects.create(content_object=profile, word="dated", day=1)
    assert DatedMarker.objects.get(pk=made.pk).content_object == profile
    assert list(profile.markers.all()) == [made.marker_ptr]


def test_no_constraint_towards_another_database(topic):
    with connections["content"].cursor() as cursor:
        for model in (Topic, Topic.followers.through, Vote, Marker, FlatPage.sites.through):
            found = connections["content"].introspection.get_constraints(
                cursor, model._meta.db_table
            )
            towards = {one["foreign_key"][0] for one in found.values() if one["foreign_key"]}
            assert towards <= {"board_topic", "django_flatpage"}


def test_flat_pages_away_from_their_sites(client):
    site = Site.objects.get_or_create(pk=1, defaults={"domain": "example.com"})[0]
    page = FlatPage.objects.create(url="/about/", title="About", content="us")
    page.sites.add(site)
    assert list(FlatPage.objects.filter(sites__id=1)) == [page]
    assert list(site.flatpage_set.all()) == [page]
    site.delete()
    assert not FlatPage.objects.filter(sites__isnull=False).exists()


@pytest.mark.parametrize(
    ("handle", "hint"),
    [
        ("board.Topic.follower", "Write 'board.Topic.followers' instead."),
        ("board.Marker.content_objet", "Write 'board.Marker.content_object' instead."),
    ],
)
def test_e140_nearest_relation(settings, handle, hint):
    settings.XDBREL = {**settings.XDBREL, "ADOPT": [handle]}
    assert [message.hint for message in adoption.check_adopted()] == [hint]


def test_e140_reverse_side_of_a_generic_relation(settings):
    settings.XDBREL = {**settings.XDBREL, "ADOPT": ["people.Profile.markers"]}
    assert [message.msg for message in adoption.check_adopted()] == [
        'people.Profile.markers in XDBREL["ADOPT"] cannot be adopted: it is a '
        "CrossDBGenericRelation; name the GenericForeignKey that it leads to."
    ]


def test_adopted_twice(settings):
    """What is adopted already is right as it is named."""
    assert adoption.check_adopted() == []
    assert isinstance(Topic._meta.get_field("author"), models.ForeignKey)
