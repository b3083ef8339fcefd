"""``plan_delete``: what a delete would take, in every database, and nothing is touched."""

import json
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import NotSupportedError, connections, models
from django.db.models.signals import post_delete, pre_delete

import xdbrel
from tests.apps.blog.models import Comment, Post, Seat, Signature, Visit
from tests.apps.blog.models import Tag as PostTag
from tests.apps.garden.models import (
    Bed,
    BedProxy,
    Contract,
    Gardener,
    Payment,
    Photo,
    Plot,
    Print,
    Rental,
    Tag,
    Tool,
)
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
from tests.apps.people.models import Badge, Bookmark, Cover, Member, Person, PersonProxy
from tests.apps.shop.models import Invoice, Order, Profile, Review
from xdbrel.models import CascadeIntent
from xdbrel.signals import cascade_planned

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@contextmanager
def statements():
    """Yield a counter of (alias, first word) of what is executed in the block."""
    seen = Counter()

    def watch(execute, sql, params, many, context):
        seen[context["connection"].alias, sql.split()[0]] += 1
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(watch))
        yield seen


@pytest.fixture
def ada():
    user = User.objects.create(username="ada")
    for title in ("one", "two"):
        post = Post.objects.create(title=title, author=user)
        post.tags.add(PostTag.objects.create(name=title))
        Comment.objects.create(post=post, author=user)
        Bookmark.objects.create(post=post)
        Review.objects.create(author=user, post=post)
    Order.objects.create(customer=user)
    Review.objects.create(author=user)
    Post.objects.create(title="edited", author=User.objects.create(username="bob"), editor=user)
    Profile.objects.create(user=user)
    user.groups.add(Group.objects.create(name="g"))
    return user


def test_counts_by_database_and_model(ada):
    plan = xdbrel.plan_delete(ada)
    assert plan.counts == {
        "default": {"auth.User": 1, "auth.User_groups": 1, "people.Bookmark": 2},
        "blog": {"blog.Post": 2, "blog.Post_tags": 2, "blog.Comment": 2},
        "shop": {"shop.Order": 1, "shop.Profile": 1, "shop.Review": 2},
    }
    assert plan.updates == {
        "blog": {"blog.Post.editor": 1},
        # The two reviews of posts that go do not stay with another key.
        "shop": {"shop.Review.author": 1},
    }
    assert plan.allowed
    assert (plan.protected, plan.restricted) == ({}, {})
    assert plan.total == 14
    assert ada.delete() == (plan.total, plan.by_model)


def test_as_text(ada):
    assert str(xdbrel.plan_delete(Profile.objects.all())) == (
        "1 row would be deleted.\n  shop: shop.Profile: 1"
    )
    lines = str(xdbrel.plan_delete(ada)).splitlines()
    assert lines[0] == "14 rows would be deleted."
    assert {
        "  default: auth.User: 1",
        "  blog: blog.Post_tags: 2",
        "  blog: blog.Post.editor: 1 row would get another key",
    } <= set(lines)


def test_as_text_and_as_data_where_something_refuses(ada):
    invoices = [Invoice.objects.create(customer=ada) for _ in range(6)]
    plan = xdbrel.plan_delete(ada)
    lines = str(plan).splitlines()
    assert lines[0] == "The delete would be refused; 14 rows would go without what refuses."
    shown = ", ".join(f"Invoice object ({invoice.pk})" for invoice in invoices[:5])
    assert lines[-1] == f"Protected by shop.Invoice.customer: {shown} … (6 in all)"
    data = json.loads(json.dumps(plan.as_dict()))
    assert data["allowed"] is False
    assert data["total"] == 14
    assert data["counts"]["blog"]["blog.Post"] == 2
    assert data["updates"] == {
        "blog": {"blog.Post.editor": 1},
        "shop": {"shop.Review.author": 1},
    }
    assert data["restricted"] == {}
    assert {one["key"] for one in data["protected"]["shop.Invoice.customer"]} == {
        invoice.pk for invoice in invoices
    }
    assert data["protected"]["shop.Invoice.customer"][0]["model"] == "shop.Invoice"
    assert data["protected"]["shop.Invoice.customer"][0]["alias"] == "shop"


def test_nothing_is_touched_and_nobody_is_told(ada):
    told = []

    def receiver(sender, **kwargs):
        told.append(sender)

    Ticket.objects.create(set_to=Owner.objects.create(), default=None)
    signals = (pre_delete, post_delete, cascade_planned)
    for signal in signals:
        signal.connect(receiver)
    try:
        with statements() as seen:
            xdbrel.plan_delete(ada)
            xdbrel.plan_delete(User.objects.all())
            # The function of its SET() would create an owner.
            xdbrel.plan_delete(Owner.objects.get())
    finally:
        for signal in signals:
            signal.disconnect(receiver)
    assert told == []
    assert {verb for _, verb in seen} == {"SELECT"}
    assert not CascadeIntent.objects.exists()
    assert not Owner.objects.filter(name="last resort").exists()
    assert ada.pk is not None


def test_statements_grow_with_batches_and_not_with_rows():
    def count(users):
        made = User.objects.bulk_create([User(username=f"u{users}-{i}") for i in range(users)])
        Post.objects.bulk_create([Post(title="x", author=user) for user in made for _ in "ab"])
        Order.objects.bulk_create([Order(customer=user) for user in made])
        with statements() as seen:
            plan = xdbrel.plan_delete(User.objects.filter(username__startswith=f"u{users}-"))
        assert plan.by_model == {
            "auth.User": users,
            "blog.Post": users * 2,
            "shop.Order": users,
        }
        return seen

    assert count(40) == count(4)


def test_statements_by_database():
    """One for the sources of each relation, and one for what Django deletes by query."""
    team = Team.objects.create()
    Player.objects.create(team=team)
    with statements() as seen:
        plan = xdbrel.plan_delete(team)
    assert plan.by_model == {"knots.Team": 1, "knots.Player": 1}
    assert seen == {("blog", "SELECT"): 1, ("default", "SELECT"): 1}


class TestRefusals:
    def test_protect_in_another_database(self, ada):
        invoices = {Invoice.objects.create(customer=ada) for _ in range(2)}
        plan = xdbrel.plan_delete(ada)
        assert set(plan.protected) == {"shop.Invoice.customer"}
        assert set(plan.protected["shop.Invoice.customer"]) == invoices
        assert not plan.allowed
        # What protects does not hide the rest.
        assert plan.counts["blog"]["blog.Post"] == 2
        assert "shop.Invoice" not in plan.by_model
        with pytest.raises(models.ProtectedError) as caught:
            ada.delete()
        assert caught.value.protected_objects == invoices

    def test_protect_of_many_batches(self, settings):
        settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 2}
        users = [User.objects.create(username=f"u{i}") for i in range(5)]
        invoices = {Invoice.objects.create(customer=user) for user in users}
        plan = xdbrel.plan_delete(User.objects.all())
        assert set(plan.protected["shop.Invoice.customer"]) == invoices
        with pytest.raises(models.ProtectedError) as caught:
            User.objects.all().delete()
        assert caught.value.protected_objects == invoices

    def test_protect_two_databases_away(self, ada):
        rel = Review._meta.get_field("post").remote_field
        policy, rel.on_delete = rel.policy, models.PROTECT
        try:
            plan = xdbrel.plan_delete(ada)
        finally:
            rel.on_delete = policy
        assert set(plan.protected) == {"shop.Review.post"}
        assert len(plan.protected["shop.Review.post"]) == 2

    def test_protect_inside_the_database(self):
        """Django's own relation, of sources that would go in another database."""
        user = User.objects.create(username="ada")
        post = Post.objects.create(title="one", author=user)
        comment = Comment.objects.create(post=post, author=User.objects.create(username="bob"))
        rel = Comment._meta.get_field("post").remote_field
        policy, rel.on_delete = rel.on_delete, models.PROTECT
        try:
            plan = xdbrel.plan_delete(user)
        finally:
            rel.on_delete = policy
        assert plan.protected == {"blog.Comment.post": (comment,)}
        assert plan.by_model == {"auth.User": 1, "blog.Post": 1}

    def test_restrict(self):
        artist = Artist.objects.create()
        concert = Concert.objects.create(artist=artist)
        plan = xdbrel.plan_delete(artist)
        assert plan.restricted == {"knots.Concert.artist": (concert,)}
        assert plan.protected == {}
        assert not plan.allowed
        assert str(plan).splitlines()[-1] == (
            f"Restricted by knots.Concert.artist: Concert object ({concert.pk})"
        )

    def test_restrict_inside_the_other_database(self):
        artist, other = Artist.objects.create(), Artist.objects.create()
        album = Album.objects.create(artist=artist)
        song = Song.objects.create(album=album, artist=other)
        plan = xdbrel.plan_delete(artist)
        assert plan.restricted == {"knots.Song.album": (song,)}

    def test_restrict_forgives_what_goes_anyway(self):
        artist = Artist.objects.create()
        album = Album.objects.create(artist=artist)
        Concert.objects.create(artist=artist, album=album)
        Song.objects.create(artist=artist, album=album)
        plan = xdbrel.plan_delete(artist)
        assert plan.allowed
        assert artist.delete() == (plan.total, plan.by_model)

    @pytest.mark.parametrize("famous", [True, False])
    def test_a_projects_own_policy(self, famous):
        owner = Owner.objects.create()
        ticket = Ticket.objects.create(special=owner, famous=famous, default=None)
        plan = xdbrel.plan_delete(owner)
        assert plan.counts == {"default": {"knots.Owner": 1}}
        if famous:
            assert plan.protected == {"knots.Ticket.special": (ticket,)}
            assert plan.updates == {}
        else:
            assert plan.allowed
            assert plan.updates == {"shop": {"knots.Ticket.special": 1}}


class TestWhatIsGiven:
    def test_a_list_of_instances(self, ada):
        users = list(User.objects.all())
        plan = xdbrel.plan_delete(users)
        assert plan == xdbrel.plan_delete(User.objects.all())
        assert plan.counts["default"]["auth.User"] == 2

    def test_nothing(self):
        with statements() as seen:
            assert xdbrel.plan_delete([]) == xdbrel.DeletionPlan()
            assert xdbrel.plan_delete(User.objects.none()) == xdbrel.DeletionPlan()
        assert seen == {}
        plan = xdbrel.plan_delete(User.objects.filter(username="nobody"))
        assert plan == xdbrel.DeletionPlan()
        assert plan.allowed
        assert str(plan) == "0 rows would be deleted."

    def test_an_unsaved_instance(self):
        with pytest.raises(ValueError) as django:
            User().delete()
        for given in (User(), [User()]):
            with pytest.raises(ValueError) as caught:
                xdbrel.plan_delete(given)
            assert str(caught.value) == str(django.value)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda users: users[:1],
            lambda users: users.distinct("username"),
            lambda users: users.values("pk"),
            lambda users: users.values_list("pk"),
            lambda users: users.union(User.objects.all()),
        ],
        ids=["sliced", "distinct", "values", "values_list", "combined"],
    )
    def test_a_queryset_that_cannot_be_deleted(self, spoil):
        with pytest.raises((TypeError, NotSupportedError)) as django:
            spoil(User.objects.all()).delete()
        with pytest.raises(type(django.value)) as caught:
            xdbrel.plan_delete(spoil(User.objects.all()))
        assert str(caught.value) == str(django.value)

    @pytest.mark.parametrize("given", [User, User.objects, 7, [1], {"pk": 1}])
    def test_anything_else(self, given):
        with pytest.raises(TypeError) as caught:
            xdbrel.plan_delete(given)
        assert str(caught.value) == (
            "plan_delete() takes an instance, a queryset or a list of instances of one model, "
            f"not {type(given).__name__}."
        )

    def test_instances_of_several_models(self):
        with pytest.raises(ValueError) as caught:
            xdbrel.plan_delete([User(pk=1), Group(pk=1)])
        assert str(caught.value) == (
            "plan_delete() takes instances of one model at a time, not of auth.Group, auth.User."
        )

    def test_instances_of_several_databases(self, settings):
        settings.DATABASE_ROUTERS = []
        here, there = Permission(pk=1), Permission(pk=2)
        here._state.db, there._state.db = "default", "blog"
        with pytest.raises(ValueError) as caught:
            xdbrel.plan_delete([here, there])
        assert str(caught.value) == (
            "plan_delete() takes instances of one database at a time, not of blog, default; "
            "using= names the one to delete from."
        )

    def test_a_queryset_of_an_alias(self, ada):
        assert xdbrel.plan_delete(Post.objects.using("blog")).counts["blog"]["blog.Post"] == 3
        assert xdbrel.plan_delete(Post.objects.all(), using="blog").total > 3

    def test_a_queryset_is_left_as_it_was(self, ada):
        users = User.objects.order_by("username").select_for_update()
        xdbrel.plan_delete(users)
        assert users.query.select_for_update
        assert users.query.order_by == ("username",)
        assert users._result_cache is None


def of_users():
    users = [User.objects.create(username=f"u{i}") for i in range(3)]
    for author in users:
        for editor in users:
            post = Post.objects.create(title="t", author=author, editor=editor)
            Review.objects.create(author=editor, post=post)
            Cover.objects.create(post=post)
            for writer in users:
                Comment.objects.create(post=post, author=writer)
    return User.objects.exclude(pk=users[0].pk)


def of_proxies():
    people = [PersonProxy.objects.create(name=name) for name in "ab"]
    for person in people:
        Signature.objects.create(person=person)
        Seat.objects.create(number=person.pk, person=person)
    return PersonProxy.objects.all()


def of_children():
    for name in "ab":
        member = Member.objects.create(name=name)
        Visit.objects.create(member=member)
        Signature.objects.create(person=member)
    return Member.objects.all()


def of_parents():
    of_children()
    return Person.objects.all()


def of_keys_that_are_not_primary():
    for number in (3, -5):
        Visit.objects.create(badge=Badge.objects.create(number=number))
    return Badge.objects.all()


def of_a_circle():
    team, other = Team.objects.create(), Team.objects.create()
    for _ in range(3):
        other.captain = Player.objects.create(team=team)
    other.save()
    team.captain = Player.objects.create(team=other)
    team.save()
    return Team.objects.filter(pk=team.pk)


def of_forgiven_restrictions():
    for _ in range(2):
        artist = Artist.objects.create()
        album = Album.objects.create(artist=artist)
        Song.objects.create(album=album, artist=artist)
        Concert.objects.create(album=album, artist=artist)
    return Artist.objects.all()


def of_keys_that_are_set():
    for owner in [Owner.objects.create() for _ in range(2)]:
        Ticket.objects.create(set_to=owner, default=owner, kept=owner, special=owner)
    return Owner.objects.all()


def of_a_garden():
    """Generic relations, and tables that many-to-many relations go through."""
    gardener = Gardener.objects.create()
    gardener.tools.add(Tool.objects.create(), Tool.objects.create())
    for use in Gardener.tools.through.objects.all():
        Rental.objects.create(use=use)
    for _ in range(2):
        plot = Plot.objects.create()
        Tag.objects.create(bed=Bed.objects.create(plot=plot, keeper=gardener))
        Print.objects.create(photo=Photo.objects.create(subject=plot))
        Payment.objects.create(contract=Contract.objects.create(gardener=gardener, plot=plot))
    return Plot.objects.all()


def of_gardeners():
    of_a_garden()
    return Gardener.objects.all()


def of_tools():
    of_a_garden()
    return Tool.objects.all()


def of_proxies_in_a_garden():
    of_a_garden()
    return BedProxy.objects.all()


def of_content_types():
    of_a_garden()
    return ContentType.objects.filter(app_label="garden", model="plot")


def of_nothing_that_crosses():
    Group.objects.create(name="g").permissions.add(Permission.objects.first())
    return Group.objects.all()


@pytest.mark.parametrize(
    "graph",
    [
        of_users,
        of_proxies,
        of_children,
        of_parents,
        of_keys_that_are_not_primary,
        of_a_circle,
        of_forgiven_restrictions,
        of_keys_that_are_set,
        of_a_garden,
        of_gardeners,
        of_tools,
        of_proxies_in_a_garden,
        of_content_types,
        of_nothing_that_crosses,
    ],
)
@pytest.mark.parametrize("given", ["queryset", "list", "instance"])
def test_the_plan_is_what_delete_then_returns(graph, given, restored_content_types):
    objs = graph()
    if given == "list":
        objs = list(objs)
    elif given == "instance":
        objs = objs.first()
    plan = xdbrel.plan_delete(objs)
    assert plan.allowed
    if given == "list":
        # Django has no delete() of a list.
        objs = type(objs[0])._base_manager.filter(pk__in=[obj.pk for obj in objs])
    deleted, counts = objs.delete()
    assert (plan.total, plan.by_model) == (deleted, counts)


@pytest.fixture
def restored_content_types():
    """Django keeps content types in memory, by keys that a test may delete."""
    yield
    ContentType.objects.clear_cache()
