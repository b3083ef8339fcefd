"""Running a queryset on both sides, and comparing what comes.

A queryset is Python text over the models' names. On the parted side these are the models;
for the other one a name stands for something whose ``objects`` is in ``whole``, inner
querysets included.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import Any

from django.db import Error, connections, models, transaction
from django.db.models import functions, lookups
from django.db.models.query import QuerySet

from tests.apps.parted.routers import WHOLE
from tests.oracle.graph import BY_NAME, MODELS
from tests.oracle.sizes import in_force
from xdbrel import placement

PARTED = ("default", "blog", "shop")
ONE_ENGINE = len({connections[alias].vendor for alias in PARTED}) == 1
VENDORS = {connections[alias].vendor for alias in PARTED}


class InWhole:
    """Stands for a model of which only the rows in ``whole`` are seen."""

    def __init__(self, model: type[models.Model]) -> None:
        self.model = model

    @property
    def objects(self) -> QuerySet[Any]:
        return self.model.objects.using(WHOLE)

    def __call__(self, **kwargs: Any) -> models.Model:
        return self.model(**kwargs)


_COMMON: dict[str, Any] = {
    **{name: getattr(functions, name) for name in functions.__all__},
    **{name: getattr(models, name) for name in models.__all__},
    "GreaterThan": lookups.GreaterThan,
    "Decimal": Decimal,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "UTC": datetime.UTC,
}
SIDES: dict[str, dict[str, Any]] = {
    "parted": {**_COMMON, **BY_NAME},
    WHOLE: {**_COMMON, **{name: InWhole(model) for name, model in BY_NAME.items()}},
}


@contextmanager
def undone() -> Iterator[None]:
    """Undo in the end what the block does in any database."""
    with ExitStack() as stack:
        for alias in (*PARTED, WHOLE):
            stack.enter_context(transaction.atomic(using=alias))
        yield
        for alias in (*PARTED, WHOLE):
            transaction.set_rollback(True, using=alias)


def write(rows: Iterable[str]) -> None:
    """Write rows, given as text, to their homes and to ``whole``."""
    rows = list(rows)
    for alias in (None, WHOLE):
        instances = [eval(row, SIDES["parted"]) for row in rows]
        for model in MODELS:
            of_model = [one for one in instances if type(one) is model]
            if of_model:
                model.objects.using(alias or placement.home(model)).bulk_create(of_model)


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
            return plain(found, side)
    except Exception as error:
        return error


def plain(value: Any, side: str, around: tuple[models.Model, ...] = ()) -> Any:
    """Return a value as something that is equal on both sides if it is the same.

    ``around`` are the instances that led to it.
    """
    if isinstance(value, models.Model):
        return _instance(value, side, around)
    if isinstance(value, Mapping):
        return {key: plain(item, side) for key, item in value.items()}
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
    home = WHOLE if side == WHOLE else placement.home(type(instance))
    if instance._state.db != home:
        return f"{instance!r} of {home!r} that is said to be of {instance._state.db!r}"
    found = [(name, value) for name, value in vars(instance).items() if name != "_state"]
    # What select_related() brought; plain keys are among the attributes.
    found += [(f"{name}.", one) for name, one in instance._state.fields_cache.items()]
    found.sort(key=lambda item: item[0])
    return [
        type(instance).__name__,
        *((name, plain(one, side, (*around, instance))) for name, one in found),
    ]


def tables(side: str) -> dict[str, list[Any]]:
    """Return all rows of one side, by model."""
    return {
        model.__name__: list(
            model.objects.using(WHOLE if side == WHOLE else placement.home(model))
            .order_by("pk")
            .values_list()
        )
        for model in MODELS
    }


def differences(
    rows: Iterable[str],
    query: str,
    *,
    ordered: bool = False,
    sizes: Mapping[str, int] | None = None,
) -> str:
    """Return what is different where a queryset is run on both sides; nothing if it is not.

    ``ordered`` says that the order of the results is determined by the queryset, ``sizes``
    by which figures the planner goes (``tests.oracle.sizes``).
    """
    rows = list(rows)
    sizes = sizes or {}
    with undone():
        write(rows)
        # First where Django is alone: what fails there is not worth the other.
        expected = outcome(WHOLE, query)
        with in_force(sizes):
            got = outcome("parted", query)
        if not _same(expected, got, ordered):
            return _report(rows, query, sizes, expected, got)
        expected, got = tables(WHOLE), tables("parted")
        if expected != got:
            names = [name for name in expected if expected[name] != got[name]]
            return _report(
                rows,
                query,
                sizes,
                {name: expected[name] for name in names},
                {name: got[name] for name in names},
            )
    return ""


def _same(expected: Any, got: Any, ordered: bool) -> bool:
    if isinstance(expected, Exception) or isinstance(got, Exception):
        if not ONE_ENGINE and isinstance(expected, Error):
            # What one server does not take, another may, or has another name for.
            return True
        return type(expected) is type(got)
    if isinstance(expected, list) and isinstance(got, list) and not ordered:
        return Counter(map(repr, expected)) == Counter(map(repr, got))
    return bool(expected == got)


def _report(rows: list[str], query: str, sizes: Mapping[str, int], expected: Any, got: Any) -> str:
    written = "".join(f"    {row}\n" for row in rows)
    by = f"sizes={dict(sizes)!r}\n" if sizes else ""
    return f"\n{written}\n{query}\n{by}\nexpected: {expected!r}\ngot:      {got!r}\n"
