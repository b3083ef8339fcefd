"""The manager at the reverse side: what it writes, where, and what it costs."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connections, models, transaction

from tests.apps.blog.models import Article, Branch, Essay, Letter, Post, Strict, Visit
from tests.apps.people.models import Badge, Person
from tests.apps.shop.models import Review
from xdbrel.exceptions import MissingTarget

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def user():
    return User.objects.create(username="ada")


@pytest.fixture
def posts(user):
    return [Post.objects.create(title=title, author=user) for title in "abc"]


def test_everything_happens_in_the_sources_home(user, django_assert_num_queries):
    with (
        django_assert_num_queries(0, connection=connections["default"]),
        django_assert_num_queries(4, connection=connections["blog"]),
    ):
        created = user.posts.create(title="x")
        assert user.posts.count() == 1
        assert user.posts.filter(title="x").exists()
        assert user.posts.get() == created
    assert created._state.db == "blog"


def test_rows_know_the_object_they_came_from(user, posts, django_assert_num_queries):
    with django_assert_num_queries(0, connection=connections["default"]):
        assert all(post.author is user for post in user.posts.all())


def test_get_or_create_and_update_or_create(user):
    post, created = user.posts.get_or_create(title="x")
    assert created
    assert user.posts.get_or_create(title="x") == (post, False)
    again, created = user.posts.update_or_create(title="x", defaults={"title": "y"})
    assert (again.pk, again.title, created) == (post.pk, "y", False)
    other, created = user.posts.update_or_create(title="z")
    assert created
    assert other.author is user


@pytest.mark.parametrize("bulk", [True, False])
def test_add_takes_saved_objects_of_others(user, posts, bulk):
    other = User.objects.create(username="bob")
    other.posts.add(*posts, bulk=bulk)
    assert {post.author for post in posts} == {other}
    assert set(other.posts.all()) == set(posts)
    assert not user.posts.exists()


def test_add_refuses_unsaved_objects_in_bulk(user):
    post = Post(title="new")
    with pytest.raises(
        ValueError, match=r"instance isn't saved\. Use bulk=False or save the object first\.$"
    ):
        user.posts.add(post)
    user.posts.add(post, bulk=False)
    assert user.posts.get() == post


def test_add_refuses_other_models(user):
    with pytest.raises(TypeError, match=r"^'Post' instance expected, got <User: ada>$"):
        user.posts.add(user)


@pytest.mark.parametrize("bulk", [True, False])
def test_remove_and_clear_empty_the_key(user, posts, bulk):
    user.edited_posts.add(*posts)
    user.edited_posts.remove(posts[0], bulk=bulk)
    assert set(user.edited_posts.all()) == set(posts[1:])
    with pytest.raises(User.DoesNotExist, match="is not related to"):
        user.edited_posts.remove(Post.objects.get(pk=posts[0].pk), bulk=bulk)
    user.edited_posts.clear(bulk=bulk)
    assert not Post.objects.exclude(editor=None).exists()


def test_a_relation_that_must_not_be_empty_offers_no_removal(user):
    assert not hasattr(user.posts, "remove")
    assert not hasattr(user.posts, "clear")


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("clear", [True, False])
def test_set_replaces(user, posts, bulk, clear):
    user.edited_posts.set(posts[:2], bulk=bulk, clear=clear)
    user.edited_posts.set(Post.objects.filter(pk=posts[2].pk), bulk=bulk, clear=clear)
    assert list(user.edited_posts.all()) == [posts[2]]


def test_writes_forget_what_was_prefetched(posts):
    user = User.objects.prefetch_related("posts").get()
    assert len(user.posts.all()) == 3
    user.posts.create(title="d")
    assert len(user.posts.all()) == 4


def test_async_twins(user, posts):
    async def run():
        await user.posts.acreate(title="d")
        assert await user.posts.acount() == 4
        _, created = await user.posts.aget_or_create(title="d")
        assert not created
        post, _ = await user.posts.aupdate_or_create(title="d", defaults={"title": "e"})
        await user.edited_posts.aadd(post)
        assert (await user.edited_posts.aget()).title == "e"
        await user.edited_posts.aset(posts)
        assert {post async for post in user.edited_posts.all()} == set(posts)
        await user.edited_posts.aremove(posts[0])
        await user.edited_posts.aclear()
        assert not await user.edited_posts.aexists()
        read = [post async for post in Post.objects.prefetch_related("author")]
        assert all(post._state.fields_cache["author"] == user for post in read)

    async_to_sync(run)()


def test_a_custom_manager_can_be_chosen(user, posts, monkeypatch):
    class Drafts(models.Manager):
        def get_queryset(self):
            return super().get_queryset().filter(title="b")

    drafts = Drafts()
    drafts.model, drafts.name = Post, "drafts"
    monkeypatch.setattr(Post, "drafts", drafts, raising=False)
    assert list(user.posts(manager="drafts").all()) == [posts[1]]
    created = user.posts(manager="drafts").create(title="b")
    assert created._state.db == "blog"
    assert user.posts(manager="drafts").count() == 2
    assert user.posts(manager="drafts")(manager="objects").count() == 4


def test_the_manager_follows_using(user, posts):
    assert user.posts.using("blog").count() == 3
    assert user.posts.db_manager("blog").count() == 3
    assert user.posts.db_manager("blog").create(title="d")._state.db == "blog"


def test_an_object_without_a_key_has_no_related_ones():
    with pytest.raises(ValueError, match="needs to have a primary key value before"):
        User().posts.all()
    with pytest.raises(ValueError, match=r'needs to have a value for field "number"'):
        badge = Badge(pk=1)
        badge.number = None
        badge.visits.add(Visit())


def test_a_to_field_relation_is_written_by_that_field():
    badge = Badge.objects.create(number=99)
    visit = badge.visits.create()
    assert visit.badge_id == 99
    badge.visits.clear()
    visit.refresh_from_db()
    assert visit.badge_id is None


def test_multi_table_children_are_written_through_their_parents_relation():
    first, second = (Person.objects.create(name=name) for name in "ab")
    essay = Essay.objects.create(writer=first)
    second.blog_article_set.add(essay.article_ptr)
    assert Essay.objects.get().writer == second
    Essay.objects.update(writer=first)
    assert Article.objects.get().writer == first


def test_unique_constraints_hold_for_the_managers_too():
    person = Person.objects.create(name="ada")
    person.letter_set.create(subject="x")
    _, created = person.letter_set.get_or_create(subject="x")
    assert not created
    assert Letter.objects.count() == 1


def test_add_and_set_verify_their_instance():
    """A target that is gone takes no sources, where the relation verifies."""
    person = Person.objects.create(name="ada")
    strict = Strict.objects.create(person=person)
    ghost = Person(pk=person.pk + 1)
    ghost._state.adding, ghost._state.db = False, "default"
    for write in (
        lambda: ghost.strict.add(strict),
        lambda: ghost.strict.set([strict]),
        lambda: ghost.strict.create(),
    ):
        with (
            pytest.raises(
                MissingTarget, match=rf"^blog\.Strict\.person: key {ghost.pk} not found"
            ),
            transaction.atomic(using="blog"),
        ):
            write()
    strict.refresh_from_db()
    assert strict.person == person


def test_relations_of_three_databases_do_not_mix(user, posts):
    """A reverse manager of a target in ``blog`` writes to ``shop``."""
    review = posts[0].reviews.create(author=user)
    assert review._state.db == "shop"
    assert Review.objects.get().post == posts[0]
    assert list(user.reviews.all()) == [review]


def test_self_relations():
    root = Branch.objects.create()
    leaf = root.children.create()
    root.children.remove(leaf)
    assert Branch.objects.get(pk=leaf.pk).parent is None


def test_a_manager_may_not_be_assigned_to(user):
    with pytest.raises(
        TypeError,
        match=r"^Direct assignment to the reverse side of a related set is prohibited\. "
        r"Use posts\.set\(\) instead\.$",
    ):
        user.posts = []
