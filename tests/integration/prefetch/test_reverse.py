"""Prefetching many: what related managers hold afterwards, and that they stay managers."""

import pickle

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import F, Manager, Prefetch

from tests.apps.blog.models import Comment, Post, Tag
from tests.apps.shop.models import Review
from xdbrel import prefetch_cross_db

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def users():
    """Ada with two posts, Bob with one, Cy with none."""
    users = [User.objects.create(username=name) for name in ("ada", "bob", "cy")]
    for author, title in ((0, "a1"), (1, "b1"), (0, "a2")):
        Post.objects.create(author=users[author], title=title)
    return users


def fetched(*lookups, **options):
    return prefetch_cross_db(list(User.objects.order_by("id")), *lookups, **options)


def test_one_statement_for_all(users, statements):
    """Every instance has its rows, in their model's order, and knows them as its own."""
    with statements() as counted:
        found = fetched("posts")
        titles = [[post.title for post in user.posts.all()] for user in found]
    assert titles == [["a1", "a2"], ["b1"], []]
    assert counted == {"default": 1, "blog": 1}
    assert all(post.author is user for user in found for post in user.posts.all())


def test_two_relations_of_one_model_are_two_statements(users, statements):
    """They are different columns of that model."""
    Post.objects.filter(title="b1").update(editor=users[0])
    with statements() as counted:
        ada, *_ = fetched("posts", "edited_posts")
    assert counted == {"default": 1, "blog": 2}
    with statements() as counted:
        assert [post.title for post in ada.edited_posts.all()] == ["b1"]
    assert not counted


def test_the_manager_answers_from_what_was_fetched(users, statements):
    """all(), count(), exists(), len(), iteration and indexing ask no database."""
    ada, _bob, cy = fetched("posts")
    with statements() as counted:
        assert ada.posts.count() == 2
        assert len(ada.posts.all()) == 2
        assert ada.posts.all()[1].title == "a2"
        assert ada.posts.exists()
        assert not cy.posts.exists()
        assert ada.posts.all() is ada.posts.all()
    assert not counted


def test_the_manager_can_still_be_narrowed(users, statements):
    """Further filters ask the database, for this instance's rows alone."""
    ada, bob, cy = fetched("posts")
    with statements() as counted:
        assert [post.title for post in ada.posts.filter(title__endswith="1")] == ["a1"]
        assert [post.title for post in bob.posts.exclude(title="x")] == ["b1"]
        assert [post.title for post in ada.posts.order_by("-id")] == ["a2", "a1"]
        assert cy.posts.filter(title="a1").count() == 0
    assert counted == {"blog": 4}
    assert ada.posts.filter(title="a1").get().author is ada
    # Narrowing one instance's rows has no effect on another's.
    assert [post.title for post in bob.posts.filter(title="b1")] == ["b1"]
    assert [post.title for post in bob.posts.all()] == ["b1"]


@pytest.mark.parametrize("change", ["add", "create", "set", "remove", "clear"])
def test_changes_forget_what_was_fetched(users, change):
    """Afterwards the manager asks the database again."""
    Post.objects.update(editor=F("author"))
    ada, *_ = fetched("edited_posts")
    mine, other = Post.objects.get(title="a1"), Post.objects.get(title="b1")
    manager = ada.edited_posts
    expected = {
        "add": {"a1", "a2", "b1"},
        "create": {"a1", "a2", "new"},
        "set": {"b1"},
        "remove": {"a2"},
        "clear": set(),
    }[change]
    if change == "add":
        manager.add(other)
    elif change == "create":
        manager.create(title="new", author=ada)
    elif change == "set":
        manager.set([other])
    elif change == "remove":
        manager.remove(mine)
    else:
        manager.clear()
    assert {post.title for post in ada.edited_posts.all()} == expected


def test_the_querysets_are_what_django_would_have_made(users):
    """The same class and attributes with the same values, but for the rows and the query."""
    Comment.objects.create(post=Post.objects.first(), author=users[0])
    for lookup in ("comments", Prefetch("comments", Comment.objects.filter(content=""))):
        by_django = list(Post.objects.prefetch_related(lookup))
        by_us = prefetch_cross_db(list(Post.objects.all()), lookup)
        assert len(by_us) == 3
        for expected, found in zip(by_django, by_us, strict=True):
            assert found._prefetched_objects_cache.keys() == {"comments"}
            theirs = expected._prefetched_objects_cache["comments"]
            ours = found._prefetched_objects_cache["comments"]
            assert type(ours) is type(theirs)
            assert list(ours) == list(theirs)
            # Django lets the instances share the hints of a queryset that is given.
            without = {"_query", "_result_cache", "_hints"}
            assert {k: v for k, v in vars(ours).items() if k not in without} == {
                k: v for k, v in vars(theirs).items() if k not in without
            }
            assert ours._hints == {"instance": found}
            assert str(ours.query) == str(theirs.query)


def test_each_query_is_its_own(users):
    """Looking at one instance's query leaves the others' alone."""
    ada, bob, _ = fetched("posts")
    assert str(ada.posts.all().query) != str(bob.posts.all().query)
    assert str(ada.posts.all().query) == str(User.objects.get(pk=ada.pk).posts.all().query)


def test_pickling_keeps_what_was_fetched(users, statements):
    """An instance comes back from a pickle with its rows and a working manager."""
    ada = pickle.loads(pickle.dumps(fetched("posts")[0]))
    with statements() as counted:
        assert [post.title for post in ada.posts.all()] == ["a1", "a2"]
    assert not counted
    assert [post.title for post in ada.posts.filter(title="a2")] == ["a2"]


def test_what_was_fetched_before_is_kept(users, statements):
    """Only instances without rows are asked for; nested steps go on from all of them."""
    ada, bob, _cy = people = list(User.objects.order_by("id"))
    prefetch_cross_db([ada], Prefetch("posts", Post.objects.filter(title="a1")))
    Comment.objects.create(post=Post.objects.get(title="a1"), author=bob, content="c")
    with statements() as counted:
        prefetch_cross_db(people, "posts__comments")
    assert counted == {"blog": 2}
    with statements() as counted:
        assert [post.title for post in ada.posts.all()] == ["a1"]
        assert [post.title for post in bob.posts.all()] == ["b1"]
        assert [c.content for c in ada.posts.all()[0].comments.all()] == ["c"]
    assert not counted


def test_a_queryset_of_ones_own(users, statements):
    """Filters and order are kept, and the manager's queryset is derived from it."""
    queryset = Post.objects.filter(title__endswith="1").order_by("-title")
    with statements() as counted:
        ada, bob, cy = fetched(Prefetch("posts", queryset))
        titles = [[post.title for post in user.posts.all()] for user in (ada, bob, cy)]
    assert titles == [["a1"], ["b1"], []]
    assert counted == {"default": 1, "blog": 1}
    assert ada.posts.all().filter(title="a2").count() == 0
    assert queryset._result_cache is None
    assert queryset._hints == {}


def test_to_an_attribute(users, statements):
    """to_attr takes plain lists."""
    with statements() as counted:
        ada, _bob, cy = fetched(Prefetch("posts", to_attr="written"))
        assert [post.title for post in ada.written] == ["a1", "a2"]
        assert cy.written == []
        assert ada.written[0].author is ada
    assert counted == {"default": 1, "blog": 1}
    assert not hasattr(ada, "_prefetched_objects_cache")


def test_a_slice_for_each_instance(users):
    """A sliced queryset gives every instance its own slice, as in Django."""
    people = fetched(Prefetch("posts", Post.objects.order_by("-title")[:1], to_attr="last"))
    assert [[post.title for post in user.last] for user in people] == [["a2"], ["b1"], []]


def test_equal_instances_share_their_rows(users):
    """The same row twice in a list: both are filled."""
    twice = [User.objects.get(username="ada"), User.objects.get(username="ada")]
    prefetch_cross_db(twice, "posts")
    assert [[post.title for post in user.posts.all()] for user in twice] == [["a1", "a2"]] * 2


def test_an_unsaved_instance_is_refused_as_by_its_manager(users):
    """Without a key there are no related rows to speak of."""
    with pytest.raises(
        ValueError, match="instance needs to have a primary key value before this relationship"
    ):
        prefetch_cross_db([users[0], User(username="new")], "posts")


def test_chunks(users, statements):
    """As many statements as chunks of instances."""
    people = list(User.objects.order_by("id"))
    with statements() as counted:
        prefetch_cross_db(people, "posts", chunk_size=2)
    assert counted == {"blog": 2}
    assert [len(user.posts.all()) for user in people] == [2, 1, 0]


def test_a_manager_with_a_queryset_of_its_own_is_asked_each_time(users, monkeypatch):
    """A default manager may look at the instance: then each one's is asked."""

    class Shouting(Manager):
        def get_queryset(self):
            return super().get_queryset().exclude(title="a2")

    manager = Shouting()
    manager.model = Post
    manager.name = "objects"
    monkeypatch.setitem(Post._meta.__dict__, "default_manager", manager)
    descriptor = User.__dict__["posts"]
    # In its dictionary: setattr would look at the attribute, and so cache this very manager.
    monkeypatch.setitem(
        descriptor.__dict__,
        "related_manager_cls",
        type(descriptor).related_manager_cls.func(descriptor),
    )
    ada, *_ = fetched("posts")
    assert [post.title for post in ada.posts.all()] == ["a1"]
    assert [post.title for post in ada.posts.filter(title__startswith="a")] == ["a1"]


def test_many_to_many_inside_one_database(users, statements):
    """Django's own step, both ways, one statement each."""
    red, blue = Tag.objects.create(name="red"), Tag.objects.create(name="blue")
    Post.objects.get(title="a1").tags.add(red, blue)
    Post.objects.get(title="b1").tags.add(red)
    with statements() as counted:
        ada, *_ = fetched("posts__tags__posts__author")
    assert counted == {"default": 2, "blog": 3}
    with statements() as counted:
        found = {
            (tag.name, post.title, post.author.username)
            for tag in ada.posts.all()[0].tags.all()
            for post in tag.posts.all()
        }
    assert not counted
    assert found == {("red", "a1", "ada"), ("red", "b1", "bob"), ("blue", "a1", "ada")}


def test_many_to_many_in_chunks(users, statements):
    """Chunks count for Django's step as well, in instances."""
    tag = Tag.objects.create(name="red")
    tag.posts.set(Post.objects.all())
    with statements() as counted:
        posts = prefetch_cross_db(list(Post.objects.all()), "tags", chunk_size=2)
    assert counted == {"blog": 3}
    assert [list(post.tags.all()) for post in posts] == [[tag]] * 3


def test_many_to_many_using(users, statements):
    """using= names the database of a many-to-many step too, where it may be read there."""
    tag = Tag.objects.create(name="red")
    tag.posts.set(Post.objects.all())
    (first, *_) = prefetch_cross_db(list(Post.objects.all()), "tags", using="blog")
    assert first._prefetched_objects_cache["tags"]._db == "blog"
    (first, *_) = prefetch_cross_db(list(Post.objects.all()), "tags", using="default")
    assert first._prefetched_objects_cache["tags"]._db in (None, "blog")


def test_a_path_of_three_databases(users, statements):
    """users → posts → reviews → authors: a statement for each step where its rows live."""
    post = Post.objects.get(title="b1")
    Review.objects.create(post=post, author=users[2])
    Review.objects.create(post=post, author=users[0])
    with statements() as counted:
        _ada, bob, _cy = fetched("posts__reviews__author")
    assert counted == {"default": 2, "blog": 1, "shop": 1}
    with statements() as counted:
        names = [r.author.username for p in bob.posts.all() for r in p.reviews.all()]
    assert not counted
    assert sorted(names) == ["ada", "cy"]


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_instances_from_several_databases(users, settings, statements):
    """The same key in two databases is two rows; each instance gets those beside it."""
    settings.DATABASE_ROUTERS = [f"{__name__}.Sticky"]
    with connections["shop"].schema_editor() as editor:
        for model in (Tag, Post, Comment):
            editor.create_model(model)
    try:
        here = Post.objects.using("blog").get(title="a1")
        there = Post(pk=here.pk, author_id=users[1].pk, title="elsewhere")
        there.save(using="shop", force_insert=True)
        for alias, content in (("blog", "here"), ("shop", "there")):
            comment = Comment(post_id=here.pk, author_id=users[0].pk, content=content)
            comment.save(using=alias)
        both = [
            Post.objects.using("shop").get(pk=here.pk),
            Post.objects.using("blog").get(pk=here.pk),
        ]
        with statements() as counted:
            prefetch_cross_db(both, "comments", "author")
        assert counted == {"blog": 1, "shop": 1, "default": 1}
        with statements() as counted:
            assert [[c.content for c in post.comments.all()] for post in both] == [
                ["there"],
                ["here"],
            ]
            assert [post.author.username for post in both] == ["bob", "ada"]
        assert not counted
        assert [c.content for c in both[0].comments.filter(content__gt="")] == ["there"]
        assert [c.content for c in both[1].comments.filter(content__gt="")] == ["here"]
        (named,) = list(Post.objects.using("blog").filter(pk=here.pk))
        with statements() as counted:
            prefetch_cross_db([named], "comments__author", using="shop")
        # Comments may live there, users may not.
        assert counted == {"shop": 1, "default": 1}
        assert [c.content for c in named.comments.all()] == ["there"]
        (named,) = list(Post.objects.using("blog").filter(pk=here.pk))
        own = Prefetch("comments", Comment.objects.using("blog"))
        prefetch_cross_db([named], own, using="shop")
        assert [c.content for c in named.comments.all()] == ["here"]
    finally:
        with connections["shop"].schema_editor() as editor:
            for model in (Comment, Post, Tag):
                editor.delete_model(model)


class Sticky:
    """Rows of ``blog`` may live in two databases, and related ones are found beside them."""

    def db_for_read(self, model, **hints):
        return None if model._meta.app_label == "blog" else "default"

    db_for_write = db_for_read

    def allow_relation(self, obj1, obj2, **hints):
        return True

    def allow_migrate(self, db, app_label, **hints):
        return db in ("blog", "shop") if app_label == "blog" else db == "default"
