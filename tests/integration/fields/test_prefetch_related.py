"""Django's own prefetch_related() over relations that cross databases."""

import pytest
from django.contrib.auth.models import User
from django.db import NotSupportedError, connections
from django.db.models import Count, Prefetch, Value, prefetch_related_objects

from tests.apps.blog.models import Article, Comment, Desk, Essay, Letter, Post, Signature, Visit
from tests.apps.people.models import Badge, Country, Person, PersonProxy
from tests.apps.shop.models import Profile, Review

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def users():
    return [User.objects.create(username=name) for name in ("ada", "bob", "cyd")]


@pytest.fixture
def posts(users):
    return [
        Post.objects.create(title=f"{user.username}{number}", author=user)
        for user in users[:2]
        for number in range(3)
    ]


@pytest.fixture
def queries(django_assert_num_queries):
    """Assert how many queries each database runs: ``queries(blog=1, default=2)``."""
    from contextlib import ExitStack

    def expect(**counts):
        stack = ExitStack()
        for alias in ("default", "blog", "shop"):
            stack.enter_context(
                django_assert_num_queries(counts.get(alias, 0), connection=connections[alias])
            )
        return stack

    return expect


def test_forward(users, posts, queries):
    with queries(blog=1, default=1):
        for post in Post.objects.prefetch_related("author"):
            assert post.title.startswith(post.author.username)
            assert post.author._state.db == "default"


def test_forward_shares_one_object_between_sources(users, posts):
    read = list(Post.objects.prefetch_related("author"))
    assert len({id(post.author) for post in read}) == 2


def test_empty_keys_are_not_asked_for(users, posts, queries):
    with queries(blog=1):
        assert {post.editor for post in Post.objects.prefetch_related("editor")} == {None}


def test_reverse(users, posts, queries):
    with queries(blog=1, default=1):
        found = list(User.objects.prefetch_related("posts").order_by("pk"))
        assert [len(user.posts.all()) for user in found] == [3, 3, 0]
        assert all(post.author is user for user in found for post in user.posts.all())


def test_nested_paths_change_database_at_every_step(users, posts, queries):
    Comment.objects.create(post=posts[0], author=users[2])
    Profile.objects.create(user=users[2], motto="m")
    with queries(default=2, blog=2, shop=1):
        (found, *_) = User.objects.order_by("pk").prefetch_related(
            "posts__comments__author__profile"
        )
        assert found.posts.all()[0].comments.all()[0].author.profile.motto == "m"


def test_one_to_one_both_sides(queries):
    people = [Person.objects.create(name=name) for name in "abc"]
    for person in people[:2]:
        Signature.objects.create(person=person, text=person.name)
    with queries(default=1, blog=1):
        for signature in Signature.objects.prefetch_related("person"):
            assert signature.person.signature is signature
    with queries(default=1, blog=1):
        found = list(Person.objects.order_by("pk").prefetch_related("signature"))
        assert [hasattr(person, "signature") for person in found] == [True, True, False]
        assert found[0].signature.person is found[0]


def test_prefetch_with_a_queryset_and_to_attr(users, posts, queries):
    with queries(default=1, blog=1):
        found = list(
            User.objects.order_by("pk").prefetch_related(
                Prefetch("posts", Post.objects.filter(title__endswith="1"), to_attr="ones")
            )
        )
        assert [[post.title for post in user.ones] for user in found] == [["ada1"], ["bob1"], []]
    with queries(default=1, blog=1):
        found = list(
            Post.objects.prefetch_related(
                Prefetch("author", User.objects.only("username"), to_attr="by")
            )
        )
        assert {post.by.username for post in found} == {"ada", "bob"}


def test_prefetch_with_an_annotated_queryset(users, posts, queries):
    for post in posts:
        Comment.objects.create(post=post, author=users[0])
    with queries(default=1, blog=1):
        found = User.objects.order_by("pk").prefetch_related(
            Prefetch("posts", Post.objects.annotate(n=Count("comments"), k=Value(1)))
        )
        assert [post.n + post.k for post in found[0].posts.all()] == [2, 2, 2]


def test_prefetch_with_select_related_inside_the_targets_home(users, posts, queries):
    Comment.objects.create(post=posts[0], author=users[1])
    with queries(default=1, blog=1):
        found = User.objects.order_by("pk").prefetch_related(
            Prefetch("comments", Comment.objects.select_related("post"))
        )
        assert found[1].comments.all()[0].post == posts[0]


def test_prefetch_with_a_queryset_that_prefetches(users, posts, queries):
    Review.objects.create(post=posts[0], author=users[1])
    with queries(default=2, blog=1, shop=1):
        found = User.objects.order_by("pk").prefetch_related(
            Prefetch("posts", Post.objects.prefetch_related("reviews__author"))
        )
        assert found[0].posts.all()[0].reviews.all()[0].author == users[1]


def test_prefetch_with_using(users, posts, queries):
    with queries(default=1, blog=1):
        (found, *_) = User.objects.order_by("pk").prefetch_related(
            Prefetch("posts", Post.objects.using("blog"))
        )
        assert len(found.posts.all()) == 3
    with queries(default=1, blog=1):
        (found, *_) = Post.objects.prefetch_related(
            Prefetch("author", User.objects.using("default"))
        )
        assert found.author == users[0]


def test_prefetch_with_a_slice_takes_so_many_for_each(users, posts, queries):
    with queries(default=1, blog=1):
        found = list(
            User.objects.order_by("pk").prefetch_related(
                Prefetch("posts", Post.objects.order_by("-title")[:2], to_attr="last"),
            )
        )
        assert [[post.title for post in user.last] for user in found] == [
            ["ada2", "ada1"],
            ["bob2", "bob1"],
            [],
        ]


def test_a_slice_in_its_own_place(users, posts):
    """Without ``to_attr``, the manager gives the rows of the slice."""
    chosen = Prefetch("posts", Post.objects.order_by("-title")[:1])
    for user in User.objects.prefetch_related(chosen):
        every = Post.objects.filter(author=user).order_by("-title")
        assert list(user.posts.all()) == list(every[:1])


def test_a_slice_holds_over_several_chunks(users, posts, settings):
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 1}
    found = User.objects.order_by("pk").prefetch_related(
        Prefetch("posts", Post.objects.order_by("title")[1:2], to_attr="second")
    )
    assert [[post.title for post in user.second] for user in found] == [["ada1"], ["bob1"], []]


def test_a_slice_of_single_objects_is_refused_as_in_django(users, posts):
    for lookup, queryset in (("author", User.objects.all()[:1]),):
        with pytest.raises(
            TypeError, match=r"^Cannot filter a query once a slice has been taken\.$"
        ):
            list(Post.objects.prefetch_related(Prefetch(lookup, queryset)))
    Person.objects.create(name="ada")
    with pytest.raises(TypeError):
        list(Person.objects.prefetch_related(Prefetch("signature", Signature.objects.all()[:1])))


@pytest.mark.parametrize(
    ("lookup", "rows"), [("posts", Post.objects), ("profile", Profile.objects)]
)
def test_a_union_is_refused(users, posts, lookup, rows):
    """No condition on keys can be put to it, and all of it for each chunk would be wrong."""
    with pytest.raises(
        NotSupportedError,
        match=r"^Calling QuerySet\.filter\(\) after union\(\) is not supported\.$",
    ):
        list(User.objects.prefetch_related(Prefetch(lookup, rows.all().union(rows.all()))))


def test_a_queryset_of_a_child_or_proxy_of_the_target():
    person = Person.objects.create(name="ada")
    Article.objects.create(writer=person)
    Essay.objects.create(writer=person)
    found = Article.objects.prefetch_related(Prefetch("writer", PersonProxy.objects.all()))
    assert {type(article.writer) for article in found} == {PersonProxy}
    (essay,) = Essay.objects.prefetch_related("writer")
    assert essay._state.fields_cache["writer"] == person
    found = Person.objects.prefetch_related(
        Prefetch("blog_article_set", Essay.objects.all(), to_attr="essays")
    ).get()
    assert found.essays == [essay]


def test_select_for_update_reads_in_the_home(users, posts):
    (found, *_) = Post.objects.prefetch_related(
        Prefetch("author", User.objects.select_for_update())
    )
    assert found.author == users[0]


def test_what_is_fetched_already_is_not_fetched_again(users, posts, queries):
    read = list(Post.objects.all())
    read[0].author = users[0]
    with queries(default=1):
        prefetch_related_objects(read, "author")
    assert read[0].author is users[0]
    with queries():
        prefetch_related_objects(read, "author")
    found = list(User.objects.prefetch_related("posts"))
    with queries():
        prefetch_related_objects(found, "posts")


def test_half_fetched_lists_ask_for_the_other_half_only(users, posts):
    read = list(Post.objects.all())
    for post in read[:3]:
        post.author = users[0]
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connections["default"]) as context:
        prefetch_related_objects(read, "author")
    assert len(context) == 1
    assert [post.author for post in read] == [users[0]] * 3 + [users[1]] * 3


def test_instances_of_several_databases_in_one_list(users, posts, queries):
    """Some say they come from elsewhere; each finds what is related to it."""
    profiles = [Profile.objects.create(user=user) for user in users]
    mixed = [*Post.objects.all(), *Post.objects.all()]
    for post in mixed[:6]:
        post._state.db = "shop"
    with queries(default=1):
        prefetch_related_objects(mixed, "author")
    assert {post.author for post in mixed} == set(users[:2])
    read = list(User.objects.order_by("pk"))
    read[0]._state.db = "blog"
    with queries(shop=1, blog=1):
        prefetch_related_objects(read, "profile", "posts")
    assert [user.profile for user in read] == profiles


def test_unsaved_instances_can_be_prefetched_for(users):
    fresh = [Post(author_id=user.pk) for user in users]
    prefetch_related_objects(fresh, "author")
    assert [post.author for post in fresh] == users


@pytest.mark.parametrize("name", ["country", "badge"])
def test_reverse_by_other_keys_than_the_primary_key(name):
    target = (
        Country.objects.create(code="NZ") if name == "country" else Badge.objects.create(number=7)
    )
    visit = Visit.objects.create(**{name: target})
    Visit.objects.create()
    found = type(target).objects.prefetch_related("visits").get()
    assert list(found.visits.all()) == [visit]


def test_default_related_names():
    person = Person.objects.create(name="ada")
    letter = Letter.objects.create(recipient=person, subject="x")
    assert list(Person.objects.prefetch_related("letter_set").get().letter_set.all()) == [letter]


def test_many_to_many_inside_one_database_goes_on_working(users, posts):
    tag = posts[0].tags.create(name="t")
    (found, *_) = Post.objects.prefetch_related("tags", "author")
    assert list(found.tags.all()) == [tag]
    read = User.objects.prefetch_related("posts__tags").order_by("pk")
    assert list(read[0].posts.all()[0].tags.all()) == [tag]


def test_iterator_prefetches_each_chunk(users, posts, queries):
    with queries(blog=1, default=3):
        read = list(Post.objects.prefetch_related("author").iterator(chunk_size=2))
    assert all(post._state.fields_cache["author"] for post in read)


def test_unknown_lookups_get_djangos_error(posts):
    with pytest.raises(
        AttributeError,
        match=r"^Cannot find 'nobody' on Post object, 'nobody' is an invalid parameter to "
        r"prefetch_related\(\)$",
    ):
        list(Post.objects.prefetch_related("nobody"))


def test_an_empty_one_to_one(queries):
    Desk.objects.create()
    with queries(blog=1):
        (desk,) = Desk.objects.prefetch_related("owner", "lender")
        assert desk.owner is None
        assert desk.lender is None
