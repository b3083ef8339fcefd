"""What a scan asks of the targets: which keys are there, which are not, where are gaps.

Two keys are the same when the target's database says so: reading ``source.relation``
asks there too. What the sources hold is for ``sources``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Value
from django.db.models.lookups import Exact as Equals

from xdbrel import keys
from xdbrel.integrity.reading import tuples, words
from xdbrel.integrity.reading.ahead import Ahead
from xdbrel.integrity.reading.ends import KEY, LEAST, MOST, End, fetch, says_integer
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.reading.words import Words

#: How many keys from the first to the last one statement puts into words.
SPAN = 1 << 17

#: Where fewer keys than one in so many are there, gaps are looked for row by row.
THIN = 4

#: How many target rows one statement looks at for gaps: bounds what it may return, and
#: stays below the cost at which PostgreSQL compiles a statement.
WINDOW = 100_000

#: A window with more gaps than this share of its rows is not worth probing gap by gap.
DENSE = 0.25

#: How many windows are passed over, gaps not looked for, after one that was too dense.
STRETCH = 8

#: Most look-ups in one statement that asks for texts one by one.
LOOKUPS = 200


@dataclass(frozen=True)
class Window:
    """A part of the target's key space, with what is there or what is not.

    ``words`` are the keys of dense parts. In others ``gaps`` are the ranges without a
    target; None, where there are no words either, stands for too many to be listed.
    """

    within: KeyRange
    rows: int
    gaps: list[KeyRange] | None = None
    words: Words | None = None


def missing(target: End, wanted: Sequence[Any]) -> list[Any]:
    """Return those of ``wanted`` that no target row has, as the target's database compares.

    Keys may be the source's: what is no key at the target is missing.
    """
    absent: list[Any] = []
    for chunk in keys.chunks(wanted, target.chunk_size()):
        owned = [target.own(key) for key in chunk]
        there = [key for key in owned if key is not None]
        lacking = set(_lacking(target, there)) if there else set()
        absent.extend(
            key for key, own in zip(chunk, owned, strict=True) if own is None or own in lacking
        )
    return absent


def _lacking(target: End, wanted: Sequence[Any]) -> list[Any]:
    """Return those of the target's own keys that no row has, in a statement or two."""
    if target.is_composite:
        return tuples.lacking(target, wanted)
    shipped = _shipped(target, wanted)
    if shipped is not None:
        template, param = shipped
        rows = target.only_keys(target.rows())
        try:
            sql, params = rows.query.get_compiler(using=target.using).as_sql()
        except EmptyResultSet:
            return list(wanted)
        connection = connections[target.using]
        statement = template.format(rows=sql, key=connection.ops.quote_name(KEY))
        with connection.cursor() as cursor:
            cursor.execute(statement, [param, *params])
            return [wanted[number] for (number,) in cursor.fetchall()]
    found = set(
        target.only_keys(target.rows().filter(target.holds(wanted))).values_list(KEY, flat=True)
    )
    rest = [key for key in wanted if key not in found]
    return _unequal(target, rest) if target.is_text else rest


def _shipped(target: End, wanted: Sequence[Any]) -> tuple[str, Any] | None:
    """Return a statement that numbers the keys without a row, and its parameter: all keys.

    None where the database can take them only one by one.
    """
    if target.vendor == "postgresql":
        return _as_array(target, wanted)
    if target.vendor == "sqlite" and keys.as_one_parameter(target.key_field, target.using):
        prepared = _prepared(target, wanted)
        return (
            "SELECT j.key FROM json_each(%s) AS j "
            "WHERE NOT EXISTS (SELECT 1 FROM ({rows}) AS t WHERE t.{key} = j.value)",
            json.dumps(prepared),
        )
    if target.vendor == "mysql":
        return _as_json_table(target, wanted)
    return None


def _as_array(target: End, wanted: Sequence[Any]) -> tuple[str, Any] | None:
    array = keys.array_type(target.key_field)
    if array is None:
        return None
    prepared = _prepared(target, wanted)
    own = "k.k"
    if target.is_text:
        if target.column.type in ("citext", "bpchar"):
            own += f"::{target.column.type}"
        if target.column.collation is not None:
            own += f" COLLATE {target.column.collation}"
    return (
        f"SELECT k.n - 1 FROM unnest(%s::{array}) WITH ORDINALITY AS k(k, n) "  # noqa: S608
        f"WHERE NOT EXISTS (SELECT 1 FROM ({{rows}}) AS t WHERE t.{{key}} = {own})",
        prepared if target.is_text else f"{{{','.join(map(str, prepared))}}}",
    )


def _as_json_table(target: End, wanted: Sequence[Any]) -> tuple[str, Any] | None:
    prepared = _prepared(target, wanted)
    if target.is_integer and max(prepared) <= MOST:
        kind = "bigint"
    elif target.is_text and target.column.collation is not None:
        longest = max(map(len, prepared), default=1)
        if longest > 1_000:
            return None
        kind = (
            f"varchar({max(1, longest)}) CHARACTER SET utf8mb4 COLLATE {target.column.collation}"
        )
    elif target.is_uuid and connections[target.using].features.has_native_uuid_field:
        kind = "char(36)"
    else:
        return None
    # A left join goes by the target's index, from the keys: not one plan among others.
    return (
        f"SELECT j.n - 1 FROM JSON_TABLE(%s, '$[*]' "  # noqa: S608
        f"COLUMNS (n FOR ORDINALITY, k {kind} PATH '$')) AS j "
        f"LEFT JOIN ({{rows}}) AS t ON t.{{key}} = j.k WHERE t.{{key}} IS NULL",
        json.dumps([str(key) if target.is_uuid else key for key in prepared], ensure_ascii=False),
    )


def _prepared(target: End, wanted: Sequence[Any]) -> list[Any]:
    if says_integer(target.key_field):
        return list(wanted)
    connection = connections[target.using]
    prepare = target.key_field.get_db_prep_value
    return [prepare(key, connection, prepared=False) for key in wanted]


def present(target: End, first: Any, last: Any, limit: int, *, packed: bool) -> list[Any] | None:
    """Return the target's keys from ``first`` to ``last``, as ``ends.fetch`` hands them out.

    None where there are more than ``limit``.
    """
    rows = target.rows(target.between(since=first, upto=last))
    page = fetch(target, target.only_keys(rows).order_by(KEY)[: limit + 1], packed=packed)
    if page is None:
        return []
    return page.keys if len(page.keys) <= limit else None


def windows(target: End, within: KeyRange, ahead: Ahead) -> Iterator[Window]:
    """Yield a range of integer keys window by window, without a break.

    Where keys are dense one statement of ``ahead`` hands out the words of some hundred
    thousand. Where they are thin it is a window function that finds the gaps of as many rows.
    The row that such a window begins with is looked at again: where it was deleted in the
    meantime, the keys up to the next row are a gap that neither window would show.
    """
    start = _next(target, within)
    if start is None:
        yield _gap(within)
        return
    limit = MOST if within.upto is None else within.upto
    if start - 1 != within.after and start > LEAST:
        yield _gap(KeyRange(within.after, start - 1))
    dense = True
    while start is not None:
        if dense:
            last = min(start + SPAN - 1, limit)
            found = ahead.read(start, last, limit)
            rows = len(found)
            dense = rows * THIN >= last - start + 1
            top = found.top()
            if dense and last - top < words.BITS and last != limit:
                yield Window(KeyRange(start - 1, last), rows, words=found)
                start = last + 1
                continue
            # Here keys end, for now: the next one may be far away.
            if rows:
                yield Window(KeyRange(start - 1, top), rows, words=replace(found, last=top))
            start = None if last == limit else _next(target, KeyRange(last, within.upto))
            upto = within.upto if start is None else start - 1
            if top != upto:
                yield _gap(KeyRange(top, upto))
            continue
        start, dense, window = _thin(target, KeyRange(start, within.upto))
        yield window


def _thin(target: End, rest: KeyRange) -> tuple[int | None, bool, Window]:
    """Return the window that begins with the row at ``rest.after``.

    Before it: the row that the next one begins with, and whether keys are dense here.
    """
    start = rest.after
    pairs = _pairs(target, rest)
    if not pairs or pairs[0][0] != start:
        following = _next(target, rest)
        if following is None:
            return None, False, _gap(KeyRange(start - 1, rest.upto))
        return following, False, _gap(KeyRange(start - 1, following - 1))
    last, following = pairs[-1]
    if following is None and last == start:
        return None, False, _gap(rest)
    if following is None:
        gaps = [
            KeyRange(key, after - 1)
            for key, after in pairs[:-1]
            if after is not None and after - key > 1
        ]
        missing = sum(gap.upto - gap.after for gap in gaps)
        dense = (last - start - missing) * THIN >= 2 * (last - start)
        return last, dense, Window(KeyRange(start, last), WINDOW, gaps)
    end = _next(target, rest, skip=STRETCH * WINDOW)
    return end, False, Window(KeyRange(start, rest.upto if end is None else end), STRETCH * WINDOW)


def _gap(within: KeyRange) -> Window:
    return Window(within, 0, gaps=[within])


def _pairs(target: End, rest: KeyRange) -> list[tuple[int, int | None]]:
    """Return ``(key, next key)`` at every gap from the row at ``rest.after`` on, of one window.

    The first pair is of that row in any case, unless it is gone; the last has no next key,
    unless there were too many gaps to list.
    """
    start = rest.after
    connection = connections[target.using]
    name = connection.ops.quote_name
    inner, params = (
        target.only_keys(target.rows(target.between(since=start, upto=rest.upto)))
        .order_by(KEY)[:WINDOW]
        .query.get_compiler(using=target.using)
        .as_sql()
    )
    key, following = name(KEY), name("xdbrel_next")
    # "next - 1 > key", not "next > key + 1": the largest integer has no successor.
    statement = (
        f"SELECT {key}, {following} FROM ("  # noqa: S608 (names quoted, values are parameters)
        f"SELECT {key}, LEAD({key}) OVER (ORDER BY {key}) AS {following} FROM ({inner}) "
        f"{name('xdbrel_keys')}) {name('xdbrel_pairs')} "
        f"WHERE {following} - 1 > {key} OR {following} IS NULL OR {key} = %s "
        f"ORDER BY {key} LIMIT {_most_gaps()}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*params, start])
        pairs: list[tuple[int, int | None]] = cursor.fetchall()
    return pairs


def _most_gaps() -> int:
    return int(WINDOW * DENSE)


def _next(target: End, within: KeyRange, *, skip: int = 0) -> int | None:
    """Return the smallest key in a range; ``skip`` more are passed over."""
    rows = target.rows(target.between(within.after, within.upto))
    found: int | None = target.only_keys(rows).order_by(KEY)[skip : skip + 1].first()
    return found


def _unequal(target: End, wanted: Sequence[Any]) -> list[Any]:
    """Return the texts that no target row equals by the column's own collation."""
    return tuples.unequal(
        target,
        wanted,
        lambda key: [Equals(target.key, Value(key, output_field=target.key_field))],
        LOOKUPS,
    )
