"""``explain_cross_db()`` and ``max_shipped_rows()``: what is told of a query, and its limit."""

import pytest
from django.db.models import Count

from sample_project.counting import counted_queries
from tests.apps.library.models import Author, Book, Sale
from xdbrel import explain_cross_db, max_shipped_rows
from xdbrel.exceptions import QueryTooLarge

pytestmark = pytest.mark.django_db(databases="__all__")


def strategies(plan):
    return [(step.strategy, step.alias) for step in plan.steps]


def test_a_query_of_one_database(library):
    """Nothing has to come, and nothing is run."""
    with counted_queries() as queries:
        plan = explain_cross_db(Book.objects.filter(pages=100))
    assert queries == {}
    assert strategies(plan) == [("native", "blog")]
    assert not plan.spans
    assert "every table of the query is in 'blog'" in str(plan)


def test_a_query_that_filters(library):
    plan = Book.objects.filter(author__name="Ada").explain_cross_db()
    assert plan.using == "blog"
    assert plan.spans
    assert strategies(plan) == [("push", "default"), ("keys", "default"), ("run", "blog")]
    assert plan.steps[1].rows == 1
    assert "library_book" in plan.steps[-1].sql
    assert "library_author" not in plan.steps[-1].sql
    text = str(plan)
    assert "library.Author along library.Book.author" in text
    assert "rows that fulfil the conditions (1 rows)" in text
    assert {statement.alias for statement in plan.statements} == {"default"}


def test_a_query_that_needs_columns(library):
    plan = Book.objects.order_by("pk").values_list("title", "author__name").explain_cross_db()
    shipped = [step for step in plan.steps if step.strategy == "ship"]
    assert [(step.alias, step.label) for step in shipped] == [
        ("default", "library.Author along library.Book.author")
    ]
    assert shipped[0].rows is None
    assert "library_author" in shipped[0].sql


def test_analyzed(library):
    """Run, the plan says how many rows came, and how long it took."""
    asked = Sale.objects.values_list("copies", "book__author__name")
    plan = asked.explain_cross_db(analyze=True)
    run = plan.steps[-1]
    assert (run.strategy, run.alias, run.rows) == ("run", "shop", 5)
    shipped = [step for step in plan.steps if step.strategy == "ship"]
    assert shipped
    assert all(step.rows is not None and step.seconds > 0 for step in shipped)
    assert sum(one.seconds for one in plan.statements) > 0
    assert {one.alias for one in plan.statements} == {"default", "blog", "shop"}


def test_only_the_plan_is_made(library):
    """Reads that it rests on are run, the query is not, and nothing is brought or changed."""
    queryset = Author.objects.annotate(n=Count("books__sales")).filter(n__gt=1)
    with counted_queries() as queries:
        queryset.explain_cross_db()
    assert queries.get("default", 0) <= 2
    assert sorted(author.name for author in queryset) == ["Ada"]


def test_a_limit_of_its_own(library, settings):
    """For one queryset and what is made of it, above or below that of the settings."""
    asked = Book.objects.order_by("pk").values_list("title", "author__name")
    with pytest.raises(
        QueryTooLarge, match=r"^This query would bring (about \d+, )?more than 1 rows of "
    ):
        list(max_shipped_rows(asked, 1))
    with pytest.raises(QueryTooLarge):
        list(asked.max_shipped_rows(1).exclude(author=None))
    assert len(asked) == 5
    settings.XDBREL = {**settings.XDBREL, "MAX_SHIPPED_ROWS": 1}
    with pytest.raises(QueryTooLarge):
        list(asked.all())
    assert len(asked.max_shipped_rows(100).filter(pages=100)) == 2
