"""What the random querysets of ``test_random`` found, each the smallest that shows it."""

import pytest

from tests.oracle.both import differences
from tests.oracle.sizes import AS_IF_MANY

pytestmark = pytest.mark.django_db(databases="__all__")


def check(query, *rows, ordered=False, sizes=None, everywhere=False):
    """Fail where ``query`` does not bring from these rows what it brings in one database.

    It goes by the ways of small tables and by those of large ones, or by ``sizes`` alone.
    """
    for figures in ({}, AS_IF_MANY) if sizes is None else (sizes,):
        found = differences(rows, query, ordered=ordered, sizes=figures, everywhere=everywhere)
        if found:
            pytest.fail(found, pytrace=False)


def test_a_delete_by_the_absence_of_a_related_row():
    """The condition holds in each of the times that the subquery is compiled."""
    check(
        "Profile.objects.filter(author__pupils__pk__isnull=True).delete()",
        "Author(id=1)",
        "Author(id=2, mentor_id=1)",
        "Profile(id=1, author_id=1)",
    )


def test_a_union_with_a_part_that_spans():
    """A part may have no tables here, or no condition."""
    check(
        "Country.objects.order_by().filter(authors__posts__isnull=True)"
        ".union(Country.objects.order_by())",
        "Country(id=1)",
        "Author(id=1, country_id=1)",
    )


@pytest.mark.parametrize(
    "query",
    [
        "Country.objects.filter(authors__posts__pk__in=Country.objects.filter(pk=0).values('pk'))",
        "Author.objects.order_by().values_list('pk', 'name').union("
        "Profile.objects.order_by().filter(pk=0).values_list('pk', 'author__pupils__name'))",
    ],
    ids=["in", "union"],
)
def test_a_part_that_spans_itself_is_brought_from_a_server(query):
    """A server is asked nothing while it is still answering."""
    check(query)


def test_a_union_of_decimals_from_elsewhere():
    """What is brought is converted once, also where its own rows are put together."""
    check(
        "Country.objects.order_by().values_list('authors__score')"
        ".union(Profile.objects.order_by().values_list('author__score'))",
        "Author(id=1, score=Decimal('0.00'))",
        "Profile(id=1, author_id=1)",
    )


def test_an_order_that_joins_a_table_of_here_beside_a_subquery_that_spans():
    """What is set up with the joins of the order is set up again where these are taken back."""
    check(
        "Author.objects.filter(name__in=Author.objects.filter(posts__pk=0).values('name'))"
        ".order_by('pupils__pk')"
    )


@pytest.mark.parametrize("end", ["", ".count()"])
def test_equal_rows_of_a_union_whose_other_part_turns_out_to_be_empty(end):
    """Only the keys of another database tell that it is."""
    check(
        "Post.objects.order_by().filter(Q(comments__isnull=True) & Q(author__name='x'))"
        ".values_list('pk', 'day')"
        f".union(Country.objects.order_by().values_list('authors__pk', 'founded')){end}",
        "Country(id=1)",
        "Country(id=2)",
        "Author(id=1, name='a')",
        "Post(id=1, author_id=1)",
    )


def test_a_condition_that_is_judged_at_home_beside_an_aggregate():
    """It stands in HAVING, where MariaDB knows what is selected or grouped by."""
    check(
        "Order.objects.alias(x1=Min('author__name')).filter("
        "Q(x1__exact=F('author__name')) | Q(author__pupils__pupils__isnull=True)).delete()",
        "Author(id=1, name='a')",
        "Order(id=1, author_id=1)",
    )


def test_a_relation_that_was_given_a_short_name():
    """What a condition is renamed to in order to be remembered is nobody's name."""
    check(
        "Post.objects.annotate(x1=FilteredRelation('editor', condition=Q(editor__pk=0)))"
        ".filter(Exists(Author.objects.filter(pk=OuterRef('x1__pupils__pk'))))",
        "Author(id=1, name='a')",
        "Author(id=2, name='b', mentor_id=1)",
        "Post(id=1, author_id=1, editor_id=1)",
    )


@pytest.mark.parametrize(
    "query",
    [
        "Visit.objects.filter(zone__row=3)",
        "Visit.objects.filter(zone__row__isnull=True)",
        "Visit.objects.exclude(zone__letter='a')",
        "Visit.objects.values_list('pk', 'zone__row', 'zone__letter')",
        "Visit.objects.order_by(F('zone__row').desc(nulls_first=True), 'pk').first()",
        "Spot.objects.values('pk', 'zone__letter').annotate(x1=Count('visits'))",
        "Zone.objects.aggregate(x1=Count('visits__spot__row'), x2=Min('visits__spot__letter'))",
    ],
)
def test_a_column_of_a_key_that_is_partly_null(query):
    """The source has the column itself, but is related to nothing."""
    check(
        query,
        "Zone(id=1, letter='b', row=3)",
        "Spot(row=1, letter='b', floor=None)",
        "Spot(row=2, letter='b', floor=3)",
        "Visit(id=1, row=1, floor=3)",
        "Visit(id=2, row=1, letter='b', floor=3)",
        "Visit(id=3, letter='b', floor=3)",
        "Visit(id=4, letter='a')",
    )


def test_what_is_excluded_by_what_hangs_on_a_key_that_dangles():
    """Every column of the key is the source's own, which nothing needs to be joined for."""
    check(
        "Visit.objects.filter(spot__isnull=False).exclude(spot__visits__stars=3)",
        "Spot(row=1, letter='b', floor=None)",
        "Visit(id=1, row=1, letter='b', floor=None)",
        "Visit(id=2, row=1, letter='b', floor=None, stars=3)",
        "Visit(id=3, row=2, letter='a', floor=None, stars=1)",
        "Visit(id=4, row=2, letter=None, floor=None, stars=1)",
    )


@pytest.mark.parametrize(
    "query",
    [
        "Author.objects.update(age=Subquery({}))",
        "Author.objects.update(age=Coalesce(Subquery({}), F('age') + 1))",
        "Author.objects.filter(~Q(age=Subquery({})))",
        "Author.objects.order_by(Subquery({}).asc(nulls_first=True), 'pk').values_list('pk')",
        "Author.objects.filter(Q(age__in={}) | Q(pk=1))",
    ],
)
def test_a_subquery_that_turns_out_to_be_empty(query):
    """Its value is NULL, which is a value to set and not nothing to be done."""
    subquery = (
        "Reading.objects.filter(author__name__gte='', post__public__isnull=True)"
        ".order_by('pk').values('post__pk')"
    )
    limit = "" if "__in" in query else "[:1]"
    check(
        query.format(subquery + limit),
        "Author(id=1, age=3)",
        "Author(id=2)",
        "Post(id=1, author_id=1)",
        "Reading(id=1, author_id=1, post_id=1)",
    )


def test_a_subquery_that_groups_and_is_a_condition_on_groups():
    """It is brought once: where it stood under two names PostgreSQL took it for two."""
    check(
        "Author.objects.alias(x1=Count('pk')).filter("
        "Q(x1=0) | Exists(Reading.objects.filter(post__title=OuterRef('pupils__name'))))",
        "Author(id=1, name='a')",
        "Author(id=2, name='b', mentor_id=1)",
        "Post(id=1, title='b', author_id=1)",
        "Reading(id=1, post_id=1, author_id=1)",
    )
