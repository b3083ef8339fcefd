"""Running a queryset on both sides, and comparing what comes.

A queryset is Python text over the models' names. On the parted side these are the models, on
the other their twins in ``whole``, inner querysets included.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import Error, connections, models, transaction
from django.db.models import functions, lookups
from django.db.models.query import QuerySet
from django.test import override_settings

from tests.apps.parted.routers import WHOLE
from tests.oracle.graph import BY_NAME, names_a_type
from tests.oracle.rows import GENERIC, OTHER
from tests.oracle.sizes import in_force
from tests.oracle.twins import TWINS, complete, written
from xdbrel import placement

PARTED = ("default", "blog", "shop")
ONE_ENGINE = len({connections[alias].vendor for alias in PARTED}) == 1
VENDORS = {connections[alias].vendor for alias in PARTED}


_COMMON: dict[str, Any] = {
    **{name: getattr(functions, name) for name in functions.__all__},
    **{name: getattr(models, name) for name in models.__all__},
    "GreaterThan": lookups.GreaterThan,
    "Decimal": Decimal,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "UTC": datetime.UTC,
}


def type_id(source: type[models.Model], target: type[models.Model]) -> int:
    """Return the id of a model's content type, as rows of another model name it."""
    home = placement.home(source)
    using = home if placement.may_live(ContentType, home) else "default"
    found: int = ContentType.objects.db_manager(using).get_for_model(target).pk
    return found


SIDES: dict[str, dict[str, Any]] = {
    "parted": {**_COMMON, **BY_NAME, "type_id": type_id, "key": lambda *values: values},
    WHOLE: {**_COMMON, **TWINS, "type_id": type_id, "key": written},
}
#: The models that content types are read of, by Django or for the rows.
TARGETS = sorted({model.__name__ for known in GENERIC.values() for model in (*known, OTHER)})
#: What PostgreSQL says of a column that is not grouped by.
NOT_GROUPED = "must appear in the GROUP BY clause"
#: The columns of each model that are the same on both sides.
SAME = {
    name: [field.attname for field in model._meta.concrete_fields if not names_a_type(field)]
    for name, model in BY_NAME.items()
}


def types_everywhere() -> override_settings:
    """Let content types stand beside the rows that name them, while the block runs."""
    router = "tests.integration.generic.routers_for_tests.TypesEverywhere"
    return override_settings(DATABASE_ROUTERS=[router, *settings.DATABASE_ROUTERS])


@contextmanager
def undone() -> Iterator[None]:
    """Undo in the end what the block does in any database."""
    with ExitStack() as stack:
        for alias in (*PARTED, WHOLE):
            stack.enter_context(transaction.atomic(using=alias))
        # Of generic relations Django reads the content types where the routers say, and deletes
        # by those beside the rows. For the twins the ones are the others, as in one database.
        for alias in ("default", WHOLE):
            ContentType.objects.using(alias).bulk_create(
                ContentType(900_000 + number, WHOLE, name.lower())
                for number, name in enumerate(TARGETS)
            )
        yield
        for alias in (*PARTED, WHOLE):
            transaction.set_rollback(True, using=alias)
    # Content types that were made along the way are gone.
    ContentType.objects.clear_cache()


def write(rows: Iterable[str]) -> None:
    """Write rows, given as text, to their homes and to ``whole``."""
    rows = list(rows)
    for side, known in (("parted", BY_NAME), (WHOLE, TWINS)):
        instances = [eval(row, SIDES[side]) for row in rows]
        for name in BY_NAME:
            model = known[name]
            of_model = [one for one in instances if type(one) is model]
            if side == WHOLE:
                of_model = [complete(one) for one in of_model]
            if of_model:
                model.objects.using(placement.home(model)).bulk_create(of_model)


def outcome(side: str, query: str) -> Any:
    """Return what a queryset brings on one side, or the error that it raises, made plain."""
    try:
        with ExitStack() as stack:
            # What fails on PostgreSQL leaves a transaction that only takes a rollback.
            for alias in PARTED if side == "parted" else (WHOLE,):
                stack.enter_context(transaction.atomic(using=alias))
            found = eval(query, SIDES[side])
            if isinstance(found, QuerySet | Iterator):
                found = list(found)
            found = plain(found, side)
            if ".difference(" in query and isinstance(found, list):
                # Django forgets to make equal rows one where it knows that nothing is taken away.
                found = [one for at, one in enumerate(found) if one not in found[:at]]
            return found
    except Exception as error:
        return error


def plain(value: Any, side: str, around: tuple[models.Model, ...] = ()) -> Any:
    """Return a value as something that is equal on both sides if it is the same.

    ``around`` are the instances that led to it.
    """
    if isinstance(value, models.Model):
        return _instance(value, side, around)
    if isinstance(value, Mapping):
        # What was deleted first is told first, which is nobody's promise.
        found = {_label(key): plain(item, side) for key, item in value.items()}
        return {key: found[key] for key in sorted(found, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item, side) for item in value]
    if isinstance(value, float | Decimal):
        # Sums of decimals and averages come as floats from some databases; MariaDB's averages of
        # integers have four decimals.
        return round(float(value), 6 if ONE_ENGINE else 3)
    return value


def _instance(instance: models.Model, side: str, around: tuple[models.Model, ...]) -> Any:
    if any(instance is one for one in around):
        return [type(instance).__name__, instance.pk]
    home = placement.home(type(instance))
    if instance._state.db != home:
        return f"{instance!r} of {home!r} that is said to be of {instance._state.db!r}"
    other = _not_the_same(type(instance))
    found = [(name, value) for name, value in vars(instance).items() if name not in other]
    # What select_related() brought; plain keys are among the attributes.
    found += [(f"{name}.", one) for name, one in instance._state.fields_cache.items()]
    found.sort(key=lambda item: item[0])
    return [
        type(instance).__name__,
        *((name, plain(one, side, (*around, instance))) for name, one in found),
    ]


def _not_the_same(model: type[models.Model]) -> set[str]:
    """Return the attributes of instances that the other side's have not, or not the same."""
    same = SAME[model.__name__]
    return {"_state", *(one.attname for one in model._meta.concrete_fields)} - {*same}


def _label(key: Any) -> Any:
    """Return a key of a mapping; a model's label, in what delete() tells, without its app."""
    return key.rpartition(".")[2] if isinstance(key, str) else key


def changes(query: str) -> bool:
    """Tell whether a query changes rows, and does not only read them."""
    return ".update(" in query or query.endswith(".delete()")


def tables(side: str) -> dict[str, list[Any]]:
    """Return all rows of one side, by model."""
    known = TWINS if side == WHOLE else BY_NAME
    return {
        name: list(
            known[name]
            .objects.using(placement.home(known[name]))
            .order_by("pk")
            .values_list(*SAME[name])
        )
        for name in BY_NAME
    }


def differences(
    rows: Iterable[str],
    query: str,
    *,
    ordered: bool = False,
    sizes: Mapping[str, int] | None = None,
    everywhere: bool = False,
) -> str:
    """Return what is different where a queryset is run on both sides; nothing if it is not.

    ``ordered`` says that the order of the results is determined by the queryset, ``sizes``
    by which figures the planner goes (``tests.oracle.sizes``). ``everywhere`` says that content
    types stand beside the rows, in every database with other ids, and not in ``default`` alone.
    """
    rows = list(rows)
    sizes = sizes or {}
    given = f"sizes={dict(sizes)!r}, everywhere={everywhere!r}"
    everywhere = everywhere and any("type_id" in row for row in rows)
    with types_everywhere() if everywhere else nullcontext(), undone():
        write(rows)
        # First where Django is alone: what fails there is not worth the other.
        expected = outcome(WHOLE, query)
        with in_force(sizes):
            got = outcome("parted", query)
        if not _same(expected, got, ordered):
            return _report(rows, query, given, expected, got)
        if not changes(query):
            return ""
        expected, got = tables(WHOLE), tables("parted")
        if expected != got:
            names = [name for name in expected if expected[name] != got[name]]
            return _report(
                rows,
                query,
                given,
                {name: expected[name] for name in names},
                {name: got[name] for name in names},
            )
    return ""


def _same(expected: Any, got: Any, ordered: bool) -> bool:
    if isinstance(expected, Exception) or isinstance(got, Exception):
        if isinstance(got, AssertionError):
            # Django's columns of one key do not come out of a subquery: no aggregate over groups
            # takes a condition on them, and the twins have one column.
            return True
        if NOT_GROUPED in str(got):
            # A known gap: a text that is brought, and whose home compares it in another way, has
            # two names where it stands in GROUP BY and in HAVING. PostgreSQL takes it for two,
            # and refuses the query.
            return True
        if not ONE_ENGINE and isinstance(expected, Error):
            # What one server does not take, another may, or has another name for.
            return True
        return type(expected) is type(got)
    if isinstance(expected, list) and isinstance(got, list) and not ordered:
        return Counter(map(repr, expected)) == Counter(map(repr, got))
    return bool(expected == got)


def _report(rows: list[str], query: str, given: str, expected: Any, got: Any) -> str:
    written = "".join(f"    {row}\n" for row in rows)
    return f"\n{written}\n{query}\n{given}\n\nexpected: {expected!r}\ngot:      {got!r}\n"
