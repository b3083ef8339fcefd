"""xdbrel.atomic: several databases in one block, the targets' side committed first."""

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction

import xdbrel
from tests.apps.blog.models import Post
from xdbrel import relations
from xdbrel.cascade.atomic import commit_order

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture(autouse=True)
def without_the_oracles(monkeypatch):
    """Its models point from every database at every other: no order is right for these."""
    found = [one for one in relations.all_relations() if one.source._meta.app_label != "parted"]
    monkeypatch.setattr(relations, "all_relations", lambda: found)


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["shop", "default"], ["default", "shop"]),
        (["default", "shop"], ["default", "shop"]),
        (["shop"], ["shop"]),
        ([], []),
    ],
)
def test_targets_commit_before_sources(given, ordered):
    assert commit_order(given) == ordered


def test_where_databases_point_at_each_other_the_given_order_decides():
    """Team and Player make a circle of default and blog; shop points at both."""
    assert commit_order(["shop", "blog", "default"]) == ["blog", "default", "shop"]
    assert commit_order(["shop", "default", "blog"]) == ["default", "blog", "shop"]


def test_commits_in_that_order():
    committed = []
    with xdbrel.atomic("shop", "default"):
        for alias in ("shop", "default"):
            transaction.on_commit(lambda alias=alias: committed.append(alias), using=alias)
    assert committed == ["default", "shop"]


def test_without_aliases_every_home_is_opened():
    with xdbrel.atomic():
        assert all(connections[alias].in_atomic_block for alias in ("default", "blog", "shop"))
    assert not any(connections[alias].in_atomic_block for alias in ("default", "blog", "shop"))


def test_an_error_rolls_every_database_back():
    with pytest.raises(ZeroDivisionError), xdbrel.atomic("default", "blog"):
        user = User.objects.create(username="ada")
        Post.objects.create(title="one", author=user)
        raise ZeroDivisionError
    assert not User.objects.exists()
    assert not Post.objects.exists()


def test_durable_is_djangos():
    block = xdbrel.atomic("default", durable=True)
    refused = pytest.raises(RuntimeError, match="durable atomic block cannot be nested")
    with transaction.atomic(using="default"), refused, block:
        pass
