"""Queries that span databases beside django-cachalot: never an answer of before a write.

cachalot knows the tables of one alias. What is read of others is not among those whose
writes make it forget, so such a result must not be kept.
"""

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models import Count, Exists, F, OuterRef

from sample_project.blog.models import Comment, Post
from sample_project.counting import counted_queries
from sample_project.shop.models import Profile

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
}


@pytest.mark.parametrize("name", QUERIES)
def test_after_a_write_of_the_other_database(ada, post, cached, name):
    """The author is renamed, or gone: by save(), update(), delete()."""
    ask = QUERIES[name]
    answers = [repr(ask()), repr(ask())]

    def after():
        answers.append(repr(ask()))
        assert answers[-1] == repr(fresh(ask))

    after()
    User.objects.filter(pk=ada.pk).update(username="bob")
    after()
    ada.refresh_from_db()
    ada.username = "ada"
    ada.save()
    after()
    User.objects.create(username="ada too")
    Post.objects.create(title="Second", author=ada)
    Comment.objects.create(post=post, author=ada, content="Yes.")
    after()
    ada.delete()
    after()
    assert not Post.objects.exists()
    # Something of it changed each answer.
    assert len(set(answers)) > 1


def fresh(ask):
    """Return what the databases answer, whatever is cached."""
    from cachalot.api import cachalot_disabled

    with cachalot_disabled(all_queries=True):
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
