"""A row in a few bytes: the same on every kind of database, other where a value is other.

Owns what counts as the same value. A row is compared as Python has it, after the fields'
own conversions, so that it does not matter how a database spells a value. A kind that is
not known here is asked of its field: what it would write.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models.expressions import RawSQL

#: JSON's own null in a column of JSON, which Python cannot tell from SQL's. Written as it is.
JSON_NULL = RawSQL("'null'", [])

#: Digests of rows are added up by this.
_MODULUS = 2**64


def digest(row: Sequence[Any], fields: Sequence[models.Field[Any, Any]]) -> str:
    """Return 16 hexadecimal digits for a row, its values in the order of ``fields``."""
    text = "\x1f".join(map(_spelled, row, fields))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def checksum(digests: Iterable[str], start: str = "0") -> str:
    """Return the sum of digests, which does not depend on their order, added to ``start``."""
    total = int(start, 16) + sum(int(one, 16) for one in digests)
    return f"{total % _MODULUS:016x}"


def _spelled(value: Any, field: models.Field[Any, Any]) -> str:
    spell = _SPELLINGS.get(type(value))
    if spell is not None:
        return spell(value)
    if value is JSON_NULL:
        return "jnull"
    prepared: Any = field.get_prep_value(value)
    spell = _SPELLINGS.get(type(prepared))
    return spell(prepared) if spell is not None else f"r{prepared!r}"


def _text(value: str) -> str:
    # With its length, so that no two rows are spelled alike.
    return f"s{len(value)}:{value}"


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        return f"d{value}"
    return f"d{value.normalize():f}" if value else "d0"


def _moment(value: datetime.datetime) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    return f"m{value.isoformat()}"


def _json(value: Any) -> str:
    return "j" + json.dumps(_plain(value), sort_keys=True, default=repr)


def _plain(value: Any) -> Any:
    """Return a value of JSON, or a list of other values, with one spelling for each number."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        # One database keeps 1e22 as it was written, another as a whole number.
        return int(value)
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    spell = _SPELLINGS.get(type(value))
    return repr(value) if spell is None else spell(value)


_SPELLINGS: dict[type[Any], Callable[[Any], str]] = {
    type(None): lambda value: "n",
    bool: lambda value: f"b{value:d}",
    int: lambda value: f"i{value}",
    str: _text,
    # No database keeps apart what compares as equal: 0.0 and -0.0.
    float: lambda value: f"f{value + 0.0!r}",
    Decimal: _decimal,
    datetime.datetime: _moment,
    datetime.date: lambda value: f"y{value.isoformat()}",
    datetime.time: lambda value: f"t{value.isoformat()}",
    datetime.timedelta: lambda value: f"l{value.days}:{value.seconds}:{value.microseconds}",
    uuid.UUID: lambda value: f"u{value.hex}",
    bytes: lambda value: f"x{value.hex()}",
    bytearray: lambda value: f"x{value.hex()}",
    memoryview: lambda value: f"x{value.hex()}",
    dict: _json,
    list: _json,
    tuple: _json,
}
