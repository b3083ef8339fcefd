"""Groups that are a block's keys are counted by key, and named."""

import pytest
from django.contrib.auth.models import User
from django.db.models import Count, F, Max, Q, Sum

from tests.apps.blog.models import Comment, Post
from xdbrel.exceptions import QueryTooLarge
from xdbrel.query import limits

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def posts():
    ada, bob, cleo, _ = (User.objects.create(username=n) for n in ("ada", "bob", "cleo", "dan"))
    for number, (author, editor) in enumerate(
        [(ada, bob), (ada, bob), (ada, None), (bob, ada), (cleo, None)]
    ):
        post = Post.objects.create(title=f"t{number}", author=author, editor=editor)
        Comment.objects.create(post=post, author=bob)
    # Counted by its key, and of no name.
    Post.objects.create(title="stray", author_id=10**9)


def strategies(queryset):
    return [step.strategy for step in queryset.explain_cross_db(analyze=True).steps]


BY_NAME = Post.objects.order_by().values("author__username")


@pytest.mark.parametrize(
    ("queryset", "expected"),
    [
        (lambda by: by.annotate(n=Count("pk")), [("ada", 3), ("bob", 1), ("cleo", 1)]),
        (lambda by: by.annotate(n=Count("editor")), [("ada", 2), ("bob", 1), ("cleo", 0)]),
        (lambda by: by.annotate(n=Max("title")), [("ada", "t2"), ("bob", "t3"), ("cleo", "t4")]),
        (lambda by: by.annotate(n=Count("pk") * 2 + 1), [("ada", 7), ("bob", 3), ("cleo", 3)]),
        (
            lambda by: by.annotate(n=Count("pk", filter=Q(title__lt="t2"))),
            [("ada", 2), ("bob", 0), ("cleo", 0)],
        ),
        (lambda by: by.filter(title__gt="t1").annotate(n=Sum("pk") - Sum("pk")),
            [("ada", 0), ("bob", 0), ("cleo", 0)]),
        (lambda by: by.annotate(n=Count("pk")).filter(n__gt=1), [("ada", 3)]),
        (lambda by: by.filter(author__username__gt="ada").annotate(n=Count("pk")),
            [("bob", 1), ("cleo", 1)]),
        (lambda by: by.annotate(n=Count("comments")), [("ada", 3), ("bob", 1), ("cleo", 1)]),
    ],
    ids=["rows", "a column that may be null", "max", "part of a sum", "filtered", "where",
         "having", "of some names", "what hangs here"],
)  # fmt: skip
def test_as_in_one_database(queryset, expected):
    asked = queryset(BY_NAME)
    assert sorted((row["author__username"], row["n"]) for row in asked) == expected
    assert "name" in strategies(asked)


def test_the_order_of_what_is_counted():
    asked = BY_NAME.annotate(n=Count("pk")).order_by("-n", "author_id")
    assert [(row["author__username"], row["n"]) for row in asked] == [
        ("ada", 3),
        ("bob", 1),
        ("cleo", 1),
    ]
    assert strategies(asked) == ["name", "stitch"]


def test_the_key_beside_the_name():
    asked = Post.objects.order_by().values_list("author_id", "author__username")
    ids = {user.username: user.pk for user in User.objects.all()}
    assert set(asked.annotate(n=Count("pk"))) == {
        (ids["ada"], "ada", 3),
        (ids["bob"], "bob", 1),
        (ids["cleo"], "cleo", 1),
    }
    assert "name" in strategies(asked.annotate(n=Count("pk")))


def test_a_relation_that_may_lack_has_a_group_without_name():
    asked = Post.objects.order_by().values_list("editor__username").annotate(n=Count("pk"))
    assert set(asked) == {("bob", 2), ("ada", 1), (None, 3)}


def test_the_first_groups_are_counted_and_named_by_two_statements():
    asked = BY_NAME.annotate(n=Count("pk")).order_by("-n", "author_id")[1:3]
    plan = asked.explain_cross_db(analyze=True)
    assert [row["author__username"] for row in asked] == ["bob", "cleo"]
    counting, naming = plan.statements[-2:]
    assert (counting.alias, naming.alias) == ("blog", "default")
    assert strategies(asked)[-2:] == ["stitch", "stitch"]
    assert "COUNT(*)" in counting.sql


def test_names_that_are_not_unique_are_joined():
    User.objects.update(first_name="x")
    asked = Post.objects.order_by().values("author__first_name").annotate(n=Count("pk"))
    assert [(row["author__first_name"], row["n"]) for row in asked] == [("x", 5)]
    assert "name" not in strategies(asked)


def test_an_order_by_the_name_is_joined():
    asked = BY_NAME.annotate(n=Count("pk")).order_by("-author__username")
    assert [row["author__username"] for row in asked] == ["cleo", "bob", "ada"]


def test_the_names_of_many_groups_are_read_whole(monkeypatch):
    monkeypatch.setattr(limits, "REDUCED", 2)
    monkeypatch.setattr(limits, "FEW", 0)
    asked = BY_NAME.annotate(n=Count("pk"))
    plan = asked.explain_cross_db(analyze=True)
    assert [step.rows for step in plan.steps if step.strategy == "name"] == [4]
    assert "WHERE" not in plan.statements[-1].sql
    assert sorted(row["n"] for row in asked) == [1, 1, 3]


def test_no_more_than_may_travel():
    with pytest.raises(QueryTooLarge):
        list(BY_NAME.annotate(n=Count("pk")).max_shipped_rows(2))


def test_the_plan_reads_nothing_that_is_named():
    plan = BY_NAME.annotate(n=Count("pk")).explain_cross_db()
    assert [step.strategy for step in plan.steps] == ["name"]
    assert [one.sql for one in plan.statements if "auth_user" in one.sql] == []


def test_aliases_and_expressions():
    asked = BY_NAME.annotate(who=F("author__username"), n=Count("pk")).values_list("who", "n")
    assert sorted(asked) == [("ada", 3), ("bob", 1), ("cleo", 1)]


@pytest.mark.parametrize("condition", [Q(), Q(author__username__lt="c")], ids=["all", "some"])
def test_rows_that_are_groups_of_their_own_are_counted_each_for_itself(condition):
    asked = Post.objects.filter(condition).values_list("pk", "title", "author__username")
    page = asked.annotate(n=Count("pk")).order_by("title")[1:3]
    assert [row[1:] for row in page] == [("t1", "ada", 1), ("t2", "ada", 1)]
