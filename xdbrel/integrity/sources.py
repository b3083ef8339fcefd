"""What a scan asks of the sources: which keys do they hold, and how many rows each.

Every statement goes by the key's index and returns a bounded number of keys. What the
target has of them is for ``targets``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import connections
from django.db.models import Count, F, QuerySet

from xdbrel import keys
from xdbrel.integrity.ends import KEY, End, Exact, Page, fetch
from xdbrel.integrity.ranges import KeyRange

#: Most distinct keys in one page: some 10 MB of Python objects, and few enough statements
#: for their overhead not to show beside the rows that they read.
PAGE = 50_000

#: Most ranges in one statement: SQLite takes no more than 500 parts.
RANGES = 100

#: The name of the number of rows in a query of ours.
ROWS = "xdbrel_rows"


def pages(source: End, within: KeyRange) -> Iterator[tuple[list[Any], Any]]:
    """Yield the distinct keys in a range, page by page, each with the key up to which that is."""
    if source.is_text:
        yield from _pages_of_text(source, within)
        return
    after = within.after
    while True:
        page = list(_page(source, KeyRange(after, within.upto)))
        full = len(page) >= PAGE
        if page:
            yield page, page[-1] if full else within.upto
        if not full:
            return
        after = page[-1]


def fetched_pages(source: End, within: KeyRange, *, packed: bool) -> Iterator[Page]:
    """Yield what ``pages`` does, as ``ends.fetch`` hands it out."""
    after = within.after
    while True:
        page = fetch(source, _page(source, KeyRange(after, within.upto)), packed=packed)
        if page is None:
            return
        yield page
        if len(page.keys) < PAGE:
            return
        after = page.last


def count(source: End, wanted: Sequence[Any]) -> dict[Any, int]:
    """Return how many rows hold each of ``wanted``, exactly as written; none, no entry."""
    found: dict[Any, int] = {}
    for chunk in keys.chunks(wanted, source.chunk_size()):
        asked = set(chunk)
        # A collation may find more keys than were asked for.
        found.update(
            (key, rows)
            for key, rows in _counted(source, source.rows().filter(source.holds(chunk)))
            if key in asked
        )
    return found


def count_between(source: End, ranges: Iterable[KeyRange]) -> Iterator[dict[Any, int]]:
    """Yield how many rows hold each key in ``ranges``, in bounded parts.

    The ranges are apart from each other; keys are integers. One statement looks into many
    ranges, each by a part of its own, so that each goes by the index: of one condition
    with many ranges some optimizers make a walk through all of it.
    """
    limit = source.chunk_size()
    share = max(1, limit // RANGES)
    for several in keys.chunks(ranges, RANGES):
        found: list[dict[Any, int]] = [{} for _ in several]
        for number, key, rows in _first_of_each(source, several, share):
            found[number][key] = rows
        together = {key: rows for part in found for key, rows in part.items()}
        if together:
            yield together
        for within, part in zip(several, found, strict=True):
            full = len(part) >= share
            while full:
                part = dict(_in_range(source, KeyRange(max(part), within.upto), limit))
                if part:
                    yield part
                full = len(part) >= limit


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
    key: Any = Exact(F(source.attname)) if source.is_text else F(source.attname)
    listed: QuerySet[Any, Any] = rows.annotate(**{KEY: key}).values(KEY)
    counted: QuerySet[Any, Any] = listed.annotate(**{ROWS: Count("*")})
    return counted.values_list(KEY, ROWS)


def _page(source: End, within: KeyRange) -> QuerySet[Any, Any]:
    rows = source.rows(source.between(within.after, within.upto))
    return source.only_keys(rows).distinct().order_by(KEY)[:PAGE]


def _pages_of_text(source: End, within: KeyRange) -> Iterator[tuple[list[Any], Any]]:
    """Page by the column's collation, keep apart what it takes for one.

    Such keys must not be parted by a page's end, so that is looked for first.
    """
    after = within.after
    while True:
        rows = source.rows(source.between(after, within.upto))
        ends = source.only_keys(rows).distinct().order_by(KEY)
        end = ends[PAGE - 1 : PAGE].first()
        upto = within.upto if end is None else end
        exact = source.rows(source.between(after, upto))
        exact = exact.annotate(**{KEY: Exact(F(source.attname))})
        page = list(exact.values_list(KEY, flat=True).distinct())
        if page:
            yield page, upto
        if end is None:
            return
        after = end
