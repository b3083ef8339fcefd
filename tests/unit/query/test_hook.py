"""The shapes of Django by which queries that span come in; each test fails when one changes."""

import ast
import inspect
import textwrap

import pytest
from django.db import connections
from django.db.models import QuerySet, sql
from django.db.models.sql import compiler as compilers
from django.db.models.sql import query as queries

from tests.apps.blog.models import Post
from xdbrel.query import exclusion, hook, raw, trimming
from xdbrel.query.compiler import PartedCompiler, WatchedCompiler, WritingCompiler, spanning

EVERY = [
    compilers.SQLCompiler,
    compilers.SQLInsertCompiler,
    compilers.SQLDeleteCompiler,
    compilers.SQLUpdateCompiler,
    compilers.SQLAggregateCompiler,
]
WRITES = EVERY[1:4]


def calls(function):
    """Return what a function calls, as it is written there."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_every_compiler_comes_by_one_method():
    """Nothing in Django makes a compiler of queries in another way, but for raw SQL's rows."""
    assert queries.Query.get_compiler is hook._get_compiler
    django = hook._django_get_compiler
    assert parameters(django) == ["self", "using", "connection", "elide_empty"]
    assert parameters(django) == parameters(hook._get_compiler)
    assert "connection.ops.compiler(self.compiler)" in calls(django)
    assert "self.get_compiler" in calls(queries.Query.as_sql)
    for module in (compilers, queries):
        found = inspect.getsource(module)
        assert "ops.compiler(" not in found.replace("connection.ops.compiler(self.compiler)(", "")


def test_no_query_has_a_get_compiler_of_its_own():
    """But for those that xdbrel gives to writes (``key_watch``), which ask the other."""
    for name in ("AggregateQuery", "DeleteQuery"):
        assert "get_compiler" not in vars(getattr(sql, name))
    for query in (sql.InsertQuery(Post), sql.UpdateQuery(Post)):
        assert query.get_compiler.__module__ == "xdbrel.cascade.key_watch"
        assert isinstance(query.get_compiler("blog"), WatchedCompiler)


@pytest.mark.parametrize("django", EVERY)
def test_a_compiler_stays_what_it_is(django):
    """Backends' own compilers and ``isinstance()`` go on as before."""
    watched, parted = spanning(django, "watched"), spanning(django, "parted")
    assert watched is spanning(django, "watched")
    assert watched.__name__ == parted.__name__ == django.__name__
    *_, own, found = watched.__mro__[: watched.__mro__.index(django) + 1]
    assert (own, found) == (WatchedCompiler, django)
    assert issubclass(watched, WritingCompiler) == (django in WRITES)
    assert parted.__mro__[1:4] == (PartedCompiler, WatchedCompiler, django)


@pytest.mark.parametrize(
    "name", ["execute_sql", "as_sql", "get_from_clause", "collapse_group_by", "compile"]
)
def test_compilers_have_the_methods_that_are_extended(name):
    """A method that Django renames would no longer be reached, and nobody would notice."""
    assert callable(getattr(compilers.SQLCompiler, name))


def test_the_steps_of_compiling():
    steps = calls(compilers.SQLCompiler.as_sql)
    assert {"self.pre_sql_setup", "self.get_from_clause", "self.compile"} <= steps
    assert "self.collapse_group_by" in calls(compilers.SQLCompiler.get_group_by)
    assert {"self.setup_query", "self.get_order_by", "self.query.where.split_having_qualify"} <= (
        calls(compilers.SQLCompiler.pre_sql_setup)
    )
    assert parameters(compilers.SQLCompiler.as_sql) == ["self", "with_limits", "with_col_aliases"]
    assert parameters(compilers.SQLCompiler.collapse_group_by) == ["self", "expressions", "having"]


def test_tables_are_compiled_one_by_one():
    """From ``alias_map``, which is the order of the joins, where they are referred to."""
    source = inspect.getsource(compilers.SQLCompiler.get_from_clause)
    assert "for alias, from_clause in tuple(self.query.alias_map.items()):" in source
    assert "if not self.query.alias_refcount[alias]:" in source
    assert "self.compile" in calls(compilers.SQLCompiler.get_from_clause)
    assert parameters(compilers.SQLCompiler.get_from_clause) == ["self"]


def test_statements_are_compiled_where_they_are_executed():
    assert "self.as_sql" in calls(compilers.SQLCompiler.execute_sql)
    assert "self.as_sql" in calls(compilers.SQLInsertCompiler.execute_sql)
    assert parameters(compilers.SQLCompiler.execute_sql) == [
        "self",
        "result_type",
        "chunked_fetch",
        "chunk_size",
    ]


def test_raw_queries_are_executed_by_one_method():
    assert queries.RawQuery._execute_query is raw._execute_query
    assert parameters(raw._django_execute_query) == ["self"]
    assert "self.cursor.execute" in calls(raw._django_execute_query)
    for name in ("__iter__", "get_columns"):
        assert "self._execute_query" in calls(getattr(queries.RawQuery, name))


def test_installed_once():
    """Installing again would wrap the wrapper."""
    before = queries.Query.get_compiler, queries.RawQuery._execute_query
    hook.install()
    assert (queries.Query.get_compiler, queries.RawQuery._execute_query) == before
    assert hook._django_get_compiler is not queries.Query.get_compiler
    assert raw._django_execute_query is not queries.RawQuery._execute_query


def test_one_database_is_left_to_django(monkeypatch):
    """A project without a second database has Django's own compilers."""
    monkeypatch.setattr(hook.places, "_several", False)
    compiler = Post.objects.all().query.get_compiler("blog")
    assert type(compiler) is connections["blog"].ops.compiler("SQLCompiler")
    monkeypatch.setattr(hook.places, "_several", True)
    compiler = Post.objects.all().query.get_compiler("blog")
    assert isinstance(compiler, WatchedCompiler)


def test_a_queryset_says_how_it_is_run():
    assert callable(QuerySet.explain_cross_db)


def test_exclusion_begins_by_one_method():
    """``exclude()`` by what many rows hold asks it, and ties the rows by one column."""
    assert queries.Query.trim_start is exclusion._trim_start
    assert parameters(exclusion._django_trim_start) == ["self", "names_with_path"]
    source = inspect.getsource(queries.Query.split_exclude)
    assert "trimmed_prefix, contains_louter = query.trim_start(names_with_path)" in source
    assert "col = query.select[0]" in source
    assert "ResolvedOuterRef(trimmed_prefix)" in source
    # The other columns are there, in their order, and nobody compares them.
    source = inspect.getsource(exclusion._django_trim_start)
    assert "join_field.foreign_related_fields[0].name" in source
    assert source.count("for r in join_field.related_fields") == 2
    assert "self.set_select([f.get_col(select_alias) for f in select_fields])" in source


def test_joins_are_left_out_by_one_method():
    """Where the source has the column that is asked for, and the path leads to it directly."""
    assert queries.Query.trim_joins is trimming._trim_joins
    assert parameters(trimming._django_trim_joins) == ["self", "targets", "joins", "path"]
    source = inspect.getsource(trimming._django_trim_joins)
    assert "if len(joins) == 1 or not info.direct:" in source
    assert "targets = tuple(targets_dict[t.column] for t in targets)" in source
