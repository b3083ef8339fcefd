"""Every on_delete across databases, judged and applied as inside one."""

from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from django.db import connections, models
from django.db.models.signals import post_delete

from tests.apps.blog.models import Post
from tests.apps.knots.models import (
    Album,
    Artist,
    Concert,
    Owner,
    Player,
    Song,
    Team,
    Ticket,
)
from tests.apps.shop.models import Invoice, Order, Review
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def test_protect_refuses_before_anything_happens():
    user = User.objects.create(username="ada")
    Post.objects.create(title="one", author=user)
    invoice = Invoice.objects.create(customer=user)
    with pytest.raises(models.ProtectedError) as caught:
        user.delete()
    assert caught.value.args[0] == (
        "Cannot delete some instances of model 'User' because they are referenced through "
        "protected foreign keys: 'Invoice.customer'."
    )
    assert caught.value.protected_objects == {invoice}
    assert (User.objects.count(), Post.objects.count()) == (1, 1)
    assert not CascadeIntent.objects.exists()


def test_protect_without_sources_lets_go():
    user = User.objects.create(username="ada")
    user.delete()
    assert not User.objects.exists()


def test_protect_writes_no_intent():
    """What protects has nothing to follow with."""
    User.objects.create(username="ada").delete()
    assert not CascadeIntent.objects.filter(relation="shop.Invoice.customer").exists()


def test_protect_below_a_cascade_is_found(settings):
    """A veto two databases away: default → blog → shop."""
    from django.db.models.deletion import PROTECT

    user = User.objects.create(username="ada")
    post = Post.objects.create(title="one", author=user)
    Review.objects.create(post=post)
    rel = Review._meta.get_field("post").remote_field
    policy, rel.on_delete = rel.policy, PROTECT
    try:
        with pytest.raises(models.ProtectedError, match=r"'Post\.author'"):
            user.delete()
    finally:
        rel.on_delete = policy
    assert (User.objects.count(), Post.objects.count()) == (1, 1)


def test_restrict_refuses():
    artist = Artist.objects.create()
    concert = Concert.objects.create(artist=artist)
    with pytest.raises(models.RestrictedError) as caught:
        artist.delete()
    assert caught.value.args[0] == (
        "Cannot delete some instances of model 'Artist' because they are referenced through "
        "restricted foreign keys: 'Concert.artist'."
    )
    assert caught.value.restricted_objects == {concert}
    assert Artist.objects.exists()


def test_restrict_forgives_what_goes_anyway():
    """The concert restricts its artist, but goes with an album of that artist."""
    artist = Artist.objects.create()
    album = Album.objects.create(artist=artist)
    Concert.objects.create(artist=artist, album=album)
    artist.delete()
    assert (Artist.objects.count(), Album.objects.count(), Concert.objects.count()) == (0, 0, 0)


def test_restrict_inside_the_other_database_forgives_too():
    """Song restricts its album (one database) and goes with their artist (another)."""
    artist = Artist.objects.create()
    album = Album.objects.create(artist=artist)
    Song.objects.create(album=album, artist=artist)
    assert artist.delete()[1] == {"knots.Artist": 1, "knots.Album": 1, "knots.Song": 1}
    assert not Song.objects.exists()
    assert not Album.objects.exists()


def test_restrict_inside_the_other_database_refuses():
    artist, other = Artist.objects.create(), Artist.objects.create()
    album = Album.objects.create(artist=artist)
    Song.objects.create(album=album, artist=other)
    with pytest.raises(models.RestrictedError, match=r"'Song\.album'"):
        artist.delete()
    assert Artist.objects.count() == 2
    assert Album.objects.count() == 1


def test_set_null():
    user = User.objects.create(username="ada")
    review = Review.objects.create(author=user)
    assert user.delete() == (1, {"auth.User": 1})
    review.refresh_from_db()
    assert review.author_id is None


def test_set_default():
    owner = Owner.objects.create()
    ticket = Ticket.objects.create(default=owner)
    owner.delete()
    ticket.refresh_from_db()
    assert ticket.default_id == 7


def test_set_calls_its_function():
    owner = Owner.objects.create()
    ticket = Ticket.objects.create(set_to=owner, default=None)
    owner.delete()
    ticket.refresh_from_db()
    assert ticket.set_to == Owner.objects.get(name="last resort")


def test_set_does_not_call_its_function_for_nobody():
    Owner.objects.create().delete()
    assert not Owner.objects.filter(name="last resort").exists()


def test_do_nothing_leaves_the_key():
    owner = Owner.objects.create()
    ticket = Ticket.objects.create(kept=owner, default=None)
    key = owner.pk
    owner.delete()
    ticket.refresh_from_db()
    assert ticket.kept_id == key
    assert not CascadeIntent.objects.filter(relation="knots.Ticket.kept").exists()


@pytest.mark.parametrize("famous", [True, False])
def test_a_projects_own_policy(famous):
    owner = Owner.objects.create()
    ticket = Ticket.objects.create(special=owner, famous=famous, default=None)
    if famous:
        with pytest.raises(models.ProtectedError, match=r"'Ticket\.special'"):
            owner.delete()
        assert Owner.objects.filter(pk=owner.pk).exists()
    else:
        owner.delete()
        ticket.refresh_from_db()
        assert ticket.special_id is None


def test_a_circle_over_two_databases_ends():
    team = Team.objects.create()
    captain = Player.objects.create(team=team)
    Player.objects.create(team=team)
    team.captain = captain
    team.save()
    assert team.delete()[1] == {"knots.Team": 1, "knots.Player": 2}
    assert (Team.objects.count(), Player.objects.count()) == (0, 0)


@pytest.mark.django_db(databases="__all__")
def test_a_circle_ends_at_once_as_well():
    team = Team.objects.create()
    captain = Player.objects.create(team=team)
    team.captain = captain
    team.save()
    assert team.delete()[1] == {"knots.Team": 1, "knots.Player": 1}
    assert (Team.objects.count(), Player.objects.count()) == (0, 0)


@pytest.mark.django_db(databases="__all__")
def test_a_circle_announces_each_row_once():
    """The team that the circle comes back to is the outer delete's, and nobody else's."""
    team = Team.objects.create()
    team.captain = Player.objects.create(team=team)
    team.save()
    seen = []

    def receiver(sender, **kwargs):
        seen.append(sender)

    for model in (Team, Player):
        post_delete.connect(receiver, sender=model)
    try:
        team.delete()
    finally:
        for model in (Team, Player):
            post_delete.disconnect(receiver, sender=model)
    assert sorted(model.__name__ for model in seen) == ["Player", "Team"]


def test_a_chain_of_circles_goes_on_to_the_end():
    """Team 1's player captains team 2, whose player captains team 3 …"""
    teams = [Team.objects.create() for _ in range(5)]
    for team, following in pairwise(teams):
        following.captain = Player.objects.create(team=team)
        following.save()
    assert teams[0].delete()[1] == {"knots.Team": 5, "knots.Player": 4}
    assert not Team.objects.exists()


def test_nothing_is_planned_for_what_cannot_refuse(django_assert_num_queries):
    """Where nobody can veto, the sources' database is asked nothing before the commit."""
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="one", author=user)
    Review.objects.create(post=post)
    statements = []

    def watch(execute, sql, params, many, context):
        statements.append((context["connection"].alias, sql.split()[0]))
        return execute(sql, params, many, context)

    from contextlib import ExitStack

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(watch))
        user.delete()
    gone = next(
        i for i, (alias, verb) in enumerate(statements) if (alias, verb) == ("default", "DELETE")
    )
    assert [entry for entry in statements[:gone] if entry[0] == "blog"] == []
    # shop holds the invoices, which protect: they are looked for, nothing else is.
    assert [entry for entry in statements[:gone] if entry[0] == "shop"] == [("shop", "SELECT")]


def test_statements_grow_with_batches_and_not_with_rows():
    def count(users):
        User.objects.all().delete()
        made = User.objects.bulk_create([User(username=f"u{i}") for i in range(users)])
        Post.objects.bulk_create([Post(title="x", author=user) for user in made for _ in "ab"])
        Order.objects.bulk_create([Order(customer=user) for user in made])
        number = 0

        def watch(execute, sql, params, many, context):
            nonlocal number
            if context["connection"].alias != "default":
                number += 1
            return execute(sql, params, many, context)

        with (
            connections["blog"].execute_wrapper(watch),
            connections["shop"].execute_wrapper(watch),
        ):
            User.objects.all().delete()
        assert not Post.objects.exists()
        assert not Order.objects.exists()
        return number

    assert count(50) == count(5)


def test_relations_of_every_type_of_key_follow():
    from tests.apps.blog.models import Visit
    from tests.apps.people.models import Badge, Country, Device, Member

    targets = {
        "country": Country.objects.create(code="AT"),
        "device": Device.objects.create(),
        "badge": Badge.objects.create(number=-5),
        "member": Member.objects.create(name="m"),
    }
    for name, target in targets.items():
        Visit.objects.create(**{name: target})
    Visit.objects.create()
    for number, target in enumerate(targets.values(), start=1):
        target.delete()
        assert Visit.objects.count() == 5 - number


def test_deleting_a_parent_takes_the_childs_sources():
    """A multi-table child goes with its parent, and so do the sources that point at it."""
    from tests.apps.blog.models import Visit
    from tests.apps.people.models import Member, Person

    member = Member.objects.create(name="m")
    Visit.objects.create(member=member)
    Person.objects.get(pk=member.pk).delete()
    assert not Visit.objects.exists()


def test_deleting_through_a_proxy():
    from tests.apps.blog.models import Signature
    from tests.apps.people.models import Person, PersonProxy

    person = Person.objects.create(name="p")
    Signature.objects.create(person=person)
    PersonProxy.objects.get().delete()
    assert not Signature.objects.exists()
