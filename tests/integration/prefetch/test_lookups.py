"""Paths, their continuations, and what is refused."""

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.db import NotSupportedError, connections, models
from django.db.models import Prefetch, prefetch_related_objects
from django.test.utils import isolate_apps

from tests.apps.blog.models import Comment, Post, Tag
from tests.apps.people.models import Country
from tests.apps.shop.models import Profile, Review
from xdbrel import prefetch_cross_db

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def post():
    """Ada's post, which Bob commented on and reviewed."""
    ada, bob = User.objects.create(username="ada"), User.objects.create(username="bob")
    post = Post.objects.create(author=ada, title="p")
    Comment.objects.create(post=post, author=bob, content="c")
    Review.objects.create(post=post, author=bob)
    Profile.objects.create(user=bob, motto="b")
    return post


def users():
    return list(User.objects.order_by("id"))


def test_paths_with_a_common_beginning_take_it_once(post, statements):
    """Each step costs its statement once, whatever goes on from there."""
    with statements() as counted:
        ada, _ = prefetch_cross_db(
            users(), "posts__comments__author__profile", "posts__reviews", "posts"
        )
    assert counted == {"default": 2, "blog": 2, "shop": 2}
    with statements() as counted:
        (found,) = ada.posts.all()
        assert found.comments.all()[0].author.profile.motto == "b"
        assert found.reviews.all()[0].post is found
    assert not counted


def test_a_to_attr_is_continued_by_later_lookups(post, statements):
    """A later lookup goes on from the attribute; several may."""
    with statements() as counted:
        ada, _ = prefetch_cross_db(
            users(),
            Prefetch("posts", Post.objects.filter(title="p"), to_attr="written"),
            "written__reviews__author",
            Prefetch("written__comments", to_attr="answers"),
            "written__answers__author",
        )
    # The authors of reviews and of answers, at one depth, share their statement.
    assert counted == {"default": 2, "blog": 2, "shop": 1}
    with statements() as counted:
        (found,) = ada.written
        assert found.reviews.all()[0].author is found.answers[0].author
    assert not counted


def test_a_to_attr_of_an_earlier_call_is_continued(post, statements):
    """The attribute is there, so nothing but the next step is fetched."""
    people = prefetch_cross_db(users(), Prefetch("posts", to_attr="written"))
    with statements() as counted:
        prefetch_cross_db(people, "written__comments")
    assert counted == {"blog": 1}


def test_a_queryset_deep_in_a_path(post):
    """Steps on the way there are the plain ones."""
    ada, _ = prefetch_cross_db(
        users(), Prefetch("posts__comments", Comment.objects.filter(content="x"))
    )
    assert list(ada.posts.all()[0].comments.all()) == []


def test_a_queryset_brings_its_own_lookups(post, statements):
    """prefetch_related() of a Prefetch queryset is done by the same walk."""
    queryset = Post.objects.prefetch_related("comments", Prefetch("reviews__author"))
    with statements() as counted:
        ada, _ = prefetch_cross_db(users(), Prefetch("posts", queryset), "posts__comments__author")
    assert counted == {"default": 2, "blog": 2, "shop": 1}
    with statements() as counted:
        (found,) = ada.posts.all()
        assert found.comments.all()[0].author.username == "bob"
        assert found.reviews.all()[0].author.username == "bob"
    assert not counted


def test_a_queryset_may_itself_prefetch_across_databases(post, statements):
    """prefetch_cross_db() of a queryset goes into a Prefetch, also into Django's."""
    queryset = prefetch_cross_db(Post.objects.all(), "reviews__author")
    for prefetch in (
        lambda people, *lookups: prefetch_cross_db(people, *lookups),
        lambda people, *lookups: prefetch_related_objects(people, *lookups),
    ):
        people = users()
        prefetch(people, Prefetch("posts", queryset))
        with statements() as counted:
            assert people[0].posts.all()[0].reviews.all()[0].author.username == "bob"
        assert not counted


def test_managers_that_prefetch_each_others_model_come_to_an_end(post, monkeypatch, statements):
    """What is added automatically is not added again on its own way."""
    for model, lookup in ((Comment, "post__comments"), (Post, "comments__post")):
        queryset_class = type(model._default_manager.all())
        original = queryset_class.__init__

        def init(self, *args, _lookup=lookup, _model=model, _original=original, **kwargs):
            _original(self, *args, **kwargs)
            if self.model is _model:
                self._prefetch_related_lookups = (_lookup,)

        monkeypatch.setattr(queryset_class, "__init__", init)
    people = users()
    with statements() as counted:
        prefetch_cross_db(people, "posts")
    assert counted["blog"] <= 5


def test_an_attribute_that_is_no_relation_is_followed(post, monkeypatch, statements):
    """A property in the middle of a path is read, after what its depth fetches."""
    monkeypatch.setattr(Post, "writer", property(lambda self: self.author), raising=False)
    with statements() as counted:
        (found,) = prefetch_cross_db([Post.objects.get()], "author", "writer__posts")
        assert list(found.author.posts.all()) == [post]
    assert counted == {"default": 1, "blog": 2}


@pytest.mark.parametrize(
    ("lookups", "name", "model", "given"),
    [
        (["nothing"], "nothing", "User", "nothing"),
        (["posts__nothing"], "nothing", "Post", "posts__nothing"),
        (["posts", "posts__author__nothing__x"], "nothing", "User", "posts__author__nothing__x"),
        (["written__author", Prefetch("posts", to_attr="written")], "written", "User", None),
    ],
)
def test_a_name_that_is_not_there(post, lookups, name, model, given):
    """Django's AttributeError, with the function that was called."""
    with pytest.raises(AttributeError) as raised:
        prefetch_cross_db(users(), *lookups)
    message = str(raised.value)
    assert message.startswith(f"Cannot find '{name}' on {model} object, '")
    assert message.endswith("' is an invalid parameter to prefetch_cross_db()")
    if given:
        assert f"'{given}' is an invalid" in message


@pytest.mark.parametrize("lookup", ["username", "posts__title", "is_anonymous"])
def test_a_name_that_cannot_be_prefetched(post, lookup):
    """Django's ValueError, with the function that was called."""
    with pytest.raises(ValueError) as raised:
        prefetch_cross_db(users(), lookup)
    assert str(raised.value) == (
        f"'{lookup}' does not resolve to an item that supports prefetching - "
        f"this is an invalid parameter to prefetch_cross_db()."
    )


@pytest.mark.parametrize(
    "lookups",
    [
        ["posts", Prefetch("posts", Post.objects.all())],
        ["posts__comments", Prefetch("posts", Post.objects.all())],
        [Prefetch("posts", Post.objects.all()), Prefetch("posts", Post.objects.all())],
    ],
)
def test_one_name_with_different_querysets(post, lookups):
    """Django's ValueError."""
    with pytest.raises(ValueError) as raised:
        prefetch_cross_db(users(), *lookups)
    assert str(raised.value) == (
        "'posts' lookup was already seen with a different queryset. "
        "You may need to adjust the ordering of your lookups."
    )


def test_a_queryset_before_the_plain_name_is_fine(post):
    """The order that Django takes: the queryset counts for what comes later."""
    ada, _ = prefetch_cross_db(
        users(), Prefetch("posts", Post.objects.filter(title="x")), "posts", "posts__comments"
    )
    assert list(ada.posts.all()) == []


def test_a_to_attr_with_a_fields_name(post):
    """Django's ValueError, before anything is fetched."""
    with pytest.raises(
        ValueError, match=r"to_attr=username conflicts with a field on the User model."
    ):
        prefetch_cross_db(users(), Prefetch("posts", to_attr="username"))


def test_what_is_no_lookup(post):
    """The value is in the message."""
    with pytest.raises(
        TypeError,
        match=r"The lookups of prefetch_cross_db\(\) are names and Prefetch objects, not 7.",
    ):
        prefetch_cross_db(users(), 7)


def test_a_queryset_that_cannot_be_filtered(post):
    """A union as a Prefetch queryset is refused, as Django refuses it."""
    union = Post.objects.filter(title="p").union(Post.objects.filter(title="q"))
    with pytest.raises(NotSupportedError, match=r"filter\(\) after union\(\) is not supported"):
        prefetch_cross_db(users(), Prefetch("posts", union))


def test_the_callers_prefetch_object_can_be_used_again(post):
    """It is not changed, so the next call does the same."""
    prefetch = Prefetch("comments", Comment.objects.all(), to_attr="answers")
    for _ in range(2):
        ada, _ = prefetch_cross_db(users(), Prefetch("posts", Post.objects.all()))
        (found,) = prefetch_cross_db(list(ada.posts.all()), prefetch)
        assert len(found.answers) == 1
    assert (prefetch.prefetch_through, prefetch.prefetch_to) == ("comments", "answers")
    assert prefetch.queryset._result_cache is None


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_generic_relations(post, statements):
    """Generic foreign keys and relations are Django's own step, and paths go on from them."""
    with isolate_apps("tests.apps.people"):

        class Note(models.Model):
            kind = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
            key = models.CharField(max_length=20)
            about = GenericForeignKey("kind", "key")

            class Meta:
                app_label = "people"

        class Topic(models.Model):
            notes = GenericRelation(Note, "key", "kind")

            class Meta:
                app_label = "people"

    ContentType.objects.clear_cache()
    with connections["default"].schema_editor() as editor:
        editor.create_model(Note)
        editor.create_model(Topic)
    try:
        country = Country.objects.create(code="PT")
        ada = User.objects.get(username="ada")
        for obj in (ada, country):
            Note.objects.create(kind=ContentType.objects.get_for_model(obj), key=obj.pk)
        Note.objects.create(kind=ContentType.objects.get_for_model(User), key=99)
        with statements() as counted:
            notes = prefetch_cross_db(list(Note.objects.order_by("id")), "about")
            assert [note.about for note in notes] == [ada, country, None]
        assert counted == {"default": 3}
        notes = list(Note.objects.filter(key=ada.pk))
        with statements() as counted:
            prefetch_cross_db(
                notes, GenericPrefetch("about", [User.objects.only("username")]), "about__posts"
            )
            assert [found.title for found in notes[0].about.posts.all()] == ["p"]
        assert counted == {"blog": 1, "default": 1}
        assert notes[0].about.get_deferred_fields()
        topic = Topic.objects.create()
        topic.notes.create(key="ignored")
        with statements() as counted:
            (topic,) = prefetch_cross_db(list(Topic.objects.all()), "notes")
            assert [note.kind_id for note in topic.notes.all()]
        assert counted == {"default": 2}
    finally:
        with connections["default"].schema_editor() as editor:
            editor.delete_model(Topic)
            editor.delete_model(Note)
        ContentType.objects.clear_cache()


def test_many_to_many_with_a_queryset_of_ones_own(post, statements):
    """Prefetch objects reach Django's step unchanged."""
    tags = [Tag.objects.create(name=name) for name in ("red", "blue")]
    post.tags.set(tags)
    with statements() as counted:
        (found,) = prefetch_cross_db(
            [Post.objects.get()],
            Prefetch("tags", Tag.objects.filter(name="red")),
            Prefetch("tags", to_attr="all_tags"),
            "all_tags__posts__author",
        )
    assert counted == {"blog": 4, "default": 1}
    assert [tag.name for tag in found.tags.all()] == ["red"]
    assert {tag.name for tag in found.all_tags} == {"red", "blue"}
