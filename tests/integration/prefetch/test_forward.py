"""Prefetching what holds one key: many-to-one and one-to-one, both sides of the latter."""

import uuid

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Prefetch
from django.test import override_settings

from tests.apps.blog.models import Comment, Desk, Lenient, Post, Quote, Signature, Visit
from tests.apps.people.models import Badge, Country, Device, Member, Person, Rate
from tests.apps.shop.models import Profile, Review
from xdbrel import prefetch_cross_db

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def ada():
    return User.objects.create(username="ada")


@pytest.fixture
def bob():
    return User.objects.create(username="bob")


def test_a_list_is_filled_and_returned(ada, bob, statements):
    """The very list comes back, with one statement where the targets live."""
    Post.objects.create(author=ada)
    Post.objects.create(author=bob)
    posts = list(Post.objects.all())
    with statements() as counted:
        filled = prefetch_cross_db(posts, "author")
    assert filled is posts
    assert counted == {"default": 1}
    with statements() as counted:
        assert [post.author for post in posts] == [ada, bob]
    assert not counted


def test_any_iterable_is_taken(ada):
    """A generator is read once and comes back as a list."""
    Post.objects.create(author=ada)
    (post,) = prefetch_cross_db((post for post in Post.objects.all()), "author")
    assert "author" in post._state.fields_cache


def test_instances_of_one_target_share_the_object(ada):
    """A row is read once and built once, however many point at it."""
    Post.objects.create(author=ada)
    Post.objects.create(author=ada)
    first, second = prefetch_cross_db(list(Post.objects.all()), "author")
    assert first.author is second.author


def test_relations_to_one_model_share_a_statement(ada, bob, statements):
    """Author and editor are fetched together, and are one object where they are one row."""
    Post.objects.create(author=ada, editor=bob)
    Post.objects.create(author=bob, editor=None)
    posts = list(Post.objects.all())
    with statements() as counted:
        prefetch_cross_db(posts, "author", "editor")
    assert counted == {"default": 1}
    with statements() as counted:
        assert [(post.author, post.editor) for post in posts] == [(ada, bob), (bob, None)]
    assert not counted
    assert posts[0].editor is posts[1].author


def test_steps_of_one_depth_share_a_statement(ada, bob, statements):
    """What author and editor lead to is fetched together as well."""
    post = Post.objects.create(author=ada, editor=bob)
    Profile.objects.create(user=ada, motto="a")
    Profile.objects.create(user=bob, motto="b")
    with statements() as counted:
        (post,) = prefetch_cross_db([Post.objects.get()], "author__profile", "editor__profile")
    assert counted == {"blog": 1, "default": 1, "shop": 1}
    with statements() as counted:
        assert (post.author.profile.motto, post.editor.profile.motto) == ("a", "b")
    assert not counted


def test_relations_to_different_columns_do_not_share():
    """Two relations to one server, but to different models, are two statements' worth."""
    Visit.objects.create(
        country=Country.objects.create(code="PT"),
        device=Device.objects.create(),
        badge=Badge.objects.create(id=7, number=70),
        member=Member.objects.create(name="m", since=2001),
    )
    (visit,) = prefetch_cross_db(list(Visit.objects.all()), "country", "device", "badge", "member")
    assert visit.country.code == "PT"
    assert isinstance(visit.device.pk, uuid.UUID)
    assert (visit.badge.id, visit.badge.number) == (7, 70)
    assert visit.member.since == 2001


def test_keys_that_no_array_carries():
    """Decimal keys go out one by one and match all the same."""
    Quote.objects.create(rate=Rate.objects.create(value="1.50"))
    (quote,) = prefetch_cross_db(list(Quote.objects.all()), "rate", "day")
    assert str(quote._state.fields_cache["rate"].value) == "1.50"
    assert quote._state.fields_cache["day"] is None


def test_null_keys_cost_nothing(statements):
    """Without a key there is nothing to ask for."""
    reviews = [Review.objects.create(), Review.objects.create()]
    with statements() as counted:
        prefetch_cross_db(reviews, "author", "post")
        assert [review.author for review in reviews] == [None, None]
    assert not counted


def test_no_instances_and_no_lookups(ada, statements):
    """Nothing to do is done without a statement."""
    with statements() as counted:
        assert prefetch_cross_db([], "author", "no such thing") == []
        assert prefetch_cross_db([ada]) == [ada]
    assert not counted


def test_a_dangling_key_raises_as_plain_access_does():
    """The error is that of the field, and costs no further statement to find."""
    Post.objects.create(author_id=99)
    with pytest.raises(User.DoesNotExist) as plain:
        _ = Post.objects.get().author
    (post,) = prefetch_cross_db(list(Post.objects.all()), "author")
    with pytest.raises(Post.author.RelatedObjectDoesNotExist) as prefetched:
        _ = post.author
    assert str(prefetched.value) == str(plain.value)
    assert "blog.Post.author: key 99 has no auth.User in database 'default'" in str(
        prefetched.value
    )


def test_a_dangling_key_reads_none_where_the_field_says_so(statements):
    """With dangling="none" there is no error, and no second look either."""
    Lenient.objects.create(author_id=99)
    (lenient,) = prefetch_cross_db(list(Lenient.objects.all()), "author")
    with statements() as counted:
        assert lenient.author is None
    assert not counted


def test_what_was_fetched_before_is_kept(ada, bob, statements):
    """An instance that has its object keeps it; only the others are asked for."""
    Post.objects.create(author=ada)
    Post.objects.create(author=bob)
    first, second = posts = list(Post.objects.all())
    before = first.author
    with statements() as counted:
        prefetch_cross_db(posts, "author")
        assert second.author == bob
    assert first.author is before
    assert counted == {"default": 1}
    with statements() as counted:
        prefetch_cross_db(posts, "author")
    assert not counted


def test_further_steps_go_on_from_what_was_fetched_before(ada, bob, statements):
    """Instances that had their object are followed like the others."""
    Post.objects.create(author=ada)
    Post.objects.create(author=bob)
    for user in (ada, bob):
        Profile.objects.create(user=user)
    posts = list(Post.objects.all())
    assert posts[0].author == ada
    prefetch_cross_db(posts, "author__profile")
    with statements() as counted:
        assert [post.author.profile.user for post in posts] == [ada, bob]
    assert not counted


def test_one_to_one_from_both_sides(statements):
    """Each end knows the other afterwards."""
    ann, ben = Person.objects.create(name="ann"), Person.objects.create(name="ben")
    Signature.objects.create(person=ann, text="A.")
    with statements() as counted:
        (signature,) = prefetch_cross_db(list(Signature.objects.all()), "person")
        assert signature.person == ann
        assert signature.person.signature is signature
    assert counted == {"blog": 1, "default": 1}
    with statements() as counted:
        ann, ben = prefetch_cross_db(list(Person.objects.order_by("name")), "signature")
        assert ann.signature.text == "A."
        assert ann.signature.person is ann
        with pytest.raises(
            Person.signature.RelatedObjectDoesNotExist, match="Person has no signature"
        ):
            _ = ben.signature
    assert counted == {"default": 1, "blog": 1}


def test_an_empty_one_to_one_and_a_dangling_one():
    """None for no key, and for a key without row where the field says so."""
    Desk.objects.create(owner=None, lender_id=98)
    (desk,) = prefetch_cross_db(list(Desk.objects.all()), "owner", "lender")
    assert desk.owner is None
    assert desk.lender is None


def test_a_child_model_is_followed_by_its_parents_key():
    """A relation to the parent, read backwards from its multi-table child."""
    member = Member.objects.create(name="m")
    Signature.objects.create(person=member.person_ptr, text="M.")
    (member,) = prefetch_cross_db(list(Member.objects.all()), "signature")
    assert member._state.fields_cache["signature"].text == "M."


def test_prefetch_with_a_queryset(ada, bob, statements):
    """Rows outside the queryset count as absent; its own hints are left alone."""
    Post.objects.create(author=ada, editor=bob)
    Post.objects.create(author=bob)
    queryset = User.objects.filter(username="ada")
    with statements() as counted:
        first, second = prefetch_cross_db(
            list(Post.objects.all()), Prefetch("author", queryset), "editor"
        )
    assert counted == {"blog": 1, "default": 2}
    assert first.author == ada
    assert first.editor == bob
    assert second._state.fields_cache["author"] is None
    assert queryset._hints == {}
    assert queryset._result_cache is None


def test_prefetch_to_an_attribute(ada):
    """to_attr takes the object, or None, and leaves the relation itself alone."""
    Post.objects.create(author=ada)
    (post,) = prefetch_cross_db(
        list(Post.objects.all()), Prefetch("author", to_attr="writer"), Prefetch("editor")
    )
    assert post.writer == ada
    assert "author" not in post._state.fields_cache
    (post,) = prefetch_cross_db([post], Prefetch("author", User.objects.none(), to_attr="nobody"))
    assert post.nobody is None


def test_an_attribute_that_is_set_is_kept(ada, statements):
    """to_attr counts as fetched where the instance has the attribute."""
    Post.objects.create(author=ada)
    post = Post.objects.get()
    post.writer = "somebody"
    with statements() as counted:
        prefetch_cross_db([post], Prefetch("author", to_attr="writer"))
    assert not counted
    assert post.writer == "somebody"


def test_deferred_fields_stay_deferred(ada):
    """A queryset with only() gives instances that load the rest when it is asked for."""
    Post.objects.create(author=ada)
    (post,) = prefetch_cross_db(
        list(Post.objects.all()), Prefetch("author", User.objects.only("username"))
    )
    assert post.author.get_deferred_fields() >= {"email", "password"}
    assert post.author.email == ""


def test_keys_go_out_in_chunks(statements):
    """chunk_size is the most keys of one statement; equal keys count once."""
    users = User.objects.bulk_create(User(username=f"u{n}") for n in range(7))
    Post.objects.bulk_create(Post(author=user) for user in users * 2)
    posts = list(Post.objects.all())
    with statements() as counted:
        prefetch_cross_db(posts, "author", chunk_size=3)
    assert counted == {"default": 3}
    assert [post.author for post in posts] == users * 2
    with override_settings(XDBREL={"HOMES": {"blog": "blog", "shop": "shop"}, "CHUNK_SIZE": 2}):
        posts = list(Post.objects.all())
        with statements() as counted:
            prefetch_cross_db(posts, "author")
        assert counted == {"default": 4}


@pytest.mark.parametrize("size", [0, -1])
def test_a_chunk_has_at_least_one_key(size):
    """A size that cannot be is refused at once."""
    with pytest.raises(ValueError, match=f"chunk_size must be at least 1, not {size}."):
        prefetch_cross_db([], "author", chunk_size=size)


def test_plain_foreign_keys_are_followed_too(ada, statements):
    """Models without any field of xdbrel's are prefetched by the same path."""
    post = Post.objects.create(author=ada)
    Comment.objects.create(post=post, author=ada)
    comments = list(Comment.objects.all())
    with statements() as counted:
        prefetch_cross_db(comments, "post")
        assert comments[0].post == post
    assert counted == {"blog": 1}


def test_a_key_given_as_text_is_left_for_plain_access(ada):
    """An unsaved instance may hold "1" where the database says 1: not a dangling key."""
    post = Post(author_id=str(ada.pk))
    prefetch_cross_db([post], "author")
    assert post.author == ada


def test_instances_of_several_models_in_one_list(ada, statements):
    """Each model's own relation of that name is followed, in one statement."""
    post = Post.objects.create(author=ada)
    comment = Comment.objects.create(post=post, author=ada)
    mixed = [Post.objects.get(), Comment.objects.get()]
    with statements() as counted:
        prefetch_cross_db(mixed, "author")
        assert mixed[0].author is mixed[1].author
    assert counted == {"default": 1}
    assert mixed == [post, comment]


def test_a_single_instance_is_refused(ada):
    """The remedy is in the message."""
    with pytest.raises(
        TypeError,
        match=r"takes a queryset or an iterable of instances, not a single User. "
        r"Pass a list: \[instance\].",
    ):
        prefetch_cross_db(ada, "posts")


def test_using_an_unknown_alias_is_an_error_at_once():
    """Also for a queryset that is not evaluated yet."""
    with pytest.raises(connections.exception_class, match="nowhere"):
        prefetch_cross_db(Post.objects.all(), "author", using="nowhere")
