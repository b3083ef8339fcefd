"""xdbrel.relations: the registry of relations."""

import functools

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.test.utils import isolate_apps

from tests.apps.blog.models import Article, Comment, Essay, EssayProxy, Post, Tag
from tests.apps.people.models import Member, Person, PersonProxy
from tests.apps.shop.models import Order
from xdbrel import CrossDBForeignKey, relations
from xdbrel.exceptions import HomeError, UnknownRelation
from xdbrel.relations import Relation


def test_record():
    """A relation knows its ends, their homes and its policy."""
    relation = relations.get("blog.Post.author")
    assert relation.handle == str(relation) == "blog.Post.author"
    assert (relation.source, relation.target) == (Post, User)
    assert relation.target_field is User._meta.pk
    assert (relation.source_home, relation.target_home) == ("blog", "default")
    assert relation.crosses is True
    assert relation.policy == "CASCADE"


def test_same_home_does_not_cross(settings):
    """A relation inside one database, or between two names of it, does not cross."""
    assert relations.get("blog.Branch.parent").crosses is False
    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"blog": "default"}}
    assert relations.get("blog.Post.author").crosses is False


def test_all_relations():
    """Every relation once, sorted: inherited ones by the model that declares them."""
    handles = [relation.handle for relation in relations.all_relations()]
    assert handles == sorted(set(handles))
    assert {"blog.Post.author", "people.Bookmark.post", "blog.Article.writer"} <= set(handles)
    # Its key is in its parent's table; a proxy has no table; a plain relation is none.
    assert not {"blog.Essay.writer", "blog.EssayProxy.writer", "blog.Comment.post"} & set(handles)


@pytest.mark.parametrize("handle", ["blog.post.author", "blog.POST.author", "blog.Post.author"])
def test_get_ignores_case(handle):
    """A handle is found whatever the case of its letters."""
    assert relations.get(handle).handle == "blog.Post.author"


def test_get_unknown():
    """An unknown handle is an error that names the nearest ones."""
    with pytest.raises(UnknownRelation) as caught:
        relations.get("blog.Post.auther")
    assert str(caught.value) == (
        "There is no cross-database relation 'blog.Post.auther'. Did you mean "
        f'{" or ".join(caught.value.close)}? "manage.py xdbrel_relations" lists them.'
    )
    assert caught.value.close[0] == "blog.Post.author"
    assert caught.value.handle == "blog.Post.auther"


def test_get_unknown_without_neighbours():
    """Where nothing is near, nothing is suggested."""
    with pytest.raises(
        UnknownRelation,
        match=r'^There is no cross-database relation \'x\'\. "manage.py xdbrel_relations" lists',
    ):
        relations.get("x")


@isolate_apps("tests.apps.blog")
def test_policies():
    """A policy is known by the name that it is written with."""

    def keep(collector, field, sub_objs, using):
        """A policy of the project's own."""

    class Nameless:
        def __call__(self, collector, field, sub_objs, using):
            """One without a name."""

    given = {
        models.CASCADE: "CASCADE",
        models.PROTECT: "PROTECT",
        models.RESTRICT: "RESTRICT",
        models.SET_NULL: "SET_NULL",
        models.SET_DEFAULT: "SET_DEFAULT",
        models.DO_NOTHING: "DO_NOTHING",
        models.SET(1): "SET",
        keep: "keep",
        Nameless(): "Nameless",
        functools.partial(keep): "partial",
    }
    for number, (policy, name) in enumerate(given.items()):
        fields = {
            "author": CrossDBForeignKey(User, on_delete=policy, related_name="+", null=True),
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "blog"}),
        }
        model = type(f"Model{number}", (models.Model,), fields)
        assert Relation(model._meta.get_field("author")).policy == name


def test_home_error(settings):
    """A home that is not known is an error when it is asked for, not before."""

    class Nowhere:
        def allow_migrate(self, db, app_label, **hints):
            return False

    settings.DATABASE_ROUTERS = [Nowhere()]
    relation = relations.get("blog.Post.author")
    with pytest.raises(HomeError, match=r"^The home of blog\.Post is not known"):
        relation.source_home  # noqa: B018


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Post, User, True),
        (User, Post, True),
        (Order, User, True),
        (Order, Post, False),
        (Comment, Post, False),
        (Tag, Post, False),
        # Declared to Person, inherited by Essay, seen through proxies at either end.
        (Article, Person, True),
        (Essay, Person, True),
        (EssayProxy, PersonProxy, True),
        # A Member is a Person, too.
        (Article, Member, True),
        (Member, EssayProxy, True),
        (Essay, User, False),
    ],
)
def test_between(first, second, expected):
    """Whether a relation leads between two models, parents and proxies included."""
    assert relations.between(first, second) is expected
