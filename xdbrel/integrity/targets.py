"""What a scan asks of the targets: which keys are there, which are not, where are gaps.

Two keys are the same when the target's database says so: reading ``source.relation``
asks there too. What the sources hold is for ``sources``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.lookups import Exact as Equals

from xdbrel import keys
from xdbrel.integrity.ends import KEY, End, fetch
from xdbrel.integrity.ranges import KeyRange

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
    """A part of the target's key space.

    ``gaps`` are the ranges without a target in it; ``None`` where there are too many to be
    listed.
    """

    within: KeyRange
    rows: int
    gaps: list[KeyRange] | None


def missing(target: End, wanted: Sequence[Any]) -> list[Any]:
    """Return those of ``wanted`` that no target row has, as the target's database compares."""
    absent: list[Any] = []
    for chunk in keys.chunks(wanted, target.chunk_size()):
        found = set(
            target.rows().filter(target.holds(chunk)).values_list(target.attname, flat=True)
        )
        rest = [key for key in chunk if key not in found]
        absent.extend(_unequal(target, rest) if target.is_text else rest)
    return absent


def present(target: End, first: Any, last: Any, limit: int, *, packed: bool) -> list[Any] | None:
    """Return the target's keys from ``first`` to ``last``, as ``ends.fetch`` hands them out.

    None where there are more than ``limit``.
    """
    rows = target.rows(target.between(since=first, upto=last))
    page = fetch(target, target.only_keys(rows).order_by(KEY)[: limit + 1], packed=packed)
    if page is None:
        return []
    return page.keys if len(page.keys) <= limit else None


def windows(target: End, within: KeyRange) -> Iterator[Window]:
    """Yield a range of integer keys window by window, without a break, each with its gaps.

    One window function over the key's index finds the gaps of some hundred thousand rows.
    The row that a window begins with is looked at again: where it was deleted in the
    meantime, the keys up to the next row are a gap that neither window would show.
    """
    start = _next(target, within)
    if start is None:
        yield _gap(within)
        return
    if start - 1 != within.after:
        yield _gap(KeyRange(within.after, start - 1))
    while start != within.upto:
        rest = KeyRange(start, within.upto)
        pairs = _pairs(target, rest)
        if not pairs or pairs[0][0] != start:
            following = _next(target, rest)
            if following is None:
                yield _gap(KeyRange(start - 1, within.upto))
                return
            yield _gap(KeyRange(start - 1, following - 1))
            start = following
            continue
        last, following = pairs[-1]
        if following is None and last == start:
            yield _gap(rest)
            return
        if following is None:
            gaps = [
                KeyRange(key, after - 1)
                for key, after in pairs[:-1]
                if after is not None and after - key > 1
            ]
            yield Window(KeyRange(start, last), WINDOW, gaps)
            start = last
            continue
        end = _next(target, rest, skip=STRETCH * WINDOW)
        yield Window(KeyRange(start, within.upto if end is None else end), STRETCH * WINDOW, None)
        if end is None:
            return
        start = end


def _gap(within: KeyRange) -> Window:
    return Window(within, 0, [within])


def _pairs(target: End, rest: KeyRange) -> list[tuple[int, int | None]]:
    """Return ``(key, next key)`` at every gap from the row at ``rest.after`` on, of one window.

    The first pair is of that row in any case, unless it is gone; the last has no next key,
    unless there were too many gaps to list.
    """
    if target.vendor == "sqlite":
        return _pairs_by_look_up(target, rest)
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


def _pairs_by_look_up(target: End, rest: KeyRange) -> list[tuple[int, int | None]]:
    """As ``_pairs``: SQLite finds a key's successor three times as fast as it windows."""
    start = rest.after
    end = _next(target, rest, skip=WINDOW - 2)
    name = target.attname
    successor = target.rows().filter(**{name: OuterRef(name) + 1})
    following = target.rows(target.between(upto=rest.upto)).filter(
        **{f"{name}__gt": OuterRef(name)}
    )
    found = (
        target.rows(target.between(since=start, before=end, upto=rest.upto))
        .filter(Q(**{name: start}) | ~Exists(successor))
        .order_by(name)
        .values_list(name, Subquery(following.order_by(name).values(name)[:1]))[: _most_gaps()]
    )
    pairs: list[tuple[int, int | None]] = list(found)
    if end is None or len(pairs) == _most_gaps():
        return pairs
    # The row at the end may be gone since: the next window will see that, and the gap.
    clipped = [(key, end if after is None else min(after, end)) for key, after in pairs]
    return [*clipped, (end, None)]


def _most_gaps() -> int:
    return int(WINDOW * DENSE)


def _next(target: End, within: KeyRange, *, skip: int = 0) -> int | None:
    """Return the smallest key in a range; ``skip`` more are passed over."""
    following = target.rows(target.between(within.after, within.upto)).order_by(target.attname)
    found: int | None = following.values_list(target.attname, flat=True)[skip : skip + 1].first()
    return found


def _unequal(target: End, wanted: Sequence[Any]) -> list[Any]:
    """Return the texts that no target row equals by the column's own collation.

    What comes back for ``'ABC'`` may be ``'abc'``, so each is asked for by itself, many in
    one statement.
    """
    absent: list[Any] = []
    connection = connections[target.using]
    for chunk in keys.chunks(wanted, LOOKUPS):
        looked_up = [
            target.rows()
            .filter(Equals(F(target.attname), Value(key, output_field=target.key_field)))
            .values_list(Value(1))[:1]
            .query.get_compiler(using=target.using)
            .as_sql()
            for key in chunk
        ]
        selected = ", ".join(f"EXISTS({sql})" for sql, _ in looked_up)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {selected}",
                [param for _, params in looked_up for param in params],
            )
            (answers,) = cursor.fetchall()
        absent.extend(key for key, there in zip(chunk, answers, strict=True) if not there)
    return absent
