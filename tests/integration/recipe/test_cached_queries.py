"""Queries that span databases beside django-cachalot: never an answer of before a write.

Their answers are kept, and forgotten by the tables of every alias that they were read on.
"""

import contextlib
import datetime
from functools import partial

import pytest
from django.contrib.auth.models import Group, User
from django.db import connections, transaction
from django.db.models import (
    Avg,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    IntegerField,
    JSONField,
    Max,
    OuterRef,
    Subquery,
    TextField,
    Value,
)
from django.db.models.functions import Cast, Now, Random, Upper
from hypothesis import given, settings, strategies

from sample_project.blog.models import Comment, Note, Post
from sample_project.counting import counted_queries
from sample_project.reference.models import Airline
from sample_project.shop.models import Profile
from tests.integration.recipe.conftest import clear
from xdbrel import caching
from xdbrel.cascade.relay import relay

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture
def ada():
    return User.objects.create(username="ada", email="a@example.com")


@pytest.fixture
def post(ada):
    return Post.objects.create(title="First", author=ada)


QUERIES = {
    "filter": lambda: list(Post.objects.filter(author__username="ada")),
    "exclude": lambda: list(Post.objects.exclude(author__username="ada")),
    "count": lambda: Post.objects.filter(author__username="ada").count(),
    "exists": lambda: Post.objects.filter(author__username="ada").exists(),
    "values": lambda: list(Post.objects.values_list("title", "author__username")),
    "related": lambda: [p.author.username for p in Post.objects.select_related("author")],
    "reverse": lambda: list(
        User.objects.annotate(n=Count("blog_posts")).order_by("pk").values_list("username", "n")
    ),
    "exists()": lambda: list(
        User.objects.filter(Exists(Post.objects.filter(author=OuterRef("pk")))).values_list("pk")
    ),
    "in": lambda: list(Post.objects.filter(author__in=User.objects.filter(username="ada"))),
    "aggregate": lambda: User.objects.aggregate(n=Count("blog_posts__comments")),
    "first": lambda: Post.objects.filter(author__username="ada").order_by("-pk").first(),
    "slice": lambda: list(Post.objects.order_by("author__username", "title")[:3]),
    "page": lambda: list(
        Post.objects.filter(author__username="ada")
        .order_by("pk")
        .values_list("title", "author__username", "created_at")[:2]
    ),
    "iterator": lambda: list(Post.objects.filter(author__username="ada").iterator()),
    "between": lambda: list(Post.objects.filter(author__groups__name="readers").order_by("pk")),
    "many": lambda: list(Post.objects.filter(editors__username="ada").order_by("pk")),
    "generic": lambda: list(Airline.objects.filter(notes__text="Old").values_list("name")),
    "union": lambda: sorted(
        Post.objects.filter(author__username="ada")
        .values_list("title")
        .union(Post.objects.filter(author__username="bob").values_list("title"))
    ),
    "groups": lambda: list(
        Post.objects.values("author__username").annotate(n=Count("pk")).order_by("n")
    ),
    "subquery": lambda: list(
        User.objects.order_by("pk").values_list(
            Subquery(
                Post.objects.filter(author=OuterRef("pk")).order_by("-pk").values("title")[:1]
            )
        )
    ),
    "dates": lambda: list(Post.objects.filter(author__username="ada").dates("created_at", "year")),
}


@pytest.mark.parametrize("block", [contextlib.nullcontext, partial(transaction.atomic, "default")])
def test_a_hit_asks_no_database(ada, post, cached, block):
    """Neither in a block that only reads: what others have found is there for it as well."""
    Comment.objects.create(post=post, author=ada, content="Yes.")
    ada.groups.add(Group.objects.create(name="readers"))
    post.editors.add(ada)
    Note.objects.create(about=airline(), author=ada, text="Old")
    first = {name: ask() for name, ask in QUERIES.items()}
    with block(), counted_queries() as queries:
        assert {name: ask() for name, ask in QUERIES.items()} == first
    assert queries == {}
    assert first == {name: fresh(ask) for name, ask in QUERIES.items()}


def test_what_select_related_brings_knows_its_home(ada, post, cached):
    """Also where it comes from the cache."""
    for _ in range(2):
        (row,) = Post.objects.select_related("author")
        assert (row._state.db, row.author._state.db) == ("blog_db", "default")
        # A database that has no table of theirs.
        (row,) = Post.objects.using("shop_db").select_related("author")
        assert (row._state.db, row.author._state.db) == ("blog_db", "default")


def test_tables_for_what_is_brought_are_no_writes(ada, post, cached, monkeypatch):
    """Their columns bear the names of the tables that they are brought from."""
    from cachalot.settings import cachalot_settings

    ada.groups.add(Group.objects.create(name="readers"))
    # As where routers let every table stand in every database.
    monkeypatch.setattr(cachalot_settings, "CACHALOT_ADDITIONAL_TABLES", ["auth_group"])
    monkeypatch.setattr("xdbrel.query.limits.FEW", 0)
    monkeypatch.setattr("xdbrel.query.shipment.ARRAY_ROWS", 0)
    posts = Post.objects.filter(title="First").values_list("author__groups__name", flat=True)
    assert list(posts.all()) == ["readers"]
    assert hits(lambda: list(posts.all()))


def test_every_write_is_seen(ada, post, cached, settings):
    """Of each table of each alias, whichever way it comes."""
    settings.XDBREL = {**settings.XDBREL, "CLAIM_SECONDS": 0.001}
    before, changed = {name: ask() for name, ask in QUERIES.items()}, set()
    for write in WRITES:
        write(ada)
        found = {name: ask() for name, ask in QUERIES.items()}
        assert found == {name: fresh(ask) for name, ask in QUERIES.items()}
        changed |= {name for name in QUERIES if found[name] != before[name]}
    assert changed == set(QUERIES)


def delete_and_die(user):
    """Let the delete be committed by a process that does nothing more."""
    with transaction.atomic(using="default"):
        user.delete()
        connections["default"].run_on_commit.clear()


def relay_all(user):
    while not relay().applied:
        pass


def raw(alias, sql):
    def write(user):
        with connections[alias].cursor() as cursor:
            cursor.execute(sql)

    return write


def airline():
    return Airline.objects.create(carrier="AA", name="One")


WRITES = [
    lambda user: User.objects.filter(pk=user.pk).update(username="bob"),
    lambda user: user.save(),
    lambda user: user.groups.add(Group.objects.create(name="readers")),
    lambda user: Group.objects.update(name="writers"),
    lambda user: Group.objects.update(name="readers"),
    lambda user: user.groups.clear(),
    raw("default", "UPDATE auth_user SET username = 'ada'"),
    lambda user: Post.objects.bulk_create([Post(title="Second", author=user)]),
    lambda user: Comment.objects.create(post=Post.objects.first(), author=user),
    raw("blog_db", "UPDATE blog_post SET title = 'Third' WHERE title = 'Second'"),
    lambda user: Post.objects.first().editors.add(user),
    raw("blog_db", "DELETE FROM blog_post_editors"),
    lambda user: Post.objects.first().editors.set([user]),
    lambda user: Note.objects.create(about=airline(), author=user, text="Old"),
    lambda user: Airline.objects.update(name="Other"),
    lambda user: Post.objects.filter(author__username="ada", title="Third").delete(),
    lambda user: User.objects.bulk_create([User(username="ada too")]),
    delete_and_die,
    relay_all,
]


def fresh(ask):
    """Return what the databases answer, whatever is cached."""
    with caching.uncached():
        return ask()


def test_after_a_write_of_its_own_database(ada, post, cached):
    assert Post.objects.filter(author__username="ada").count() == 1
    Post.objects.create(title="Second", author=ada)
    assert Post.objects.filter(author__username="ada").count() == 2
    Post.objects.filter(author__username="ada", title="First").update(title="Third")
    assert {p.title for p in Post.objects.filter(author__username="ada")} == {"Second", "Third"}


def test_after_raw_writes_of_either_database(ada, post, cached):
    """SQL that names a table makes its answers forgotten, in the steps of a query as well."""
    asks = [
        lambda: Post.objects.filter(author__username="ada").count(),
        lambda: Post.objects.filter(author_id__in=in_steps()).count(),
    ]
    assert [ask() for ask in asks] == [1, 1]
    users, posts = (connections[model.objects.db].cursor() for model in (User, Post))
    with users, posts:
        users.execute("UPDATE auth_user SET username = 'bob'")
        assert [ask() for ask in asks] == [0, 0]
        users.execute("UPDATE auth_user SET username = 'ada'")
        posts.execute("DELETE FROM blog_post")
    assert [ask() for ask in asks] == [0, 0]


def in_steps():
    return list(User.objects.filter(username="ada").values_list("pk", flat=True))


def test_the_documented_steps_are_cached(ada, post, cached):
    ask = lambda: list(Post.objects.filter(author_id__in=in_steps()))  # noqa: E731
    ask()
    with counted_queries() as queries:
        assert ask() == [post]
    assert queries == {}


@pytest.mark.parametrize("model", [User, Post])
def test_rows_that_are_rolled_back_are_in_no_answer(ada, post, cached, model):
    """A transaction on either database shows what it wrote, and leaves nothing of it behind."""
    ask = lambda: Post.objects.filter(author__username="bob", title="Second").count()  # noqa: E731
    Post.objects.update(title="Second")
    User.objects.update(username="bob")
    assert ask() == 1
    with transaction.atomic(using=model.objects.db):
        model.objects.update(**{"username" if model is User else "title": "other"})
        assert ask() == 0
        transaction.set_rollback(True, using=model.objects.db)
    assert ask() == 1


def test_a_spanning_update_makes_cached_answers_of_one_database_forgotten(ada, post, cached):
    """The write is one of its own database's, with conditions of another."""
    Profile.objects.create(user=ada, city="1")
    assert list(Post.objects.values_list("title", flat=True)) == ["First"]
    with counted_queries() as queries:
        list(Post.objects.values_list("title", flat=True))
    assert queries == {}
    assert Post.objects.filter(author__profile__city="1").update(title="Last") == 1
    assert list(Post.objects.values_list("title", flat=True)) == ["Last"]
    assert Post.objects.filter(author__profile__city="1").delete()[0] == 1
    assert list(Post.objects.values_list("title", flat=True)) == []


def test_what_stays_in_one_database_is_still_cached(ada, post, cached):
    asks = [
        lambda: list(Post.objects.filter(author=ada)),
        lambda: list(User.objects.filter(username="ada")),
    ]
    for ask in asks:
        ask()
        with counted_queries() as queries:
            ask()
        assert queries == {}


def test_a_spanning_query_leaves_caching_on(ada, post, cached):
    """For the next query, and where the spanning one fails."""
    Post.objects.annotate(by=F("author__username")).filter(by="ada").exists()
    list(User.objects.all())
    with counted_queries() as queries:
        list(User.objects.all())
    assert queries == {}


# What is never answered from there, nor kept.


@pytest.mark.parametrize(
    "ask",
    [
        lambda: list(Post.objects.filter(author__username="ada").order_by("?")),
        lambda: list(Post.objects.annotate(n=Random()).filter(author__username="ada")),
        lambda: list(
            Post.objects.filter(
                author__username="ada", created_at__lt=Now() + datetime.timedelta(days=1)
            )
        ),
        lambda: list(Post.objects.filter(author__last_login__lt=Now())),
    ],
)
def test_what_changes_by_itself_is_read(ada, post, cached, ask):
    for _ in range(2):
        with counted_queries() as queries:
            ask()
        assert queries


def test_rows_that_are_locked_are_read(ada, post, cached):
    for _ in range(2):
        with transaction.atomic(using="blog_db"), counted_queries() as queries:
            rows = Post.objects.select_for_update().filter(author__username="ada")
            assert list(rows) == [post]
        assert queries


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CACHALOT_ENABLED", False),
        ("CACHALOT_DATABASES", frozenset({"blog_db"})),
        ("CACHALOT_UNCACHABLE_TABLES", frozenset({"auth_user"})),
        ("CACHALOT_ONLY_CACHABLE_TABLES", frozenset({"blog_post"})),
    ],
)
def test_cachalots_settings_hold(ada, post, cached, monkeypatch, name, value):
    from cachalot.settings import cachalot_settings

    ask = QUERIES["filter"]
    ask()
    monkeypatch.setattr(cachalot_settings, name, value)
    with counted_queries() as queries:
        ask()
    assert set(queries) == {"blog_db", "default"}


def test_what_is_in_no_order_and_what_is_iterated_follow_their_settings(
    ada, post, cached, monkeypatch
):
    from cachalot.settings import cachalot_settings

    monkeypatch.setattr(cachalot_settings, "CACHALOT_CACHE_RANDOM", True)
    monkeypatch.setattr(cachalot_settings, "CACHALOT_CACHE_ITERATORS", False)
    shuffled = Post.objects.filter(author__username="ada").order_by("?")
    assert hits(lambda: list(shuffled.all()))
    # SQLite's are lists before they are iterated.
    streams = connections["blog_db"].features.can_use_chunked_reads
    assert hits(QUERIES["iterator"]) is not streams


def hits(ask):
    """Tell whether what is asked twice is answered from the cache."""
    first = ask()
    with counted_queries() as queries:
        assert ask() == first
    return queries == {}


def test_answers_of_many_rows_are_not_kept(ada, post, cached, monkeypatch):
    Post.objects.create(title="Second", author=ada)
    monkeypatch.setattr("xdbrel.query.limits.KEPT", 1)
    assert not hits(QUERIES["filter"])
    assert not hits(QUERIES["iterator"])
    assert hits(QUERIES["count"])


def test_an_iterator_is_kept_when_it_was_read_to_its_end(ada, post, cached):
    rows = Post.objects.filter(author__username="ada").iterator()
    next(rows)
    del rows
    with counted_queries() as queries:
        assert QUERIES["iterator"]() == [post]
    assert set(queries) == {"blog_db", "default"}
    assert hits(QUERIES["iterator"])


def test_without_spanning_queries_nothing_is_answered(ada, post, cached, settings):
    assert hits(QUERIES["filter"])
    settings.XDBREL = {**settings.XDBREL, "SPANNING_QUERIES": False}
    with pytest.raises(Exception, match="auth_user"):
        QUERIES["filter"]()


def test_what_decides_is_read_past_the_cache(ada, post, cached):
    """What is deleted, updated and explained, where the cache knows nothing of the truth."""
    posts = Post.objects.filter(author__username="ada")
    assert list(posts.all()) == [post]
    with connections["default"].cursor() as cursor:
        cursor.cursor.execute("UPDATE auth_user SET username = 'bob'")
    assert list(posts.all()) == [post], "it is stale, as it has to be for this test"
    assert posts.delete() == (0, {})
    assert posts.update(title="Second") == 0
    assert posts.explain_cross_db(analyze=True).steps[-1].rows == 0
    assert Post.objects.filter(author__username="bob").delete()[0] == 1


# What looks alike.


def test_statements_that_read_alike_have_their_own_answers(ada, post, cached):
    """One text, and what it stands for differs: parameters, values, other databases' SQL."""
    User.objects.create(username="Adam")
    posts = Post.objects.filter(author__username="ada").order_by("pk")
    asks = [
        lambda: list(posts.annotate(one=Value(1)).values_list("one", flat=True)),
        lambda: list(posts.annotate(one=Value("1")).values_list("one", flat=True)),
        lambda: list(posts.values_list(F("author_id"), flat=True)[:1]),
        lambda: list(
            posts.values_list(
                ExpressionWrapper(F("author_id"), output_field=TextField()), flat=True
            )[:1]
        ),
        lambda: posts.filter(author__username__contains="AD").count(),
        lambda: posts.filter(author__username__icontains="AD").count(),
        lambda: list(posts.values_list(Cast("author__id", IntegerField()))),
        lambda: list(posts.values_list(Cast("author__id", TextField()))),
        lambda: list(posts.values_list(Upper("author__username"))),
        lambda: posts.aggregate(n=Max("author_id")),
        lambda: posts.aggregate(n=Avg("author_id")),
        # PostgreSQL's driver shows no more than the beginning of what is long.
        *(
            lambda last=last: list(
                User.objects.filter(blog_posts__title="First").values_list(
                    Value({"long": "x" * 50 + last}, output_field=JSONField()), flat=True
                )
            )
            for last in "ab"
        ),
    ]
    for _ in range(2):
        for ask in asks:
            assert repr(ask()) == repr(fresh(ask))


def test_tables_of_one_name_in_two_databases(ada, post, cached, settings):
    """Each has answers of its own, where a query names the database and where settings do."""
    from xdbrel.query import places

    with connections["blog_db"].schema_editor() as editor:
        editor.create_model(Profile)
    places.forget()
    try:
        rows = Profile.objects.filter(user__username="ada").order_by("pk")
        there = rows.using("blog_db")
        cities = lambda found: [one.city for one in found.all()]  # noqa: E731
        assert (cities(rows), cities(there)) == ([], [])
        Profile.objects.using("blog_db").bulk_create([Profile(user_id=ada.pk, city="Bath")])
        assert (cities(rows), cities(there)) == ([], ["Bath"])
        Profile.objects.create(user=ada, city="Ely")
        assert (cities(rows), cities(there)) == (["Ely"], ["Bath"])
        Profile.objects.using("blog_db").update(city="York")
        with counted_queries() as queries:
            assert cities(rows) == ["Ely"]
        assert queries == {}
        assert cities(there) == ["York"]
        there = lambda: User.objects.filter(profile__city="York").exists()  # noqa: E731
        assert not there()
        homes = {**settings.XDBREL["HOMES"], "shop.Profile": "blog_db"}
        settings.XDBREL = {**settings.XDBREL, "HOMES": homes}
        assert there()
    finally:
        with connections["blog_db"].schema_editor() as editor:
            editor.delete_model(Profile)
        places.forget()


class Turns:
    """A router that names another replica each time; here, when it is told to."""

    turn = "default"

    def db_for_read(self, model, **hints):
        return self.turn if model is User else None


def test_rows_of_another_replica_than_was_named_are_not_kept(
    ada, post, cached, aliases, settings, monkeypatch
):
    """Nothing would make them forgotten that is read of the one that the query is known by."""
    aliases.define_like("default_again", "default")
    aliases.connect("default_again")
    settings.DATABASE_ROUTERS = [f"{__name__}.Turns", *settings.DATABASE_ROUTERS]
    find = caching.Slot.find

    def and_turn(slot):
        monkeypatch.setattr(Turns, "turn", "default_again")
        return find(slot)

    with monkeypatch.context() as patch:
        patch.setattr(caching.Slot, "find", and_turn)
        with counted_queries() as queries:
            assert QUERIES["filter"]() == [post]
        assert set(queries) == {"blog_db", "default_again"}
    monkeypatch.setattr(Turns, "turn", "default")
    with counted_queries() as queries:
        assert QUERIES["filter"]() == [post]
    assert set(queries) == {"blog_db", "default"}
    assert hits(QUERIES["filter"])
    monkeypatch.setattr(Turns, "turn", "default_again")
    assert not hits(QUERIES["filter"])


# Anything, in any order.

CHANGES = {
    "rename": lambda name: User.objects.exclude(username="cy").update(username=name),
    "save": lambda name: [user.save() for user in User.objects.all()[:1]],
    "post": lambda name: Post.objects.bulk_create(
        [Post(title=name, author=user) for user in User.objects.all()[:1]]
    ),
    "retitle": lambda name: Post.objects.filter(author__username=name).update(title="Last"),
    "unpost": lambda name: Post.objects.filter(author__username=name).delete(),
    "raw": lambda name: raw("blog_db", "UPDATE blog_post SET title = 'Raw'")(None),
    "user": lambda name: User.objects.get_or_create(username="cy"),
    "gone": lambda name: [user.delete() for user in User.objects.filter(username="cy")],
    "nothing": lambda name: None,
}
ASKED = ["filter", "count", "values", "related", "reverse", "page", "iterator", "in"]


@settings(max_examples=6)
@given(
    strategies.lists(
        strategies.tuples(
            strategies.sampled_from(sorted(CHANGES)),
            strategies.sampled_from(["ada", "bob"]),
            strategies.sampled_from([None, "default", "blog_db"]),
            strategies.booleans(),
            strategies.sets(strategies.sampled_from(ASKED), max_size=4),
        ),
        max_size=10,
    )
)
def test_writes_and_reads_in_any_order(cached, steps):
    """Each write by itself or in a block, which is committed or rolled back."""
    clear()
    for model in (Post, User):
        model.objects.all().delete()
    Post.objects.create(title="First", author=User.objects.create(username="ada"))

    def compare(names):
        for name in names:
            assert repr(QUERIES[name]()) == repr(fresh(QUERIES[name]))

    for change, name, alias, commits, names in steps:
        with transaction.atomic(using=alias) if alias else contextlib.nullcontext():
            compare(names)
            if commits or change not in ("unpost", "gone"):
                CHANGES[change](name)
            compare(names)
            if alias and not commits:
                transaction.set_rollback(True, using=alias)
        compare(names)
    compare(ASKED)
