"""Querysets that prefetch when they are evaluated, and stay querysets until then."""

import copy
import pickle

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Count, Prefetch, Q
from django.db.models.query import ModelIterable

from tests.apps.blog.models import Comment, Post
from tests.apps.shop.models import Profile
from xdbrel import aprefetch_cross_db, prefetch_cross_db

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def posts():
    """Five posts by two authors, lazily with their authors."""
    authors = [User.objects.create(username=name) for name in ("ada", "bob")]
    for number in range(5):
        Post.objects.create(title=f"t{number}", author=authors[number % 2])
    return prefetch_cross_db(Post.objects.all(), "author")


def is_filled(instances):
    return all("author" in instance._state.fields_cache for instance in instances)


def test_nothing_is_read_until_evaluation(posts, statements):
    """Making and refining the queryset costs nothing; evaluation two statements, once."""
    with statements() as counted:
        refined = prefetch_cross_db(Post.objects.all(), "author").filter(title__gt="t0")
        refined = refined.exclude(title="t2").order_by("-title")[:2]
    assert not counted
    with statements() as counted:
        assert [(p.title, p.author.username) for p in refined] == [("t4", "ada"), ("t3", "bob")]
        assert len(refined) == 2
        assert refined[0].title == "t4"
    assert counted == {"blog": 1, "default": 1}


def test_the_given_queryset_is_left_alone(posts, statements):
    """Even one that was evaluated: what comes back is another."""
    given = Post.objects.all()
    list(given)
    lazy = prefetch_cross_db(given, "author")
    assert lazy is not given
    assert not is_filled(given)
    assert is_filled(lazy)
    assert type(lazy) is type(given)


def test_ways_to_evaluate(posts):
    """Whatever gives instances gives them filled."""
    assert is_filled(list(posts))
    assert is_filled([posts[1], posts.first(), posts.last(), posts.get(title="t2")])
    assert is_filled([posts.latest("title"), *posts[1:3], *posts[0:4:2]])
    assert is_filled(posts.in_bulk().values())
    assert is_filled(posts.all())
    assert is_filled(posts.filter(title="t0") | posts.filter(title="t1"))
    assert is_filled(posts.using("blog"))
    unordered = posts.order_by()
    assert is_filled(unordered.filter(title="t0").union(unordered.filter(title="t1")))
    assert is_filled(posts.annotate(n=Count("comments")))
    assert is_filled(posts.only("title"))
    assert is_filled(copy.deepcopy(posts))


def test_ways_that_give_no_instances(posts, statements):
    """Counting, values and writing read no related rows."""
    with statements() as counted:
        assert posts.count() == 5
        assert posts.exists()
        assert posts.values("title")[0] == {"title": "t0"}
        assert posts.values_list("title", flat=True).first() == "t0"
        assert posts.aggregate(n=Count("pk")) == {"n": 5}
        assert list(Post.objects.filter(pk__in=posts.values("pk")).values_list("pk"))
        assert posts.filter(title="t0").update(title="t00") == 1
    assert counted["default"] == 0


def test_each_evaluation_is_one_of_its_own(posts, statements):
    """The cache of the queryset is Django's: copies read again."""
    with statements() as counted:
        list(posts)
        list(posts)
        list(posts.all())
    assert counted == {"blog": 2, "default": 2}


def test_iterator_prefetches_batch_by_batch(posts, statements):
    """A batch has chunk_size instances; without one, as many as iterator() reads at once."""
    with statements() as counted:
        found = list(posts.iterator(chunk_size=2))
    assert is_filled(found)
    assert counted == {"blog": 1, "default": 3}
    with statements() as counted:
        assert is_filled(list(posts.iterator()))
    assert counted == {"blog": 1, "default": 1}


def test_iterator_reads_no_further_than_it_must(posts, statements):
    """Related rows of a batch are read when the batch is reached."""
    with statements() as counted:
        iterator = posts.iterator(chunk_size=2)
        assert is_filled([next(iterator), next(iterator)])
        assert counted == {"blog": 1, "default": 1}
        next(iterator)
        assert counted["default"] == 2
        iterator.close()


def test_iterator_where_the_server_keeps_no_cursor(posts, statements, monkeypatch):
    """DISABLE_SERVER_SIDE_CURSORS changes how rows come, not how they are batched."""
    monkeypatch.setitem(connections["blog"].settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    with statements() as counted:
        assert is_filled(list(posts.iterator(chunk_size=2)))
    assert counted == {"blog": 1, "default": 3}


def test_pickling_the_results(posts, statements):
    """A pickled queryset comes back with its instances, and still prefetches."""
    thawed = pickle.loads(pickle.dumps(posts))
    with statements() as counted:
        assert is_filled(thawed)
    assert not counted
    with statements() as counted:
        assert is_filled(thawed.filter(title="t1"))
    assert counted == {"blog": 1, "default": 1}


def test_pickling_with_prefetch_objects(posts):
    """Lookups with querysets of their own survive as Django's do."""
    lazy = prefetch_cross_db(
        Post.objects.all(), Prefetch("author", User.objects.filter(username="ada"))
    )
    thawed = pickle.loads(pickle.dumps(lazy))
    assert thawed.first()._state.fields_cache["author"].username == "ada"


def test_pickling_the_query_alone(posts):
    """The usual way to store a query: it is a plain one."""
    query = pickle.loads(pickle.dumps(posts.filter(title="t1").query))
    again = Post.objects.all()
    again.query = query
    assert [post.title for post in again] == ["t1"]


def test_beside_djangos_own_prefetching(posts, statements):
    """prefetch_related() before and after it does its part as well."""
    both = prefetch_cross_db(Post.objects.prefetch_related("tags"), "author").prefetch_related(
        "comments"
    )
    with statements() as counted:
        found = list(both)
        assert [list(post.tags.all()) + list(post.comments.all()) for post in found] == [[]] * 5
        assert is_filled(found)
    assert counted == {"blog": 3, "default": 1}


def test_select_related_objects_are_not_fetched_again(posts, statements):
    """What the query itself brought counts as fetched."""
    Comment.objects.create(post=posts[0], author=posts[0].author)
    lazy = prefetch_cross_db(Comment.objects.select_related("post"), "post__author", "author")
    with statements() as counted:
        (comment,) = lazy
        assert comment.post.author == comment.author
    assert counted == {"blog": 1, "default": 2}


def test_calls_add_up(posts, statements):
    """Lookups given later join the earlier ones, and share their statements."""
    Post.objects.update(editor=User.objects.get(username="bob"))
    lazy = prefetch_cross_db(prefetch_cross_db(posts, "editor"), "author__profile")
    with statements() as counted:
        list(lazy)
    assert counted == {"blog": 1, "default": 1, "shop": 1}
    again = prefetch_cross_db(lazy, "comments", chunk_size=2)
    with statements() as counted:
        list(again)
    assert counted == {"blog": 1 + 3, "default": 1, "shop": 1}


def test_no_lookups_no_difference(posts):
    """A queryset without lookups is a plain copy."""
    assert prefetch_cross_db(Post.objects.all())._iterable_class is ModelIterable


def test_managers_are_taken(posts, statements):
    """A manager, and a related one, stands for its queryset."""
    assert is_filled(prefetch_cross_db(Post.objects, "author"))
    ada = User.objects.get(username="ada")
    with statements() as counted:
        found = list(prefetch_cross_db(ada.posts, "comments"))
        assert [post.author for post in found] == [ada] * 3
    assert counted == {"blog": 2}


def test_values_are_refused(posts):
    """There are no instances to fill."""
    for queryset in (Post.objects.values("id"), Post.objects.values_list("id")):
        with pytest.raises(
            TypeError,
            match=r"Cannot call prefetch_cross_db\(\) after .values\(\) or .values_list\(\)",
        ):
            prefetch_cross_db(queryset, "author")


def test_django_judges_the_queryset(posts):
    """What prefetch_related() refuses on a queryset is refused here, at once."""
    union = Post.objects.filter(title="t0").union(Post.objects.filter(title="t1"))
    with pytest.raises(Exception, match=r"prefetch_related\(\) after union\(\)"):
        prefetch_cross_db(union, "author")


def test_errors_of_lookups_come_with_evaluation(posts):
    """As with prefetch_related(), where the names are looked at then."""
    lazy = prefetch_cross_db(Post.objects.all(), "nothing")
    with pytest.raises(AttributeError, match="Cannot find 'nothing' on Post object"):
        list(lazy)


def test_raw_querysets_are_evaluated(posts, statements):
    """A raw queryset is an iterable of instances like any other."""
    found = prefetch_cross_db(Post.objects.raw("SELECT * FROM blog_post"), "author")
    assert isinstance(found, list)
    assert is_filled(found)


def test_filters_over_relations(posts):
    """Conditions and annotations of the query stay what they were."""
    found = posts.filter(Q(title="t1") | Q(title="t3")).annotate(n=Count("comments"))
    assert [(post.title, post.n, post.author.username) for post in found] == [
        ("t1", 0, "bob"),
        ("t3", 0, "bob"),
    ]


def test_asynchronous_lists_and_querysets(posts):
    """A list is filled and returned; a queryset comes back lazy."""

    async def run():
        lazy = await aprefetch_cross_db(Post.objects.all(), "author")
        assert lazy._result_cache is None
        assert is_filled([post async for post in lazy])
        assert is_filled([post async for post in lazy.aiterator(chunk_size=2)])
        assert is_filled([await lazy.aget(title="t1")])
        instances = [post async for post in Post.objects.all()]
        assert await aprefetch_cross_db(instances, "author") is instances
        assert is_filled(instances)
        streamed = await aprefetch_cross_db(Post.objects.all().aiterator(), "author")
        assert isinstance(streamed, list)
        assert is_filled(streamed)
        with pytest.raises(AttributeError, match="Cannot find 'nothing'"):
            await aprefetch_cross_db(instances, "nothing")

    async_to_sync(run)()


def test_asynchronous_options(posts):
    """Options are passed on."""

    async def run():
        users = [user async for user in User.objects.order_by("id")]
        await aprefetch_cross_db(users, "posts", "profile", chunk_size=1, using="default")
        return [[post.title for post in user.posts.all()] for user in users]

    Profile.objects.create(user=User.objects.first())
    assert async_to_sync(run)() == [["t0", "t2", "t4"], ["t1", "t3"]]
