"""Random querysets, as Python text.

A ``Writer`` draws one queryset. What it writes makes sense to Django: paths exist, and the
two sides of a comparison are of one kind, so that every database takes it. A ``Scope`` is
one queryset that is being written: its model, and the names that it has been given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import models
from hypothesis import strategies as st

from tests.oracle.both import ONE_ENGINE, VENDORS
from tests.oracle.graph import KINDS, MODELS, STEPS, Step, columns, key_columns, key_kinds
from tests.oracle.rows import KEYS, TOGETHER, VALUES

T = TypeVar("T")
Model = type[models.Model]

NUMBERS = ("int", "decimal")
#: MariaDB has no LIMIT in a subquery after IN.
LIMITS_INSIDE = "mysql" not in VENDORS


@dataclass(frozen=True)
class Way:
    """A path over relations: its text, the model at its end, and whether it may fork."""

    text: str
    model: Model
    many: bool
    #: The last of its steps.
    step: Step | None = None
    #: Whether any step is itself a relation over several columns.
    several: bool = False

    def to(self, name: str) -> str:
        return f"{self.text}__{name}" if self.text else name


@dataclass(frozen=True)
class Value:
    """Something that a queryset can name or compute: its text in a lookup and as expression."""

    name: str
    kind: str
    many: bool = False
    aggregate: bool = False
    window: bool = False


@dataclass
class Scope:
    """One queryset that is being written."""

    model: Model
    outer: Scope | None = None
    #: Annotations, by name.
    given: list[Value] = field(default_factory=list)
    #: What FilteredRelation named.
    filtered: list[Step] = field(default_factory=list)
    #: Whether what comes out may differ between two rows with one key.
    forked: bool = False
    grouped: bool = False

    @property
    def aggregates(self) -> bool:
        return any(value.aggregate for value in self.given)

    @property
    def windows(self) -> bool:
        return any(value.window for value in self.given)


class Writer:
    """Draws one queryset and what surrounds it."""

    def __init__(self, draw: Callable[[Any], Any], dangling: bool = False) -> None:
        self.draw = draw
        #: Whether keys may lead to rows that do not exist. Then the columns of a key of several
        #: are the source's own or the target's, as Django leaves out a join or not.
        self.dangling = dangling
        #: The models whose rows matter.
        self.models: set[Model] = set()
        self.names = 0

    # What is drawn from.

    def one(self, values: Sequence[T]) -> T:
        found: T = self.draw(st.sampled_from(values))
        return found

    def number(self, least: int, most: int) -> int:
        return int(self.draw(st.integers(least, most)))

    def chance(self, percent: int) -> bool:
        """Return whether something happens; the simplest is that it does not."""
        return self.number(0, 99) >= 100 - percent

    def name(self) -> str:
        self.names += 1
        return f"x{self.names}"

    def see(self, model: Model) -> Model:
        self.models.add(model)
        return model

    # Paths.

    def way(
        self,
        scope: Scope,
        most: int = 3,
        *,
        many: bool = True,
        least: int = 0,
        held: bool = False,
    ) -> Way:
        """Draw a path of so many steps; with ``many`` false, one that leads to one row.

        With ``held``, an instance has each of them.
        """
        way = Way("", scope.model, False)
        for number in range(self.number(least, most)):
            steps = [*STEPS[way.model], *(scope.filtered if number == 0 else ())]
            steps = [one for one in steps if (many or not one.many) and (one.held or not held)]
            if not steps:
                break
            step = self.one(steps)
            way = Way(
                way.to(step.name),
                self.see(step.model),
                way.many or step.many,
                step,
                way.several or step.of_several,
            )
        return way

    def column(
        self, scope: Scope, kind: str | None = None, most: int = 3, *, many: bool = True
    ) -> Value:
        """Draw a column of the model or of one that it leads to."""
        for _ in range(4):
            way = self.way(scope, most, many=many)
            found = columns(way.model, kind)
            if self.dangling and way.step is not None:
                found = [one for one in found if one.name not in way.step.shared]
            if found:
                column = self.one(found)
                return Value(way.to(column.name), column.kind, way.many)
        # Each kind is not far from each model.
        for name, model_kind, is_many in _near(scope.model, self.dangling):
            if kind in (None, model_kind) and (many or not is_many):
                return Value(name, model_kind, is_many)
        first = columns(scope.model)[0]
        return Value(first.name, first.kind)

    def value(
        self,
        scope: Scope,
        kind: str | None = None,
        *,
        many: bool = True,
        aggregate: bool = False,
    ) -> Value:
        """Draw a column or what an annotation named."""
        given = [
            one
            for one in scope.given
            if kind in (None, one.kind)
            and (many or not one.many)
            and (aggregate or not (one.aggregate or one.window))
        ]
        if given and self.chance(40):
            return self.one(given)
        return self.column(scope, kind, many=many)

    def literal(self, kind: str) -> str:
        return self.one(VALUES[kind])

    # Conditions.

    def condition(self, scope: Scope, depth: int = 2, *, aggregate: bool = False) -> str:
        """Draw a condition: the text of a Q, or of a conditional expression."""
        shape = self.number(0, 9) if depth else 0
        if shape <= 5:
            return self.leaf(scope, depth, aggregate=aggregate)
        if shape <= 7:
            return f"~{self.condition(scope, depth - 1, aggregate=aggregate)}"
        parts = [
            self.condition(scope, depth - 1, aggregate=aggregate) for _ in range(self.number(2, 3))
        ]
        # MariaDB's own XOR makes NULL of NULL, which Django's elsewhere does not.
        sign = self.one(("&", "|", "^")) if shape == 9 and ONE_ENGINE else self.one(("&", "|"))
        return f"({f' {sign} '.join(parts)})"

    def leaf(self, scope: Scope, depth: int, *, aggregate: bool) -> str:
        kind = self.one(
            (
                "lookup",
                "lookup",
                "lookup",
                "null",
                "relation",
                "compared",
                "in",
                "in",
                "exists",
                "exists",
                "subquery",
            )
        )
        if not depth and kind in ("in", "exists", "subquery"):
            kind = "lookup"
        if kind == "null":
            way = self.way(scope, 3, least=1)
            return f"Q({way.to('isnull')}={self.one(('True', 'False'))})"
        if kind == "relation":
            return self.by_key(scope)
        if kind == "compared":
            left = self.value(scope, aggregate=aggregate)
            lookup = self.one(("exact", "gt", "lt", "gte", "lte"))
            if left.kind == "bool":
                lookup = "exact"
            return f"Q({left.name}__{lookup}={self.compared(scope, left.kind)})"
        if kind == "in":
            return self.within(scope, depth)
        if kind == "exists":
            return self.exists(scope, depth)
        if kind == "subquery":
            left = self.value(scope, self.one(("int", "text", "date")))
            lookup = self.one(("exact", "gt", "lte"))
            return f"Q({left.name}__{lookup}={self.subquery(scope, left.kind, depth)})"
        return self.lookup(scope, aggregate=aggregate)

    def lookup(self, scope: Scope, *, aggregate: bool) -> str:
        value = self.value(scope, aggregate=aggregate)
        possible = ["exact", "exact", "isnull"]
        if value.kind != "bool":
            possible += ["in", "lt", "gt", "lte", "gte"]
        # A relation takes no others.
        if value.kind != "bool" and not value.name.endswith("_id"):
            possible += ["range"]
        if value.kind == "text" and not value.name.endswith("_id"):
            possible += ["startswith", "contains", "endswith", "icontains", "iexact"]
        if value.kind == "date":
            possible += ["year", "month", "year__gt"]
        lookup = self.one(possible)
        literals = VALUES[value.kind]
        if lookup == "isnull":
            right = self.one(("True", "False"))
        elif lookup == "in":
            found = [self.literal(value.kind) for _ in range(self.number(0, 3))]
            right = f"[{', '.join(found)}]"
        elif lookup == "range":
            right = f"({self.one(literals)}, {self.one(literals)})"
        elif lookup in ("year", "year__gt"):
            right = self.one(("2020", "2021"))
        elif lookup == "month":
            right = self.one(("1", "3"))
        elif lookup == "exact" and self.chance(10):
            right = "None"
        else:
            right = self.one(literals)
        suffix = "" if lookup == "exact" else f"__{lookup}"
        return f"Q({value.name}{suffix}={right})"

    def by_key(self, scope: Scope) -> str:
        """Draw a condition on a relation itself: an object's key, or several."""
        way = self.way(scope, 3, least=1)
        if way.step is None:
            return self.lookup(scope, aggregate=False)
        before = way.text.removesuffix(way.step.name)
        name = f"{before}{way.step.by}"
        front = "key" * way.step.of_several
        found = [f"{front}{self.key(way.step.key)}" for _ in range(self.number(1, 3))]
        if self.chance(50):
            return f"Q({name}__in=[{', '.join(found)}])"
        return f"Q({name}={found[0]})"

    def key(self, kinds: tuple[str, ...]) -> str:
        """Draw a key: of several columns, a tuple."""
        if len(kinds) == 1:
            return repr(self.one(KEYS[kinds[0]]))
        possible = {"int": TOGETHER["row"], "text": TOGETHER["letter"]}
        return repr(tuple(self.one(possible[kind]) for kind in kinds))

    def compared(self, scope: Scope, kind: str) -> str:
        right = self.column(scope, kind)
        if right.kind != kind:
            return self.literal(kind)
        if kind == "int" and self.chance(30):
            return f"F('{right.name}') + {self.literal('int')}"
        return f"F('{right.name}')"

    def within(self, scope: Scope, depth: int) -> str:
        """Draw ``…__in=<queryset>``."""
        if self.chance(50):
            way = self.way(scope, 2, least=1)
            inner = self.inner(way.model, depth)
            return f"Q({way.to('in')}={inner})"
        left = self.value(scope, self.one(("int", "text", "date", "decimal")))
        model = self.see(self.one(MODELS))
        inner_scope = Scope(model)
        column = self.column(inner_scope, left.kind, 2)
        if column.kind != left.kind:
            return self.lookup(scope, aggregate=False)
        inner = self.inner(model, depth, inner_scope)
        return f"Q({left.name}__in={inner}.values('{column.name}'))"

    def inner(self, model: Model, depth: int, scope: Scope | None = None) -> str:
        """Draw a queryset of a model, for the right side of IN."""
        scope = scope or Scope(model)
        text = f"{self.see(model).__name__}.objects"
        if self.chance(20):
            text += ".all()"
        else:
            verb = self.one(("filter", "filter", "exclude"))
            text += f".{verb}({self.condition(scope, depth - 1)})"
        if LIMITS_INSIDE and self.chance(15):
            text += f".order_by('pk')[:{self.number(1, 2)}]"
        elif self.chance(10):
            text += ".distinct()"
        return text

    def correlated(self, scope: Scope, depth: int) -> tuple[str, Scope]:
        """Draw a queryset that depends on the row outside."""
        model = self.see(self.one(MODELS))
        inner = Scope(model, outer=scope)
        left = self.column(inner, self.one(("int", "int", "text")), 2)
        right = self.column(scope, left.kind, 2)
        text = f"{model.__name__}.objects"
        if right.kind == left.kind:
            reference = f"OuterRef('{right.name}')"
            if scope.outer is not None and self.chance(25):
                further = self.column(scope.outer, left.kind, 1)
                if further.kind == left.kind:
                    reference = f"OuterRef(OuterRef('{further.name}'))"
            lookup = self.one(("", "", "", "__gt", "__lte"))
            text += f".filter({left.name}{lookup}={reference})"
        else:
            text += ".all()"
        if self.chance(50):
            verb = self.one(("filter", "filter", "exclude"))
            text += f".{verb}({self.condition(inner, depth - 1)})"
        return text, inner

    def exists(self, scope: Scope, depth: int) -> str:
        return f"Exists({self.correlated(scope, depth)[0]})"

    def subquery(self, scope: Scope, kind: str, depth: int) -> str:
        """Draw a subquery that brings one value of a kind."""
        text, inner = self.correlated(scope, depth)
        if kind == "int" and self.chance(30):
            # Counted within the subquery: one row for the whole of it.
            group = self.column(inner, "int", 1, many=False)
            what = self.counted(self.way(inner, 2))
            return (
                (
                    f"Subquery({text}.order_by().values('{group.name}')"
                    f".annotate(n=Count('{what}')).order_by('{group.name}').values('n')[:1])"
                )
                if ONE_ENGINE
                else self._first(text, inner, kind)
            )
        return self._first(text, inner, kind)

    def _first(self, text: str, inner: Scope, kind: str) -> str:
        column = self.column(inner, kind, 2, many=False)
        if column.kind != kind:
            return f"Value({self.literal(kind)})"
        return f"Subquery({text}.order_by('pk').values('{column.name}')[:1])"

    # Expressions.

    def expression(self, scope: Scope, depth: int = 1) -> tuple[str, Value]:
        """Draw an expression for annotate(), and what it is."""
        shape = self.one(
            (
                "F",
                "count",
                "count",
                "aggregate",
                "aggregate",
                "case",
                "coalesce",
                "exists",
                "subquery",
                "function",
                "window",
            )
        )
        if shape in ("count", "aggregate"):
            return self.aggregation(scope)
        if shape == "exists":
            return self.exists(scope, depth), Value("", "bool")
        if shape == "subquery":
            kind = self.one(("int", "text", "date", "decimal"))
            return self.subquery(scope, kind, depth), Value("", kind)
        if shape == "case":
            kind = self.one(("int", "text"))
            condition = self.condition(scope, depth)
            then = self.value(scope, kind)
            if then.kind != kind or self.chance(40):
                text = f"Value({self.literal(kind)})"
            else:
                text = f"F('{then.name}')"
            default = f"Value({self.literal(kind)})"
            return f"Case(When({condition}, then={text}), default={default})", Value(
                "", kind, True
            )
        if shape == "coalesce":
            kind = self.one(("int", "text", "decimal", "date"))
            one, two = self.value(scope, kind), self.value(scope, kind)
            if one.kind == two.kind == kind:
                more = f", Value({self.literal(kind)})" if kind in ("int", "text") else ""
                text = f"Coalesce('{one.name}', '{two.name}'{more})"
                return text, Value("", kind, one.many or two.many)
        if shape == "function":
            return self.function(scope)
        if shape == "window" and not scope.aggregates:
            return self.window(scope)
        column = self.column(scope)
        return f"F('{column.name}')", Value("", column.kind, column.many)

    def function(self, scope: Scope) -> tuple[str, Value]:
        kind = self.one(("int", "text", "date"))
        one = self.column(scope, kind)
        two = self.column(scope, kind)
        many = one.many or two.many
        if one.kind != kind or two.kind != kind:
            return f"F('{one.name}')", Value("", one.kind, one.many)
        if kind == "int":
            sign = self.one(("+", "-", "*"))
            return f"F('{one.name}') {sign} F('{two.name}')", Value("", "int", many)
        if kind == "date":
            return f"ExtractYear('{one.name}')", Value("", "int", one.many)
        text = self.one(
            (
                f"Upper('{one.name}')",
                f"Length('{one.name}')",
                f"Concat('{one.name}', Value('-'), '{two.name}')",
            )
        )
        return text, Value("", "int" if text.startswith("Length") else "text", many)

    def aggregation(self, scope: Scope, *, over_given: bool = False) -> tuple[str, Value]:
        """Draw an aggregate, for annotate() or aggregate()."""
        name = self.one(("Count", "Count", "Sum", "Min", "Max", "Avg"))
        extra = ""
        if self.chance(25):
            extra += f", filter={self.condition(scope, 1)}"
        if name == "Count":
            what = self.counted(self.way(scope, 3))
            if self.chance(30):
                what = self.column(scope).name
            if self.chance(50):
                extra += ", distinct=True"
            return f"Count('{what}'{extra})", Value("", "int", aggregate=True)
        if name in ("Sum", "Avg"):
            kinds = NUMBERS
        else:
            kinds = tuple(kind for kind in KINDS if kind != "bool")
        kind = self.one(kinds)
        value = self.value(scope, kind, aggregate=over_given)
        if value.kind != kind:
            return "Count('pk')", Value("", "int", aggregate=True)
        result = "average" if name == "Avg" else kind
        return f"{name}('{value.name}'{extra})", Value("", result, aggregate=True)

    def counted(self, way: Way) -> str:
        """Return what Count() takes for a path: of a relation over several columns, a column."""
        if way.step is not None and way.step.of_several:
            return way.to(self.one(columns(way.model)).name)
        return way.text or "pk"

    def window(self, scope: Scope) -> tuple[str, Value]:
        text = self.one(("RowNumber()", "Rank()", "Count('pk')", "Sum", "Lag"))
        order = self.ordering(scope, many=False)
        if text in ("Sum", "Lag"):
            column = self.column(scope, "int", many=False)
            text = f"{text}('{column.name}')"
        partition = ""
        if self.chance(60):
            partition = f"partition_by=[F('{self.column(scope, many=False).name}')], "
        return f"Window({text}, {partition}order_by=[{order}])", Value("", "int", window=True)

    # Order.

    def ordering(self, scope: Scope, *, many: bool = True, most: int = 2) -> str:
        """Draw what order_by() takes; the primary key comes last."""
        terms = []
        for _ in range(self.number(0, most)):
            if many and self.chance(15) and ONE_ENGINE:
                way = self.way(scope, 2, least=1)
                # That of several columns is ordered by each, and so is what is related to nothing.
                if way.step is not None and not way.step.of_several:
                    scope.forked = scope.forked or way.many
                    terms.append(f"'{self.one(('', '-'))}{way.text}'")
                    continue
            value = self.value(scope, many=many, aggregate=many)
            if value.kind == "bool" and not ONE_ENGINE:
                continue
            scope.forked = scope.forked or value.many
            terms.append(self.term(value.name))
        return ", ".join([*terms, self.one(("'pk'", "'-pk'"))])

    def term(self, name: str) -> str:
        if ONE_ENGINE and self.chance(60):
            return f"'{self.one(('', '-'))}{name}'"
        # Databases do not agree on where NULL stands.
        nulls = self.one(("nulls_first", "nulls_last"))
        return f"F('{name}').{self.one(('asc', 'desc'))}({nulls}=True)"

    # Querysets.

    def narrowed(self, scope: Scope, most: int = 2) -> str:
        """Draw filters and annotations of a queryset."""
        text = ""
        for _ in range(self.number(0, most)):
            what = self.one(
                ("filter", "filter", "filter", "exclude", "annotate", "annotate", "filtered")
            )
            if what in ("filter", "exclude"):
                aggregate = not scope.grouped and self.chance(60)
                text += f".{what}({self.condition(scope, aggregate=aggregate)})"
            elif what == "annotate":
                text += self.annotated(scope)
            else:
                text += self.filtered_relation(scope)
        return text

    def annotated(self, scope: Scope) -> str:
        text, value = self.expression(scope)
        name = self.name()
        verb = "annotate" if self.chance(85) else "alias"
        scope.given.append(Value(name, value.kind, value.many, value.aggregate, value.window))
        scope.forked = scope.forked or value.many
        return f".{verb}({name}={text})"

    def filtered_relation(self, scope: Scope) -> str:
        """Draw a join with a condition of its own."""
        way = self.way(Scope(scope.model), 2, least=1)
        name = self.name()
        column = self.one(columns(way.model))
        sign = self.one(("", "~"))
        condition = f"{sign}Q({way.to(column.name)}={self.literal(column.kind)})"
        if self.chance(30):
            own = self.one(columns(scope.model))
            sign = self.one(("&", "|"))
            condition += f" {sign} Q({own.name}={self.literal(own.kind)})"
        kinds = key_kinds(way.model)
        by = name if len(kinds) == 1 else f"{name}__pk"
        scope.filtered.append(Step(name, way.model, way.many, False, kinds, by))
        return f".annotate({name}=FilteredRelation('{way.text}', condition={condition}))"

    def start(self) -> tuple[str, Scope]:
        model = self.see(self.one(MODELS))
        scope = Scope(model)
        return f"{model.__name__}.objects.all()", scope

    def rows_query(self) -> tuple[str, bool]:
        """Draw a queryset that brings rows; return whether its order is determined."""
        text, scope = self.start()
        text += self.narrowed(scope, 3)
        shape = self.one(("instances", "instances", "values", "values", "groups"))
        keys: list[str] = []
        if shape == "instances":
            text += self.selected(scope)
        elif shape == "values":
            text += self.valued(scope)
        elif not scope.given:
            more, keys = self.grouping(scope)
            text += more
        return self.ended(text, scope, keys)

    def selected(self, scope: Scope) -> str:
        """Draw select_related(), only() and defer()."""
        text = ""
        if self.chance(40):
            ways = [
                self.way(scope, 3, many=False, least=1, held=True)
                for _ in range(self.number(1, 2))
            ]
            found = [
                way.text for way in ways if way.text and way.text not in self._filtered(scope)
            ]
            if found:
                text += f".select_related({', '.join(map(repr, found))})"
                # Django takes a relation that has no column of its own for one that is deferred.
                if self.chance(25) and not any(way.several for way in ways):
                    verb = self.one(("only", "defer"))
                    target = self.one([way for way in ways if way.text == found[0]])
                    name = self.one(
                        [one for one in columns(target.model) if one.name != "pk"]
                    ).name
                    names = [target.to(name)]
                    if verb == "only":
                        # A relation that is followed cannot be deferred.
                        names.append("pk")
                        parts = target.text.split("__")
                        names += ["__".join(parts[: n + 1]) for n in range(len(parts))]
                    text += f".{verb}({', '.join(map(repr, names))})"
        elif self.chance(15):
            text += f".only({self.one(columns(scope.model)).name!r})"
        return text

    def _filtered(self, scope: Scope) -> set[str]:
        return {step.name for step in scope.filtered}

    def valued(self, scope: Scope) -> str:
        names = []
        for _ in range(self.number(1, 3)):
            value = self.value(scope, aggregate=True)
            names.append(value.name)
            scope.forked = scope.forked or value.many
        verb = self.one(("values_list", "values"))
        more = ""
        if verb == "values_list" and len(set(names)) == 1 and self.chance(50):
            names, more = names[:1], ", flat=True"
        text = f".{verb}({', '.join(map(repr, dict.fromkeys(names)))}{more})"
        if self.chance(25):
            text += ".distinct()"
            # The order is by columns that are not among them.
            scope.forked = True
        return text

    def grouping(self, scope: Scope) -> tuple[str, list[str]]:
        names = [self.column(scope).name for _ in range(self.number(1, 2))]
        if self.chance(30):
            # Each row is a group of its own, or with each that hangs on it.
            names.insert(0, "pk")
        keys = list(dict.fromkeys(names))
        scope.grouped = True
        text = f".order_by().values({', '.join(map(repr, keys))})"
        for _ in range(self.number(1, 2)):
            expression, value = self.aggregation(scope)
            name = self.name()
            text += f".annotate({name}={expression})"
            scope.given.append(Value(name, value.kind, aggregate=True))
        if self.chance(30):
            counted = self.one(scope.given)
            if counted.kind == "int":
                text += f".filter({counted.name}__gt={self.literal('int')})"
        return text, keys

    def ended(self, text: str, scope: Scope, keys: list[str]) -> tuple[str, bool]:
        """Draw order, distinct and a slice."""
        if scope.grouped:
            if self.chance(50):
                numbers = [one.name for one in scope.given if one.kind == "int"]
                first = [self.one(numbers)] if numbers and self.chance(30) else []
                terms = ", ".join(self.term(key) for key in (*first, *keys))
                return f"{text}.order_by({terms}){self.sliced()}", True
            return text, False
        if not self.chance(60):
            if self.chance(20):
                text += ".distinct()"
            return text, False
        distinct = self.chance(15)
        text += f".order_by({self.ordering(scope)})"
        if distinct:
            text += ".distinct()"
        if self.chance(10):
            text += ".reverse()"
        if scope.forked:
            return text, False
        return text + self.sliced(), True

    def sliced(self) -> str:
        if not self.chance(50):
            return ""
        first = self.number(0, 2)
        return f"[{first or ''}:{first + self.number(1, 3)}]"

    def combined_query(self) -> tuple[str, bool]:
        """Draw a union, intersection or difference."""
        parts = []
        kinds = [self.one(("int", "text", "date", "decimal")) for _ in range(self.number(1, 2))]
        whole = self.chance(30)
        model = self.one(MODELS)
        for _ in range(self.number(2, 3)):
            scope = Scope(self.see(model if whole else self.one(MODELS)))
            text = f"{scope.model.__name__}.objects.order_by()"
            if self.chance(70):
                text += f".filter({self.condition(scope, 1)})"
            if not whole:
                found = [self.column(scope, kind, 2) for kind in kinds]
                names = [one.name for one in found]
                if [one.kind for one in found] != kinds or len(set(names)) < len(names):
                    names = ["pk"]
                    text = "Author.objects.order_by().values_list('pk')"
                    self.see(MODELS[1])
                    kinds = ["int"]
                    parts = []
                else:
                    text += f".values_list({', '.join(map(repr, names))})"
            parts.append(text)
        verb = self.one(("union", "union", "intersection", "difference"))
        more = ", all=True" if verb == "union" and self.chance(30) else ""
        if len(parts) < 2:
            parts.append(parts[0])
        if verb == "difference":
            parts = parts[:2]
        text = f"{parts[0]}.{verb}({', '.join(parts[1:])}{more})"
        if whole and self.chance(30):
            return f"{text}.order_by('pk')", not more
        if verb != "difference" and self.chance(15):
            return f"{text}.count()", False
        return text, False

    def asked_query(self) -> tuple[str, bool]:
        """Draw what brings no rows: aggregate(), count(), exists(), first() and the like."""
        text, scope = self.start()
        text += self.narrowed(scope, 3)
        what = self.one(
            ("aggregate", "aggregate", "count", "exists", "first", "in_bulk", "dates", "or")
        )
        if what == "aggregate":
            given = []
            for _ in range(self.number(1, 2)):
                expression, _ = self.aggregation(scope, over_given=True)
                given.append(f"{self.name()}={expression}")
            if self.chance(15) and not scope.forked:
                text += f".order_by({self.ordering(scope, many=False)}){self.sliced()}"
            return f"{text}.aggregate({', '.join(given)})", False
        if what == "count":
            if self.chance(30):
                text += self.valued(scope)
            elif self.chance(30):
                text += f".order_by('pk'){self.sliced()}"
            return f"{text}.count()", False
        if what == "exists":
            return f"{text}.exists()", False
        if what == "first":
            order = self.ordering(scope, many=False)
            verb = self.one(("first", "last"))
            if scope.forked:
                return f"{text}.count()", False
            return f"{text}.order_by({order}).{verb}()", True
        if what == "in_bulk":
            if scope.forked:
                return f"{text}.count()", False
            keys = [self.key(key_kinds(scope.model)) for _ in range(3)]
            return f"{text}.in_bulk([{', '.join(keys)}])", False
        if what == "dates":
            names = [one.name for one in columns(scope.model, "date")]
            if names:
                unit = self.one(("year", "month", "day"))
                order = self.one(("ASC", "DESC"))
                return f"{text}.dates('{self.one(names)}', '{unit}', order='{order}')", True
        name = scope.model.__name__
        if what == "or" and not scope.given and not scope.filtered:
            sign = self.one(("|", "&"))
            one = f"{name}.objects.filter({self.condition(scope, 1)})"
            two = f"{name}.objects.filter({self.condition(scope, 1)})"
            return f"({one} {sign} {two}).distinct()", False
        return f"{text}.exists()", False

    def changed_query(self) -> tuple[str, bool]:
        """Draw an update() or a delete()."""
        text, scope = self.start()
        text += self.narrowed(scope, 2)
        if self.chance(40):
            return f"{text}.delete()", False
        given = []
        # Keys stay: the rows of others hang on them.
        own = [one for one in columns(scope.model) if one.name not in self.fixed(scope.model)]
        if not own:
            return f"{text}.delete()", False
        for column in self.draw(
            st.lists(st.sampled_from(own), min_size=1, max_size=2, unique=True)
        ):
            given.append(f"{column.name}={self.assigned(scope, column)}")
        return f"{text}.update({', '.join(given)})", False

    def fixed(self, model: Model) -> set[str]:
        """Return the columns of keys."""
        found = {"pk", *(one.attname for one in key_columns(model))}
        found |= {one.name for one in columns(model) if one.name.endswith("_id")}
        for constraint in model._meta.total_unique_constraints:
            found |= {*constraint.fields}
        return found

    def assigned(self, scope: Scope, column: Any) -> str:
        """Draw what update() sets a column to."""
        shape = self.one(("literal", "literal", "F", "subquery", "case", "given"))
        if shape == "F" and column.kind == "int":
            return f"F('{column.name}') + {self.literal('int')}"
        if shape == "subquery" and column.kind in ("int", "text", "date", "decimal"):
            found = self.subquery(scope, column.kind, 1)
            if column.null:
                return found
            if column.kind in ("int", "text"):
                return f"Coalesce({found}, Value({self.literal(column.kind)}))"
        if shape == "case" and column.kind in ("int", "text"):
            condition = self.exists(scope, 1)
            one, two = self.literal(column.kind), self.literal(column.kind)
            return f"Case(When({condition}, then=Value({one})), default=Value({two}))"
        if shape == "given":
            found = [one for one in scope.given if one.kind == column.kind]
            if found:
                return f"F('{self.one(found).name}')"
        return self.literal(column.kind)


def _near(model: Model, dangling: bool) -> list[tuple[str, str, bool]]:
    """Return the columns of a model and of those one step away."""
    found = [(one.name, one.kind, False) for one in columns(model)]
    for step in STEPS[model]:
        found += [
            (f"{step.name}__{one.name}", one.kind, step.many)
            for one in columns(step.model)
            if not (dangling and one.name in step.shared)
        ]
    return found
