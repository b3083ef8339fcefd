"""Forward and reverse access, assignment, copies and pickles of related objects."""

import copy
import datetime
import decimal
import pickle
import uuid

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import F

from tests.apps.blog.models import (
    Article,
    Branch,
    Desk,
    Essay,
    EssayProxy,
    Letter,
    Post,
    Quote,
    Signature,
    Visit,
)
from tests.apps.people.models import (
    Badge,
    Bookmark,
    Country,
    Cover,
    Day,
    Device,
    Member,
    Person,
    PersonProxy,
    Rate,
)

pytestmark = pytest.mark.django_db(databases="__all__")


def fetched(instance, name):
    """Return what was fetched before; a query would be an error."""
    return instance._state.fields_cache[name]


def make_target(name):
    return {
        "country": lambda: Country.objects.create(code="NZ"),
        "device": lambda: Device.objects.create(id=uuid.UUID(int=7)),
        "badge": lambda: Badge.objects.create(number=41),
        "member": lambda: Member.objects.create(name="ada"),
    }[name]()


@pytest.mark.parametrize("name", ["country", "device", "badge", "member"])
def test_every_type_of_key_leads_there_and_back(name):
    """Strings, UUIDs, a to_field and a multi-table child are reached in their home."""
    target = make_target(name)
    visit = Visit.objects.create(**{name: target})
    visit = Visit.objects.get(pk=visit.pk)
    assert getattr(visit, name) == target
    assert getattr(visit, name)._state.db == "default"
    assert list(target.visits.all()) == [visit]
    assert target.visits.get()._state.db == "blog"
    prefetched = Visit.objects.prefetch_related(name).get()
    assert fetched(prefetched, name) == target


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("rate", lambda: Rate.objects.create(value=decimal.Decimal("1.50"))),
        ("day", lambda: Day.objects.create(date=datetime.date(2024, 2, 29))),
    ],
)
def test_keys_that_no_array_carries(name, target):
    """Decimals and dates go into IN lists and find their targets all the same."""
    target = target()
    quote = Quote.objects.create(**{name: target})
    assert getattr(Quote.objects.get(), name) == target
    assert fetched(Quote.objects.prefetch_related(name).get(), name) == target
    found = type(target).objects.prefetch_related("quote_set").get()
    assert list(found.quote_set.all()) == [quote]


def test_access_costs_one_query_in_the_targets_home(django_assert_num_queries):
    user = User.objects.create(username="ada")
    Post.objects.create(title="x", author=user)
    post = Post.objects.get()
    with (
        django_assert_num_queries(1, connection=connections["default"]),
        django_assert_num_queries(0, connection=connections["blog"]),
    ):
        assert post.author == user
        assert post.author == user


def test_an_empty_relation_reads_none_without_a_query(django_assert_num_queries):
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="x", author=user)
    post = Post.objects.get(pk=post.pk)
    with django_assert_num_queries(0, connection=connections["default"]):
        assert post.editor is None


def test_a_missing_value_raises_as_in_django():
    """No key at all is no dangling key: the error is Django's own."""
    with pytest.raises(User.DoesNotExist, match=r"^Post has no author\.$"):
        _ = Post().author


def test_a_source_in_default_reaches_a_target_elsewhere():
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="x", author=user)
    bookmark = Bookmark.objects.create(post=post)
    cover = Cover.objects.create(post=post)
    assert Bookmark.objects.get().post == post
    assert Bookmark.objects.get().post._state.db == "blog"
    assert Post.objects.get().cover == cover
    assert list(post.bookmarks.all()) == [bookmark]


def test_one_to_one_both_ways(django_assert_num_queries):
    person = Person.objects.create(name="ada")
    signature = Signature.objects.create(person=person, text="A")
    read = Signature.objects.get()
    assert read.person == person
    assert read.person.signature is read
    read = Person.objects.get()
    with django_assert_num_queries(0, connection=connections["default"]):
        assert read.signature == signature
        assert read.signature.person is read


def test_reverse_one_to_one_without_a_row():
    person = Person.objects.create(name="ada")
    with pytest.raises(Signature.DoesNotExist, match=r"^Person has no signature\.$"):
        _ = person.signature
    assert not hasattr(person, "signature")


def test_reverse_one_to_one_assignment():
    person = Person.objects.create(name="ada")
    desk = Desk.objects.create()
    person.desk = desk
    assert desk.owner is person
    desk.save()
    assert Desk.objects.get().owner == person
    person.desk = None
    desk.save()
    assert Desk.objects.get().owner is None
    with pytest.raises(
        ValueError, match=r'^Cannot assign "1": "Person\.desk" must be a "Desk" instance\.$'
    ):
        person.desk = 1


def test_forward_assignment_checks_the_type():
    with pytest.raises(
        ValueError, match=r'^Cannot assign "1": "Post\.author" must be a "User" instance\.$'
    ):
        Post().author = 1


def test_assignment_of_unsaved_objects_places_each_in_its_home():
    """Django would give both the database of whichever was saved first."""
    post, user = Post(title="x"), User(username="ada")
    post.author = user
    assert post._state.db == "blog"
    assert user._state.db == "default"
    with pytest.raises(ValueError, match="unsaved related object 'author'"):
        post.save()
    user.save()
    post.save()
    assert Post.objects.get().author == user


def test_setting_the_key_drops_the_cached_object():
    first, second = (User.objects.create(username=name) for name in "ab")
    post = Post.objects.create(title="x", author=first)
    post.author_id = second.pk
    assert post.author == second


def test_refresh_from_db_drops_the_cached_object():
    first, second = (User.objects.create(username=name) for name in "ab")
    post = Post.objects.create(title="x", author=first)
    Post.objects.update(author=second)
    post.refresh_from_db()
    assert post.author == second
    post.refresh_from_db(fields=["author"])
    assert not Post.author.is_cached(post)


def test_only_and_defer(django_assert_num_queries):
    user = User.objects.create(username="ada")
    Post.objects.create(title="x", author=user)
    post = Post.objects.only("title").get()
    with (
        django_assert_num_queries(1, connection=connections["blog"]),
        django_assert_num_queries(1, connection=connections["default"]),
    ):
        assert post.author == user
    post = Post.objects.defer("author").get()
    assert "author_id" in post.get_deferred_fields()
    assert post.author == user
    deferred = Post.objects.only("title").prefetch_related("author").get()
    assert fetched(deferred, "author") == user


def test_instances_pickle_with_and_without_what_they_fetched():
    user = User.objects.create(username="ada")
    Post.objects.create(title="x", author=user)
    post = Post.objects.get()
    assert pickle.loads(pickle.dumps(post)).author == user
    _ = post.author
    again = pickle.loads(pickle.dumps(post))
    assert fetched(again, "author") == user
    read = User.objects.prefetch_related("posts").get()
    again = pickle.loads(pickle.dumps(read))
    assert [found.author_id for found in again.posts.all()] == [user.pk]


def test_querysets_pickle():
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="x", author=user)
    for queryset in (
        Post.objects.filter(author=user).prefetch_related("author"),
        user.posts.filter(title="x"),
    ):
        lazy = queryset.all()
        lazy.query = pickle.loads(pickle.dumps(queryset.query))
        assert list(lazy) == [post]
        assert list(pickle.loads(pickle.dumps(queryset))) == [post]


def test_a_queryset_with_its_results_pickles_with_a_prefetch():
    user = User.objects.create(username="ada")
    Post.objects.create(title="x", author=user)
    posts = Post.objects.prefetch_related("author")
    assert len(posts) == 1
    again = pickle.loads(pickle.dumps(posts))
    assert fetched(again[0], "author") == user


def test_copies_of_instances():
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="x", author=user)
    shallow, deep = copy.copy(post), copy.deepcopy(post)
    assert shallow.author is user
    assert deep.author == user
    assert deep.author is not user
    shallow.author = None
    assert post.author is user


def test_self_relations_stay_in_one_database(django_assert_num_queries):
    root = Branch.objects.create()
    leaf = Branch.objects.create(parent=root)
    with django_assert_num_queries(0, connection=connections["default"]):
        assert Branch.objects.get(pk=leaf.pk).parent == root
        assert list(root.children.all()) == [leaf]
        assert Branch.objects.filter(parent__parent=None, parent__isnull=False).get() == leaf
        assert Branch.objects.select_related("parent").get(pk=leaf.pk).parent == root


def test_abstract_base_names_and_multi_table_children():
    person = Person.objects.create(name="ada")
    article = Article.objects.create(writer=person)
    essay = Essay.objects.create(writer=person, pages=3)
    assert set(person.blog_article_set.all()) == {article, essay.article_ptr}
    assert not hasattr(person, "blog_essay_set")
    assert Essay.objects.get().writer == person
    assert EssayProxy.objects.prefetch_related("writer").get().writer == person
    assert Article.objects.get(pk=essay.pk).essay.writer == person
    assert Essay.objects.get().article_ptr.writer == person


def test_the_parents_cached_object_is_found_by_the_child(django_assert_num_queries):
    person = Person.objects.create(name="ada")
    Essay.objects.create(writer=person)
    article = Article.objects.prefetch_related("writer").get()
    with django_assert_num_queries(0, connection=connections["default"]):
        assert article.essay.writer == person


def test_a_relation_to_a_proxy_yields_the_proxy():
    person = Person.objects.create(name="ada")
    letter = Letter.objects.create(
        recipient=person, sender=PersonProxy.objects.get(), subject="hello"
    )
    read = Letter.objects.get()
    assert type(read.sender) is PersonProxy
    assert type(Letter.objects.prefetch_related("sender").get().sender) is PersonProxy
    assert list(person.letter_set.all()) == [letter]
    letter.sender = person
    letter.save()


def test_a_hidden_relation_has_no_reverse_accessor():
    hidden = [rel for rel in Person._meta.get_fields(include_hidden=True) if rel.hidden]
    assert "+" in {rel.field.remote_field.related_name for rel in hidden if rel.is_relation}
    assert Letter(sender=PersonProxy()).sender is not None


def test_a_child_target_is_created_from_its_parent():
    """The key of a multi-table child is its parent's; assigning the parent is an error."""
    person = Person.objects.create(name="ada")
    with pytest.raises(ValueError, match=r'"Visit\.member" must be a "Member" instance'):
        Visit(member=person)


def test_filters_by_the_key_need_no_join(django_assert_num_queries):
    first, second = (User.objects.create(username=name) for name in "ab")
    one = Post.objects.create(title="x", author=first, editor=second)
    two = Post.objects.create(title="y", author=second)
    with (
        django_assert_num_queries(12, connection=connections["blog"]),
        django_assert_num_queries(0, connection=connections["default"]),
    ):
        assert Post.objects.get(author=first) == one
        assert Post.objects.get(author=first.pk) == one
        assert Post.objects.get(author_id=first.pk) == one
        assert Post.objects.get(author__pk=first.pk) == one
        assert Post.objects.get(author__id=first.pk) == one
        assert Post.objects.get(author__in=[first]) == one
        assert Post.objects.filter(author__in=[first.pk, second.pk]).count() == 2
        assert Post.objects.get(editor__isnull=True) == two
        assert Post.objects.get(editor=None) == two
        assert Post.objects.exclude(author=first).get() == two
        assert list(Post.objects.order_by("-author_id")) == [two, one]
        assert Post.objects.filter(author=F("editor_id")).count() == 0


def test_values_and_in_bulk_by_the_key():
    user = User.objects.create(username="ada")
    post = Post.objects.create(title="x", author=user)
    assert list(Post.objects.values_list("author", "author_id")) == [(user.pk, user.pk)]
    assert Post.objects.order_by("author_id").values("author__pk").get() == {"author__pk": user.pk}
    desk = Desk.objects.create(owner=Person.objects.create(name="p"))
    assert Desk.objects.in_bulk([desk.owner_id], field_name="owner_id") == {desk.owner_id: desk}
    assert post.author_id == user.pk
