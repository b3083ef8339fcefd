"""The compilers of queries that may span.

Owns how Django's compiling is joined: what a compiler does about tables that live elsewhere.
Everything is Django's own until ``WatchedCompiler`` meets such a table while a query is run;
then the query is compiled again, each of its SELECTs by ``PartedCompiler._in_parts()``.
"""

from __future__ import annotations

import functools
from types import MethodType, SimpleNamespace
from typing import Any

from django.core.exceptions import EmptyResultSet, FieldError
from django.db import NotSupportedError, models
from django.db.models.aggregates import Aggregate
from django.db.models.expressions import Col, ColPairs, Expression, Ref
from django.db.models.sql import compiler as django_compilers

from xdbrel import caching, compat
from xdbrel.conf import settings
from xdbrel.query import blocks, merged, partial, places, raw, references, values
from xdbrel.query import run as runs
from xdbrel.query.planner import plan
from xdbrel.query.shipment import QueryShipment
from xdbrel.query.state import STATE

_made: dict[tuple[type[Any], str], type[Any]] = {}

_WRITES = (
    django_compilers.SQLInsertCompiler,
    django_compilers.SQLUpdateCompiler,
    django_compilers.SQLDeleteCompiler,
)


def spanning(compiler: type[Any], kind: str) -> type[Any]:
    """Return the subclass of Django's class of a compiler that knows of other databases.

    ``kind`` is ``"watched"`` for one that looks at the tables, ``"parted"`` for one that takes
    queries apart, and ``"noted"`` for one that notes what they read.
    """
    try:
        return _made[compiler, kind]
    except KeyError:
        own: type[Any] = {
            "watched": WritingCompiler if issubclass(compiler, _WRITES) else WatchedCompiler,
            "parted": PartedCompiler,
            "noted": NotedCompiler,
        }[kind]
        made = type(compiler.__name__, (own, compiler), {"django_class": compiler})
        _made[compiler, kind] = made
        return made


class WatchedCompiler:
    """What is added to each of Django's compilers: a look at the tables, as long as none is far.

    It is the state of its connection (``STATE``) while its query is run as it is.
    """

    query: Any
    connection: Any
    select: Any
    klass_info: Any
    django_class: type[Any]

    kind = "watched"
    active = False
    #: Whether rows that were put together, their values converted, may be the result.
    takes_rows = True
    #: Whether they are.
    converted = False
    #: Where the query's own rows come from, if that is not the database that runs it.
    rows_from: str | None = None
    #: The query's aliases when all of their tables were seen to be here.
    seen: dict[str, int] | None = None

    def spans_already(self) -> bool:
        """Tell whether a table that the query names before it is compiled is elsewhere.

        Ordering and ``select_related`` may join more, which ``get_from_clause()`` sees.
        """
        query = self.query
        if (
            len(query.alias_map) < 2
            or query.extra_tables
            or not settings.SPANNING_QUERIES
            or self.django_class is not self.connection.ops.compiler("SQLCompiler")
        ):
            return False
        if blocks.find(self):
            return True
        self.seen = query.alias_refcount.copy()
        return False

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        return runs.execute(self, super().execute_sql, args, kwargs)  # type: ignore[misc]

    def execute_returning_sql(self, *args: Any, **kwargs: Any) -> Any:
        return runs.execute(self, super().execute_returning_sql, args, kwargs)  # type: ignore[misc]

    def take_apart(self) -> None:
        """Compile in parts from now on."""
        self.__class__ = spanning(self.django_class, "parted")

    def note_what_is_read(self) -> None:
        """Compile as for one database from now on, and let the state of the connection know."""
        self.__class__ = spanning(self.django_class, "noted")

    def take_as_converted(self) -> None:
        """Hand the values of the result out as they are."""
        self.converted = True
        vars(self)["get_converters"] = lambda expressions: {}

    def let_objects_know_their_home(self) -> None:
        """Let what is made of the rows say where it lives, as what is read there does.

        That is what ``select_related`` brings along, and the query's own rows where a database
        was named that does not have them.
        """
        if not self.klass_info:
            return
        self.rows_from = blocks.home_of(self, self.query.model)
        if self.rows_from is not None:
            self.klass_info["model"] = _maker(self.klass_info["model"], self.rows_from)
        infos = list(self.klass_info.get("related_klass_infos", ()))
        while infos:
            info = infos.pop()
            infos += info.get("related_klass_infos", ())
            home = blocks.home_of(self, info["model"])
            if home is not None:
                info["local_setter"] = functools.partial(_set_home, home, info["local_setter"])

    def get_from_clause(self) -> Any:
        query, run = self.query, self.connection.__dict__.get(STATE)
        if query.extra_tables or not (run is None or (run is self and self._is_here(query))):
            self._look(run)
        return super().get_from_clause()  # type: ignore[misc]

    def _is_here(self, query: Any) -> bool:
        """Tell, by a quick look, whether all the tables of the whole query are here."""
        if len(query.alias_map) == 1:
            return places.may_be_here(query.model, self.connection.alias)
        return bool(self.seen == query.alias_refcount)

    def _look(self, run: Any) -> None:
        """Raise ``Spans`` if a table is elsewhere while the query is run."""
        if run is not None and settings.SPANNING_QUERIES:
            if self.query.extra_tables:
                self._refuse_extra_tables()
            if blocks.find(self):
                raise runs.Spans

    def _refuse_extra_tables(self) -> None:
        here = self.connection.alias
        named = raw.elsewhere(" ".join(self.query.extra_tables), here)
        for model, home in named.items():
            raise NotSupportedError(
                f"extra(tables=[{model._meta.db_table!r}]) names the table of "
                f"{model._meta.label}, which lives in database {home!r}, in a query on database "
                f"{here!r}; what is written by hand is not brought here. Follow a relation to "
                f"{model._meta.label} in filter() or annotate() instead, or ask Subquery() or "
                f"Exists() for it."
            )


class WritingCompiler(WatchedCompiler):
    """What is added to the compilers of writes: once they are done, caches hear of it again."""

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().execute_sql(*args, **kwargs)
        finally:
            caching.forget_autocommitted(self.query.get_meta().db_table, self.connection.alias)


class NotedCompiler(WatchedCompiler):
    """What is added to the compilers of a query of which is noted what it reads."""

    def compile(self, node: Any) -> Any:
        self.connection.__dict__[STATE].kinds.add(type(node))
        return super().compile(node)  # type: ignore[misc]

    def get_from_clause(self) -> Any:
        self.connection.__dict__[STATE].note_tables(self)
        return super(WatchedCompiler, self).get_from_clause()  # type: ignore[misc]


class PartedCompiler(WatchedCompiler):
    """What is added to the compilers of a query that spans."""

    #: What setting it up has made of the query as it was.
    set_up: Any = None
    #: Which rows become one, while what is selected, grouped and ordered is compiled.
    merged: merged.Merged | None = None

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        run = self.connection.__dict__.get(STATE)
        if run is None or not run.active:
            return super().as_sql(*args, **kwargs)  # type: ignore[misc]
        if run.root is self:
            run.begin()
            try:
                compiled = self._in_parts(run, *args, **kwargs)
            finally:
                self.let_objects_know_their_home()
            compiled = run.load(compiled)
            run.sql = compiled[0]
            return compiled
        home = self._other_home()
        if home is not None:
            return self._brought(run, home, *args, **kwargs)
        return self._in_parts(run, *args, **kwargs)

    def get_from_clause(self) -> Any:
        run = self.connection.__dict__.get(STATE)
        if run is None or not run.active:
            return super().get_from_clause()
        if self.query.extra_tables:
            self._refuse_extra_tables()
        result: list[str] = []
        params: list[Any] = []
        for alias, entry in tuple(self.query.alias_map.items()):
            if not self.query.alias_refcount[alias]:
                continue
            shipment = run.scopes[-1].get(alias)
            if shipment is not None:
                if shipment.block.root != alias:
                    continue
                entry = entry.relabeled_clone({})
                entry.table_name = shipment.table
                for _, inside in getattr(entry, "join_fields", None) or ():
                    shipment.key(alias, inside)
            sql, its = self.compile(entry)  # type: ignore[attr-defined]
            result.append(sql)
            params.extend(its)
        for table in self.query.extra_tables:
            # As Django does: only what is not in the FROM already.
            alias, _ = self.query.table_alias(table)
            if alias not in self.query.alias_map or self.query.alias_refcount[alias] == 1:
                result.append(f", {self._quoted(alias)}")
        return result, params

    def collapse_group_by(self, expressions: Any, having: Any) -> Any:
        run = self.connection.__dict__.get(STATE)
        if run is None or not run.active or not any(run.scopes):
            return super().collapse_group_by(expressions, having)  # type: ignore[misc]
        # The tables that were brought have no primary key to stand for their columns.
        shipped = [one for one in expressions if run.shipment_of(getattr(one, "alias", None))]
        kept = [one for one in expressions if one not in shipped]
        return [*super().collapse_group_by(kept, having), *shipped]  # type: ignore[misc]

    def get_order_by(self) -> Any:
        found = super().get_order_by()  # type: ignore[misc]
        run = self.connection.__dict__.get(STATE)
        if run is None or not run.active or not any(run.scopes) or self.query.combinator:
            return found
        return [self._ordered_as_at_home(run, *ordering) for ordering in found]

    def get_distinct(self) -> Any:
        run = self.connection.__dict__.get(STATE)
        if run is None or not run.active or not any(run.scopes):
            return super().get_distinct()  # type: ignore[misc]
        compile_ = vars(self)["compile"]

        def in_order(node: Any) -> Any:
            return compile_(self._place_at_home(run, node) or node)

        # DISTINCT ON names what ORDER BY names.
        vars(self)["compile"] = in_order
        try:
            return super().get_distinct()  # type: ignore[misc]
        finally:
            vars(self)["compile"] = compile_

    def _ordered_as_at_home(self, run: Any, term: Any, compiled: Any) -> Any:
        """Return a term of ORDER BY that sorts text as its own database does."""
        place = self._place_at_home(run, term.expression)
        if place is None:
            return term, compiled
        term = term.copy()
        term.expression = place
        sql, params = self.compile(term)  # type: ignore[attr-defined]
        return term, (sql, params, False)

    def _place_at_home(self, run: Any, column: Any) -> Any:
        """Return what sorts as a column does at home; ``None`` if that is the column itself."""
        if isinstance(column, Ref):
            (column,) = column.get_source_expressions()
        shipment = run.shipment_of(column.alias) if isinstance(column, Col) else None
        if shipment is None:
            return None
        own = shipment.column(column.alias, column.target)
        name, suffix = shipment.ordering(column.alias, column.target, self.connection.alias)
        if name == own and not suffix:
            return None
        return _Order(f"{self._quoted(shipment.block.root)}.{self._quoted(name)}{suffix}")

    def _in_parts(self, run: Any, *args: Any, **kwargs: Any) -> Any:
        """Compile the query with what lives elsewhere taken from shipments."""
        original = self.query
        before = original.alias_refcount.copy()
        self.set_up = None
        empty = False
        run.scopes.append({})
        vars(self)["compile"] = self._compile_in_parts
        try:
            found = self._blocks()
            if found:
                self.query = original.clone()
                empty = plan(self, run, found).found_nothing
            if not found or run.scopes[-1] or self.query.group_by is not None:
                # Without a copy, the joins that it made are taken back below.
                self.set_up = None
            original.reset_refcounts(before)
            if isinstance(self, django_compilers.SQLDeleteCompiler):
                # The general way, by a subquery: MySQL's joins what is not there.
                return django_compilers.SQLDeleteCompiler.as_sql(self)
            try:
                return super().as_sql(*args, **kwargs)  # type: ignore[misc]
            except EmptyResultSet:
                if not empty or run.root is self:
                    raise
                # Of a subquery of which it knows that it is empty, Django leaves out more than its
                # rows: an UPDATE of whose values it is one, what makes the equal rows of a UNION's
                # other part one, NULL beside NOT. Here the keys have told it, and Django does not.
                self.elide_empty = False
                return super().as_sql(*args, **kwargs)  # type: ignore[misc]
        finally:
            self.query = original
            vars(self).pop("compile", None)
            run.scopes.pop()

    def _blocks(self) -> list[blocks.Block]:
        """Return the blocks, with the joins that ordering, select_related and the like bring."""
        if isinstance(
            self,
            django_compilers.SQLUpdateCompiler
            | django_compilers.SQLDeleteCompiler
            | django_compilers.SQLInsertCompiler
            | django_compilers.SQLAggregateCompiler,
        ):
            # What they select from is compiled by compilers of its own.
            return []
        if self.query.combinator:
            return []
        set_up = self.pre_sql_setup()
        extra_select, order_by, _ = set_up
        if self.qualify:
            # The SELECT inside is compiled by a compiler of its own.
            return []
        self.order_by = [ordering[0] for ordering in order_by]
        self.used = [
            *(column[0] for column in (*self.select, *extra_select)),
            *self.order_by,
            self.having,
            *self._distinct(),
        ]
        self.set_up = set_up
        return blocks.find(self)

    def pre_sql_setup(self, *args: Any, **kwargs: Any) -> Any:
        """Set up as Django does; a second time, the conditions alone.

        Where nothing had to be brought, the plan has changed these and nothing else.
        """
        known, self.set_up = self.set_up, None
        if known is None or args or kwargs.get("with_col_aliases"):
            self.merged = merged.Merged.of(self.query)
            try:
                return super().pre_sql_setup(*args, **kwargs)  # type: ignore[misc]
            finally:
                self.merged = None
        self.where, self.having, self.qualify = self.query.where.split_having_qualify(
            must_group_by=self.query.group_by is not None
        )
        return known

    def _distinct(self) -> list[Any]:
        """Return the expressions of DISTINCT ON, which Django hands out as SQL alone."""
        found: list[Any] = []
        if self.query.distinct_fields:
            compile_ = vars(self)["compile"]

            def recorded(node: Any) -> Any:
                found.append(node)
                return compile_(node)

            vars(self)["compile"] = recorded
            try:
                self.get_distinct()
            finally:
                vars(self)["compile"] = compile_
        return found

    def _compile_in_parts(self, node: Any) -> Any:
        if isinstance(node, Aggregate):
            run = self.connection.__dict__[STATE]
            for shipment in dict.fromkeys(run.scopes[-1].values()):
                if node in shipment.aggregates:
                    name = shipment.part(node)
                    column = f"{self._quoted(shipment.block.root)}.{self._quoted(name)}"
                    return partial.whole(node, column, self.connection.vendor), ()
            before, self.merged = self.merged, merged.Merged.within(node)
            try:
                return super().compile(node)  # type: ignore[misc]
            finally:
                self.merged = before
        if isinstance(node, ColPairs):
            # It would compile its columns itself.
            compiled = [self._compile_in_parts(column) for column in node.get_cols()]
            params = [param for _, its in compiled for param in its]
            return ", ".join(sql for sql, _ in compiled), tuple(params)
        if isinstance(node, Col):
            run = self.connection.__dict__[STATE]
            shipment = run.shipment_of(node.alias)
            if shipment is not None:
                if self.merged is not None and self.merged.by(node, shipment.block):
                    apart = self.merged.apart(shipment.block)
                    using = self.connection.alias
                    name = shipment.merging(node.alias, node.target, using, apart)
                else:
                    name = shipment.column(node.alias, node.target)
                return f"{self._quoted(shipment.block.root)}.{self._quoted(name)}", ()
        return super().compile(node)  # type: ignore[misc]

    def shipment_of(self, alias: str) -> Any:
        """Return the shipment that stands for an alias in the statement that is compiled."""
        return self.connection.__dict__[STATE].shipment_of(alias)

    def _quoted(self, name: str) -> str:
        return compat.quote_name(self, name)

    def _other_home(self) -> str | None:
        """Return where a subquery is to be run whole; ``None`` if it is compiled here."""
        query = self.query
        if query.combinator or not isinstance(self, django_compilers.SQLCompiler):
            return None
        # Not query.base_table: it keeps what it says, even of a query that has no table yet.
        base = next(iter(query.alias_map.values()), None)
        model = query.model if base is None else places.model_of(query, base)
        home = blocks.home_of(self, model)
        if home is None or references.aliases(query) - {references.ANYTHING}:
            return None
        return home

    def _brought(
        self, run: Any, home: str, with_limits: bool = True, with_col_aliases: bool = False
    ) -> Any:
        """Compile a subquery that its own database runs."""
        query = self.query.clone()
        query.subquery = False
        if not with_limits:
            query.clear_limits()
        compiler = query.get_compiler(using=home, elide_empty=self.elide_empty)
        # Raises EmptyResultSet just as it would here.
        compiler.as_sql(with_col_aliases=with_col_aliases)
        shipment = QueryShipment(home, f"the subquery on {query.model._meta.label}", query)
        selected = []
        columns = values.one_by_one(compiler.select)
        for number, (expression, alias) in enumerate(columns, start=1):
            name = f"c{number}"
            shipment.columns[name] = (expression, _output_field(expression))
            quoted = self._quoted(name)
            if alias:
                quoted += f" AS {self.connection.ops.quote_name(alias)}"
            selected.append(quoted)
        if len(selected) == 1:
            shipment.keys.append("c1")
        shipment.reason = "all of its tables are there"
        run.ship(shipment)
        return f"SELECT {', '.join(selected)} FROM {self._quoted(shipment.table)}", ()  # noqa: S608


class _Order(Expression):
    """What stands in ORDER BY for a column: the SQL of one that sorts as the column at home."""

    output_field = models.IntegerField()

    def __init__(self, sql: str) -> None:
        super().__init__()
        self.sql = sql

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        return self.sql, ()

    def get_group_by_cols(self) -> list[Any]:
        return [self]


def _maker(model: Any, home: str) -> Any:
    """Return what makes instances of ``model`` for Django, in whatever database it asks."""
    django = model.from_db

    # Django looks at the arguments that it takes.
    @functools.wraps(django.__func__)
    def from_db(cls: Any, db: str, *args: Any, **kwargs: Any) -> Any:
        return django(home, *args, **kwargs)

    return SimpleNamespace(from_db=MethodType(from_db, model), __qualname__=model.__qualname__)


def _set_home(home: str, setter: Any, from_obj: Any, obj: Any) -> None:
    if obj is not None:
        obj._state.db = home
    setter(from_obj, obj)


def _output_field(expression: Any) -> Any:
    try:
        field = expression.output_field
    except (AttributeError, FieldError):
        return models.TextField()
    return models.TextField() if type(field) is models.Field else field
