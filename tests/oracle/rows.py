"""Random rows: few, with few values, so that they meet; NULLs among them; gaps if wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db import models
from hypothesis import strategies as st

from tests.oracle.graph import MODELS, kind_of

KEYS = {"int": (1, 2, 3, 4), "text": ("a", "b", "ab", "c")}
#: A value of each kind as it is written in Python, the simplest first.
VALUES = {
    "int": ("0", "1", "2", "3", "-1"),
    "text": ("''", "'a'", "'b'", "'ab'", "'ba'", "'c'"),
    "bool": ("False", "True"),
    "decimal": ("Decimal('0.00')", "Decimal('1.50')", "Decimal('-2.25')", "Decimal('10.00')"),
    # Of averages, which no row holds.
    "average": ("0", "1", "2"),
    "date": ("date(2020, 1, 1)", "date(2020, 1, 31)", "date(2021, 3, 1)"),
    "moment": (
        "datetime(2020, 1, 1, 0, 0, tzinfo=UTC)",
        "datetime(2020, 1, 1, 12, 30, tzinfo=UTC)",
        "datetime(2021, 3, 1, 23, 59, 59, 250000, tzinfo=UTC)",
    ),
}
#: Keys that no row has.
MISSING = {"int": 7, "text": "z"}


def with_targets(wanted: Iterable[type[models.Model]]) -> list[type[models.Model]]:
    """Return these models and those that their rows cannot do without, targets first."""
    found = set(wanted)
    for model in reversed(MODELS):
        if model in found:
            found |= {
                field.related_model
                for field in model._meta.concrete_fields
                if field.is_relation and not field.null
            }
    return [model for model in MODELS if model in found]


def draw_rows(
    draw: Callable[[Any], Any], wanted: Iterable[type[models.Model]], dangling: bool
) -> list[str]:
    """Draw rows of these models, as lines of Python: ``Author(id=1, name='a')``.

    With ``dangling``, crossing keys may lead to rows that do not exist.
    """
    lines: list[str] = []
    keys: dict[type[models.Model], list[Any]] = {model: [] for model in MODELS}
    for model in with_targets(wanted):
        pk = model._meta.pk
        possible = KEYS[kind_of(pk)]
        used: dict[str, set[Any]] = {}
        # Mostly all of them.
        for key in possible[: draw(st.integers(0, 3 * len(possible)))]:
            given = [f"{pk.attname}={key!r}"]
            for field in model._meta.concrete_fields:
                if field is pk:
                    continue
                if field.is_relation:
                    value = _draw_key(draw, field, keys, used, dangling)
                    if value is None and not field.null:
                        break
                    text = repr(value)
                else:
                    text = _draw_value(draw, field)
                if text != repr(field.get_default()):
                    given.append(f"{field.attname}={text}")
            else:
                keys[model].append(key)
                lines.append(f"{model.__name__}({', '.join(given)})")
    return lines


def _draw_value(draw: Callable[[Any], Any], field: Any) -> str:
    values = VALUES[kind_of(field)]
    if field.null:
        values = ("None", *values)
    return str(draw(st.sampled_from(values)))


def _draw_key(
    draw: Callable[[Any], Any],
    field: Any,
    keys: dict[type[models.Model], list[Any]],
    used: dict[str, set[Any]],
    dangling: bool,
) -> Any:
    possible = [None] if field.null else []
    possible += keys[field.related_model]
    if dangling and not field.db_constraint:
        possible.append(MISSING[kind_of(field)])
    if field.unique:
        possible = [key for key in possible if key not in used.setdefault(field.name, set())]
    if not possible:
        return None
    key = draw(st.sampled_from(possible))
    if field.unique:
        used[field.name].add(key)
    return key
