"""What a scan asks of the sources: which keys do they hold, and how many rows each.

Every statement goes by the key's index and returns a bounded number of keys. What the
target has of them is for ``targets``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Count, Q, QuerySet, TextField
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from xdbrel import keys
from xdbrel.integrity.reading import tuples
from xdbrel.integrity.reading.ends import KEY, End, Exact, Fetched, decode, fetch
from xdbrel.integrity.reading.ranges import KeyRange

#: Most distinct keys in one page: some 10 MB of Python objects, and few enough statements
#: for their overhead not to show beside the rows that they read.
PAGE = 50_000

#: The same where no index leads to the keys, so that each page reads the whole table.
PAGE_WITHOUT_INDEX = 100_000

#: Most ranges in one statement: SQLite takes no more than 500 parts.
RANGES = 100

#: The name of the number of rows in a query of ours.
ROWS = "xdbrel_rows"


@dataclass(frozen=True)
class Page:
    """Distinct keys of the sources, and the key up to which there are no others.

    ``rows`` is how many sources hold each, where that was counted on the way.
    """

    keys: list[Any]
    upto: Any
    rows: Mapping[Any, int] | None = None


def pages(source: End, within: KeyRange) -> Iterator[Page]:
    """Yield the distinct keys in a range, page by page, in the database's order."""
    if source.is_composite:
        return (Page(found, upto) for found, upto in tuples.pages(source, within))
    if not source.column.indexed:
        return _pages_without_index(source, within)
    return _pages_of_text(source, within) if source.is_text else _pages(source, within)


def _pages(source: End, within: KeyRange) -> Iterator[Page]:
    after = within.after
    while True:
        found = list(_page(source, KeyRange(after, within.upto)))
        if found:
            yield Page(found, found[-1])
        if len(found) < PAGE:
            return
        after = found[-1]


def fetched_pages(source: End, within: KeyRange, *, packed: bool) -> Iterator[Fetched]:
    """Yield what ``pages`` does, as ``ends.fetch`` hands it out."""
    after = within.after
    while True:
        page = fetch(source, _page(source, KeyRange(after, within.upto)), packed=packed)
        if page is None:
            return
        yield page
        if len(page.keys) < PAGE:
            return
        (after,) = decode(source, [page.last])


def count(source: End, wanted: Sequence[Any]) -> dict[Any, int]:
    """Return how many rows hold each of ``wanted``, exactly as written; none, no entry."""
    found: dict[Any, int] = {}
    if source.is_composite:
        for chunk in keys.chunks(wanted, source.chunk_size()):
            found.update(tuples.count(source, chunk))
        return found
    for chunk in keys.chunks(wanted, source.chunk_size()):
        # What was written down may be read back otherwise than a column of another type has it.
        asked = {source.own(key): key for key in chunk}
        # A collation may find more keys than were asked for.
        found.update(
            (asked[key], rows)
            for key, rows in _counted(source, source.rows().filter(source.holds(chunk)))
            if key in asked
        )
    return found


def counting(source: End, wanted: Sequence[int]) -> tuple[str, Sequence[Any]]:
    """Return the statement by which ``count`` counts integer keys, for another connection.

    ``EmptyResultSet`` where it could find nothing.
    """
    rows = _counted(source, source.rows().filter(source.holds(wanted)))
    compiled: tuple[str, Sequence[Any]] = rows.query.get_compiler(using=source.using).as_sql()
    return compiled


def count_between(source: End, ranges: Iterable[KeyRange]) -> Iterator[tuple[dict[Any, int], Any]]:
    """Yield how many rows hold each key in ``ranges``, in order and in bounded parts.

    With each part goes the key up to which it and those before are all. The ranges are apart
    from each other and in order; keys are integers. One statement looks into many ranges,
    each by a part of its own, so that each goes by the index: of one condition with many
    ranges some optimizers make a walk through all of it.
    """
    limit = source.chunk_size()
    share = max(1, limit // RANGES)
    for several in keys.chunks(ranges, RANGES):
        found: list[dict[Any, int]] = [{} for _ in several]
        for number, key, rows in _first_of_each(source, several, share):
            found[number][key] = rows
        together: dict[Any, int] = {}
        for within, part in zip(several, found, strict=True):
            together.update(part)
            full = len(part) >= share
            while full:
                last = max(part)
                yield together, last
                part = together = dict(_in_range(source, KeyRange(last, within.upto), limit))
                full = len(part) >= limit
        if together:
            yield together, max(together)


def _first_of_each(
    source: End, ranges: Sequence[KeyRange], limit: int
) -> Iterable[tuple[int, Any, int]]:
    connection = connections[source.using]
    name = connection.ops.quote_name
    columns = f"{name(KEY)}, {name(ROWS)}"
    parts: list[str] = []
    params: list[Any] = []
    for number, within in enumerate(ranges):
        sql, bounds = (
            _in_range(source, within, limit).query.get_compiler(using=source.using).as_sql()
        )
        alias = name(f"xdbrel_range_{number}")
        parts.append(f"SELECT {number}, {columns} FROM ({sql}) {alias}")  # noqa: S608
        params += bounds
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), params)
        rows: list[tuple[int, Any, int]] = cursor.fetchall()
    return rows


def _in_range(source: End, within: KeyRange, limit: int) -> QuerySet[Any, Any]:
    rows = source.rows(source.between(within.after, within.upto))
    return _counted(source, rows).order_by(KEY)[:limit]


def _counted(source: End, rows: QuerySet[Any]) -> QuerySet[Any, Any]:
    key: Any = Exact(source.key) if source.is_text else source.key
    listed: QuerySet[Any, Any] = rows.annotate(**{KEY: key}).values(KEY)
    counted: QuerySet[Any, Any] = listed.annotate(**{ROWS: Count("*")})
    return counted.values_list(KEY, ROWS)


def _page(source: End, within: KeyRange) -> QuerySet[Any, Any]:
    rows = source.rows(source.between(within.after, within.upto))
    return source.only_keys(rows).distinct().order_by(KEY)[:PAGE]


def _pages_of_text(source: End, within: KeyRange) -> Iterator[Page]:
    """Page by the column's collation, keep apart what it takes for one.

    Such keys must not be parted by a page's end, so that is looked for first.
    """
    after = within.after
    while True:
        ends = source.only_keys(source.rows(source.between(after, within.upto)))
        end = ends.distinct().order_by(KEY)[PAGE - 1 : PAGE].first()
        if end is None:
            upto = ends.order_by(f"-{KEY}").first()
            if upto is None:
                return
        else:
            upto = end
        exact = source.rows(source.between(after, upto))
        exact = exact.annotate(**{KEY: Exact(source.key)})
        page = list(exact.values_list(KEY, flat=True).distinct())
        if page:
            yield Page(page, upto)
        if end is None:
            return
        after = end


def _pages_without_index(source: End, within: KeyRange) -> Iterator[Page]:
    """Page and count at once: every statement reads the table, so that there must be few.

    Texts go by what they are exactly, in pages and in order.
    """
    key: Any = Exact(source.key, output_field=TextField()) if source.is_text else None
    after = within.after
    while True:
        if key is None:
            rows = source.rows(source.between(after, within.upto))
        else:
            bounds = ((GreaterThan, after), (LessThanOrEqual, within.upto))
            rows = source.rows(
                Q(*(lookup(key, bound) for lookup, bound in bounds if bound is not None))
            )
        found = dict(_counted(source, rows).order_by(KEY)[:PAGE_WITHOUT_INDEX])
        listed = list(found)
        for start in range(0, len(listed), PAGE):
            part = listed[start : start + PAGE]
            yield Page(part, part[-1], {one: found[one] for one in part})
        if len(listed) < PAGE_WITHOUT_INDEX:
            return
        after = listed[-1]
