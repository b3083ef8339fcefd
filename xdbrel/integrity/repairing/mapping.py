"""A mapping of old keys to new ones, for the policy ``repoint``, as people write it.

Owns the files and the types of their keys. Whether the new keys have targets is for
``policies``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError

from xdbrel import keys
from xdbrel.integrity.exceptions import BadMapping
from xdbrel.integrity.reading.ends import End

#: What the first line of a CSV file may be.
HEADER = ["old", "new"]


def load(path: str, relation: str) -> list[tuple[Any, Any]]:
    """Read pairs of old and new key from a file of JSON or, by its name, of CSV.

    JSON is an object, or a list of pairs; ``null`` as a new key is none. CSV has two columns;
    a first line ``old,new`` is passed over. Raises ``BadMapping`` and ``OSError``.
    """
    if path.lower().endswith(".csv"):
        with Path(path).open(newline="", encoding="utf-8") as file:
            pairs: Any = [line for line in csv.reader(file) if line]
        if pairs and pairs[0] == HEADER:
            del pairs[0]
    else:
        with Path(path).open(encoding="utf-8") as file:
            try:
                pairs = json.load(file)
            except json.JSONDecodeError as error:
                raise BadMapping(relation, f"{path} is no JSON: {error}") from error
        if isinstance(pairs, dict):
            pairs = list(pairs.items())
    if not isinstance(pairs, list) or any(
        not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in pairs
    ):
        raise BadMapping(relation, f"{path} does not hold pairs of keys")
    return [(old, new) for old, new in pairs]


def _key(written: Any, source: End) -> Any:
    """Return a key as the field has it; of several columns it is written as a list."""
    if not source.is_composite:
        return source.told_field.to_python(written)
    if not isinstance(written, (list, tuple)) or len(written) != len(source.fields):
        raise ValidationError(f"is no list of {len(source.fields)} values")
    return keys.decode([written], source.field)[0]


def decode(given: Mapping[Any, Any] | Iterable[tuple[Any, Any]], source: End) -> dict[Any, Any]:
    """Return the mapping with keys of the field's own type; raises ``BadMapping``."""
    relation = source.relation.handle
    decoded: dict[Any, Any] = {}
    pairs = given.items() if isinstance(given, Mapping) else given
    for old, new in pairs:
        try:
            key = _key(old, source)
            new_key = None if new is None else _key(new, source)
        except ValidationError as error:
            raise BadMapping(relation, f"{old!r} → {new!r}: {error.messages[0]}") from error
        if not keys.is_whole(key):
            raise BadMapping(relation, "None is no old key")
        if decoded.setdefault(key, new_key) != new_key:
            raise BadMapping(relation, f"the old key {key!r} has two new ones")
    if not decoded:
        raise BadMapping(relation, "it is empty")
    return decoded
