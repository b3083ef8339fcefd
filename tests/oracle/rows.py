"""Random rows: few, with few values, so that they meet; NULLs among them; gaps if wanted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import models
from hypothesis import strategies as st

from tests.apps.parted.models import Author, Club, Country, Label, Note, Post, Profile
from tests.oracle.graph import MODELS, is_composite, key_columns, kind_of, names_a_type

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


#: The columns of keys of several.
TOGETHER = {"row": (1, 2, 3), "floor": (1, 2, 3), "letter": ("a", "b")}
#: What relations are generic, by the model that names a content type: which it may name.
GENERIC: dict[type[models.Model], tuple[type[models.Model], ...]] = {
    Note: (Author, Post, Profile),
    Label: (Club,),
}
#: Whose content type is named beside these, with keys that mean nothing then.
OTHER = Country


def with_targets(wanted: Iterable[type[models.Model]]) -> list[type[models.Model]]:
    """Return these models and those that their rows cannot do without, targets first."""
    found = set(wanted)
    for model in reversed(MODELS):
        if model in found:
            found |= {
                field.related_model
                for field in model._meta.local_fields
                if field.is_relation and not field.null and not names_a_type(field)
            }
    return [model for model in MODELS if model in found]


def draw_rows(
    draw: Callable[[Any], Any], wanted: Iterable[type[models.Model]], dangling: bool
) -> list[str]:
    """Draw rows of these models, as lines of Python: ``Author(id=1, name='a')``.

    With ``dangling``, crossing keys may lead to rows that do not exist.
    """
    rows = Rows(draw, dangling)
    for model in with_targets(wanted):
        rows.of(model)
    return rows.lines


class Rows:
    """Rows that are being drawn, targets before their sources."""

    def __init__(self, draw: Callable[[Any], Any], dangling: bool) -> None:
        self.draw = draw
        self.dangling = dangling
        self.lines: list[str] = []
        #: The rows by model, each with its values.
        self.rows: dict[type[models.Model], list[dict[str, Any]]] = {model: [] for model in MODELS}

    def one(self, values: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(values))

    def of(self, model: type[models.Model]) -> None:
        """Draw rows of a model."""
        pk = key_columns(model)
        possible = list(
            itertools.product(*(TOGETHER.get(one.name) or KEYS[kind_of(one)] for one in pk))
        )
        # Mostly all of them.
        for key in possible[: self.draw(st.integers(0, 3 * len(possible)))]:
            row = dict(zip((one.attname for one in pk), key, strict=True))
            if self._fill(model, row):
                self.rows[model].append(row)
                self.lines.append(_line(model, row))

    def _fill(self, model: type[models.Model], row: dict[str, Any]) -> bool:
        """Give a row its values; tell whether there is such a row."""
        if model in GENERIC and not self._generic(model, row):
            return False
        # Columns that belong together before they are taken one by one.
        for field in filter(is_composite, model._meta.local_fields):
            if not self._several(field, row):
                return False
        for field in model._meta.concrete_fields:
            if field.attname in row:
                continue
            if field.is_relation:
                row[field.attname] = self._key(field)
                if row[field.attname] is None and not field.null:
                    return False
            elif field.name in TOGETHER:
                row[field.name] = self.one(
                    [*([None] if field.null else []), *TOGETHER[field.name]]
                )
            else:
                row[field.attname] = Text(self._value(field))
        return self._is_unique(model, row)

    def _is_unique(self, model: type[models.Model], row: dict[str, Any]) -> bool:
        sets = [tuple(names) for names in model._meta.unique_together]
        sets += [one.fields for one in model._meta.total_unique_constraints]
        sets += [(one.name,) for one in model._meta.concrete_fields if one.unique]
        for names in sets:
            attnames = [model._meta.get_field(name).attname for name in names]
            mine = [row[name] for name in attnames]
            if None not in mine and any(
                [other[name] for name in attnames] == mine for other in self.rows[model]
            ):
                return False
        return True

    def _value(self, field: Any) -> str:
        values = VALUES[kind_of(field)]
        if field.null:
            values = ("None", *values)
        return str(self.one(values))

    def _key(self, field: Any) -> Any:
        """Draw a key of one column; None where there is none."""
        possible = [None] if field.null else []
        possible += [row[field.target_field.attname] for row in self.rows[field.related_model]]
        if self.dangling and not field.db_constraint:
            possible.append(MISSING[kind_of(field)])
        if field.unique:
            used = [row[field.attname] for row in self.rows[field.model]]
            possible = [key for key in possible if key is None or key not in used]
        return self.one(possible) if possible else None

    def _several(self, field: Any, row: dict[str, Any]) -> bool:
        """Draw a key of several columns, some of which may have been drawn before."""
        columns = field.local_related_fields
        targets = [one.attname for one in field.foreign_related_fields]
        possible = [
            tuple(target[name] for name in targets) for target in self.rows[field.related_model]
        ]
        values = [TOGETHER[one.name] for one in columns]
        if self.dangling:
            possible += itertools.product(*values)
        partly = itertools.product(
            *(
                (*known, *([None] if one.null else []))
                for one, known in zip(columns, values, strict=True)
            )
        )
        possible = [*(key for key in partly if None in key), *possible]
        names = [one.attname for one in columns]
        possible = [
            key
            for key in possible
            if all(row.get(name, one) == one for name, one in zip(names, key, strict=True))
        ]
        if not possible:
            return False
        row.update(zip(names, self.one(possible), strict=True))
        return True

    def _generic(self, model: type[models.Model], row: dict[str, Any]) -> bool:
        """Draw the content type and the key of a generic relation."""
        (generic,) = (field for field in model._meta.private_fields if hasattr(field, "fk_field"))
        key = model._meta.get_field(generic.fk_field)
        pairs: list[tuple[Any, Any]] = [
            (target, known["code" if target is Club else "id"])
            for target in GENERIC[model]
            for known in self.rows[target]
        ]
        # A key of another model is not theirs, even if one of them has it as well.
        pairs += [(OTHER, one) for one in KEYS[kind_of(key)][:2]]
        if self.dangling:
            pairs += [(target, MISSING[kind_of(key)]) for target in GENERIC[model]]
        if key.null:
            pairs += [(GENERIC[model][0], None), (None, KEYS[kind_of(key)][0])]
        target, found = self.one(pairs)
        name = None
        if target is not None:
            name = Text(f"type_id({model.__name__}, {target.__name__})")
        row[generic.ct_field_name] = name
        row[key.attname] = found
        return True


class Text(str):
    """A value as it is written in Python."""

    __repr__ = str.__str__


def _line(model: type[models.Model], row: dict[str, Any]) -> str:
    given = [
        f"{name}={value!r}"
        for name, value in row.items()
        if repr(value) != repr(_default(model, name))
    ]
    return f"{model.__name__}({', '.join(given)})"


def _default(model: type[models.Model], attname: str) -> Any:
    (field,) = (one for one in model._meta.concrete_fields if one.attname == attname)
    # What has no default is written.
    return field.get_default() if field.null or field.has_default() else Text()
