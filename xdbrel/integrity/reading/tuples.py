"""Keys of several columns, as a scan asks for them: tuples of Python values.

Owns the statements about them, at either end. Texts are told apart by what they are exactly,
and compared with a target's as the target's database compares. What one column is asked is in
``sources`` and ``targets``, which lead here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from django.db import connections
from django.db.models import Count, F, Q, TextField, Value
from django.db.models.lookups import Exact as Equals
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from xdbrel import keys
from xdbrel.integrity.reading.ends import End, Exact
from xdbrel.integrity.reading.ranges import KeyRange

#: Most distinct keys in one page.
PAGE = 50_000

#: Most look-ups in one statement that asks for keys one by one.
LOOKUPS = 100

#: The names of a key's columns in a query of ours.
NAME = "xdbrel_key_{}"


def pages(
    source: End, within: KeyRange, *, by_bytes: bool = False
) -> Iterator[tuple[list[Any], Any]]:
    """Yield the distinct keys in a range, page by page, each with the key that it ends at.

    In the database's own order or, ``by_bytes``, in one that every database has. In its own
    order a page may hold keys in any; texts that a collation takes for one are in one page.
    What fits into one page has no end but the range's.
    """
    after = within.after
    if not by_bytes:
        everything = source.rows(_between(source, False, after=after, upto=within.upto))
        page = list(_listed(source, everything).distinct()[: PAGE + 1])
        if len(page) <= PAGE:
            if page:
                yield page, within.upto
            return
    while True:
        bounded = source.rows(_between(source, by_bytes, after=after, upto=within.upto))
        if by_bytes:
            page = list(_listed(source, bounded).distinct().order_by(*_names(source))[:PAGE])
            upto = page[-1] if page else None
            ended = len(page) < PAGE
        else:
            names = [column.attname for column in source.fields]
            ends = bounded.order_by(*names).values_list(*names).distinct()
            last = list(ends[PAGE - 1 : PAGE])
            ended = not last
            last = last or list(ends.reverse()[:1])
            if not last:
                return
            (upto,) = last
            rows = source.rows(_between(source, by_bytes, after=after, upto=upto))
            page = list(_listed(source, rows).distinct())
        if page:
            yield page, upto
        if ended:
            return
        after = upto


def present(target: End, first: Any, last: Any, limit: int) -> set[Any] | None:
    """Return the target's keys from ``first`` to ``last``, by bytes; ``None`` for too many."""
    rows = target.rows(_between(target, True, since=first, upto=last))
    found = list(_listed(target, rows)[: limit + 1])
    return set(found) if len(found) <= limit else None


def count(source: End, wanted: Sequence[Any]) -> dict[Any, int]:
    """Return how many rows hold each of ``wanted``, exactly as written; none, no entry."""
    asked = set(wanted)
    rows = _listed(source, source.rows().filter(source.holds(wanted)))
    counted = rows.annotate(xdbrel_rows=Count("*"))
    return {tuple(key): number for *key, number in counted if tuple(key) in asked}


def lacking(target: End, wanted: Sequence[Any]) -> list[Any]:
    """Return those of the target's own keys that no row has."""
    rows = target.rows().filter(target.holds(wanted))
    names = [column.attname for column in target.fields]
    found = set(rows.values_list(*names))
    rest = [key for key in wanted if key not in found]
    # What comes back for 'ABC' may be 'abc'.
    if not found or not any(part.is_text for part in target.parts):
        return rest
    return _unequal(target, rest)


def _unequal(target: End, wanted: Sequence[Any]) -> list[Any]:
    """Return the keys that no target row equals by its columns' own collations."""
    return unequal(
        target,
        wanted,
        lambda key: [
            Equals(part.key, Value(value, output_field=part.key_field))
            for part, value in zip(target.parts, key, strict=True)
        ],
        max(1, LOOKUPS // len(target.fields)),
    )


def unequal(
    target: End, wanted: Sequence[Any], equals: Callable[[Any], Sequence[Any]], size: int
) -> list[Any]:
    """Return the keys that no target row ``equals``, looked up ``size`` at a time.

    What comes back for ``'ABC'`` may be ``'abc'``, so each is asked for by itself, many in
    one statement.
    """
    absent: list[Any] = []
    for chunk in keys.chunks(wanted, size):
        looked_up = [
            target.rows()
            .filter(*equals(key))
            .values_list(Value(1))[:1]
            .query.get_compiler(using=target.using)
            .as_sql()
            for key in chunk
        ]
        selected = ", ".join(f"EXISTS({sql})" for sql, _ in looked_up)
        with connections[target.using].cursor() as cursor:
            cursor.execute(
                f"SELECT {selected}", [param for _, params in looked_up for param in params]
            )
            (answers,) = cursor.fetchall()
        absent += [key for key, there in zip(chunk, answers, strict=True) if not there]
    return absent


def _listed(end: End, rows: Any) -> Any:
    """Return the query for the rows' keys alone, texts as what they are exactly."""
    named = {name: _exact(part) for name, part in zip(_names(end), end.parts, strict=True)}
    return rows.annotate(**named).values_list(*named)


def _names(end: End) -> list[str]:
    return [NAME.format(number) for number in range(len(end.fields))]


def _exact(part: End) -> Any:
    return Exact(part.key, output_field=TextField()) if part.is_text else F(part.attname)


def _between(
    end: End,
    by_bytes: bool,
    *,
    after: Any = None,
    since: Any = None,
    upto: Any = None,
) -> Q:
    """Return the condition that keys are above, from or up to these; ``None`` is no bound."""
    columns = [_exact(part) if by_bytes else part.key for part in end.parts]
    fields = [TextField() if by_bytes and part.is_text else part.key_field for part in end.parts]
    low = after if since is None else since
    alike = 0
    if low is not None and upto is not None:
        pairs = zip(low[:-1], upto[:-1], strict=True)
        alike = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    found = Q()
    for bound, strict, last in (
        (after, GreaterThan, GreaterThan),
        (since, GreaterThan, GreaterThanOrEqual),
        (upto, LessThan, LessThanOrEqual),
    ):
        if bound is None:
            continue
        values = [Value(one, output_field=field) for one, field in zip(bound, fields, strict=True)]
        # Written out, for no database is known to find a row's place in every index.
        condition = Q(last(columns[-1], values[-1]))
        for column, value in zip(columns[-2::-1], values[-2::-1], strict=True):
            condition = Q(strict(column, value)) | (Q(Equals(column, value)) & condition)
        found &= condition
        # What the first columns say alone leads by the index.
        lead = GreaterThanOrEqual if strict is GreaterThan else LessThanOrEqual
        found &= Q(*map(Equals, columns[:alike], values[:alike]))
        found &= Q(lead(columns[alike], values[alike]))
    return found
