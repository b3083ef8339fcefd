"""Answers of queries that span, which django-cachalot keeps.

Owns what such an answer is known by, and what it was read from. cachalot knows an answer by its
one statement and forgets it by the tables of one alias. Here it is known by what Django would
write were all tables in one database, for each kind of database that plays a part, and by where
its tables are; and it is forgotten by every one of these tables on every one of these aliases.
Only the whole answer is kept, nothing that is read on the way. Reads that decide are not looked
up: those inside ``caching.uncached()``, those of a write, and what ``QuerySet.delete()`` collects.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import wraps
from types import GeneratorType
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError
from django.db import connections, models
from django.db.models.sql import DeleteQuery, InsertQuery, UpdateQuery
from django.db.models.sql.constants import MULTI, SINGLE

from xdbrel import caching, placement
from xdbrel.query import blocks, limits, places
from xdbrel.query.state import STATE

#: The attribute of a query whose rows are to be deleted.
DECIDES = "xdbrel_decides"

_WRITES = (DeleteQuery, InsertQuery, UpdateQuery)

_QUOTED = re.compile(r'"[^"]*"|`[^`]*`')
#: What gives another value each time.
_CLOCK = re.compile(
    r"\b(?:now|sysdate|curdate|curtime|utc_\w+|\w+_timestamp)\s*\(|'now'"
    r"|\b(?:current_(?:timestamp|date|time)|localtime(?:stamp)?)\b",
    re.IGNORECASE,
)
_RANDOM = re.compile(r"\b(?:rand|random\w*|gen_random_\w+|uuid\w*)\s*\(", re.IGNORECASE)

_django_delete = models.QuerySet.delete


def install() -> None:
    """Let what ``QuerySet.delete()`` collects be read past the cache from now on."""
    models.QuerySet.delete = _delete  # type: ignore[method-assign]


@wraps(_django_delete)
def _delete(self: Any) -> Any:
    query = self.query
    setattr(query, DECIDES, True)
    try:
        return _django_delete(self)
    finally:
        delattr(query, DECIDES)


class Footprint:
    """What a query reads, noted while it is compiled as for one database.

    It is the state of the connection (``STATE``) then.
    """

    kind = "noted"
    active = False

    def __init__(self, root: Any) -> None:
        self.root = root
        #: The tables of its FROM clauses, with the aliases where they are read.
        self.homes: set[tuple[str, str]] = set()
        #: The classes of its expressions.
        self.kinds: set[type] = set()

    def note_tables(self, compiler: Any) -> None:
        """Note the tables of one SELECT."""
        query, here = compiler.query, compiler.connection.alias
        for alias, entry in query.alias_map.items():
            if query.alias_refcount[alias]:
                home = blocks.home_of(compiler, places.model_of(query, entry))
                self.homes.add((entry.table_name, home or here))
        self.homes.update((table, here) for table in query.extra_tables)

    @property
    def aliases(self) -> set[str]:
        return {self.root.connection.alias, *(home for _, home in self.homes)}

    def tables(self, sql: str) -> set[str]:
        """Return all of the tables: those of its FROM clauses, and what raw SQL may name."""
        words = set(re.findall(r"\w+", sql.lower()))
        known = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
        named = {table for table in known | caching.more_tables() if table.lower() in words}
        return {table for table, _ in self.homes} | named


def answer(compiler: Any, result_type: Any, read: Callable[[], Any]) -> Any:
    """Return what ``read()`` does, or what it did before where that is kept and still holds.

    ``compiler`` is that of the whole query, as it was before it was compiled in parts.
    """
    using = compiler.connection.alias
    if not (_may_be_kept(compiler.query, result_type) and caching.is_on(using)):
        return read()
    slot, aliases = _slot_of(compiler, result_type)
    if slot is None:
        return read()
    kept = slot.find()
    if kept is not None:
        converted, result = kept
        compiler.let_objects_know_their_home()
        if converted:
            compiler.take_as_converted()
        return result
    with _watching_others(aliases) as strays:
        result = read()
    if strays:
        # A replica of another turn, say: its writes would be heard elsewhere.
        return result
    if isinstance(result, GeneratorType):
        return _kept_when_read(slot, result) if caching.keeps_iterators() else result
    if result_type == MULTI:
        result = list(result)
    if result_type == SINGLE or sum(map(len, result)) <= limits.KEPT:
        slot.fill(compiler.converted, result)
    return result


def _may_be_kept(query: Any, result_type: Any) -> bool:
    return not (
        result_type not in (MULTI, SINGLE)
        or isinstance(query, _WRITES)
        or query.select_for_update
        or query.explain_info
        or getattr(query, DECIDES, False)
    )


def _slot_of(compiler: Any, result_type: Any) -> tuple[caching.Slot | None, set[str]]:
    """Return where the answer is kept, if it is, and the aliases that it is read on.

    The compiler has then been set up as for one database, which says how rows are to be read.
    """
    footprint = Footprint(compiler)
    state, query = compiler.connection.__dict__, compiler.query
    try:
        state[STATE] = footprint
        # Compiling a UNION adds columns to it, each time anew.
        compiler.query = query.clone()
        try:
            compiler.note_what_is_read()
            sql, params = compiler.as_sql()
        finally:
            state[STATE], compiler.query = None, query
        aliases = footprint.aliases
        written = [(sql, params), *_written_elsewhere(compiler, aliases)]
        shapes = [_shape(expression) for expression, *_ in compiler.select or ()]
    except Exception:
        # What one of the databases has no words for, or nothing is found by: it is read, and
        # that says what is the matter.
        return None, set()
    if any(map(_changes, (one for one, _ in written))):
        return None, set()
    known_by = [
        compiler.django_class.__qualname__,
        result_type,
        sorted(footprint.homes),
        [(one, _spelled(its)) for one, its in written],
        shapes,
    ]
    key = hashlib.sha256(repr(known_by).encode()).hexdigest()
    # What asks it for its statement shall not have it compiled again.
    compiled = copy.copy(compiler)
    vars(compiled)["as_sql"] = lambda: (sql, params)
    slot = caching.Slot.of(key, compiled, footprint.kinds, footprint.tables(sql), aliases)
    return slot, aliases


def _written_elsewhere(compiler: Any, aliases: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield the statement as databases of other kinds would have it, which the parts go to.

    What is one statement to this one (SQLite compares text in one way alone) may be two there.
    """
    seen = {compiler.connection.settings_dict["ENGINE"]}
    for alias in sorted(aliases):
        engine = connections[alias].settings_dict["ENGINE"]
        if engine not in seen:
            seen.add(engine)
            query = compiler.query.clone()
            yield query.get_compiler(using=alias, elide_empty=compiler.elide_empty).as_sql()


def _changes(sql: str) -> bool:
    """Tell whether a statement has another answer each time, whatever is written."""
    sql = _QUOTED.sub("", sql)
    random = None if caching.keeps_random() else _RANDOM.search(sql)
    return (random or _CLOCK.search(sql)) is not None


def _spelled(param: Any) -> Any:
    """Return what tells a parameter from every other, types included."""
    if isinstance(param, (list, tuple)):
        return [_spelled(one) for one in param]
    # A driver's wrapper shows the beginning of what it holds.
    held = getattr(param, "obj", getattr(param, "adapted", param))
    return type(param).__qualname__, held


def _shape(expression: Any) -> tuple[Any, ...]:
    """Return what the values of a column are made by, once the database has given them."""
    try:
        field = expression.output_field
    except (AttributeError, FieldError):
        return (type(expression).__qualname__,)
    model = getattr(field, "model", None)
    made = field.deconstruct()[1:] if model is None else (model._meta.label, field.name)
    return (type(expression).__qualname__, type(field).__qualname__, *made)


def _kept_when_read(slot: caching.Slot, result: Any) -> Iterator[Any]:
    """Yield pieces of a result as they are read, and keep them at its end if they are few."""
    chunks: list[Any] = []
    left = limits.KEPT
    with closing(result):
        for chunk in result:
            left -= len(chunk)
            if left >= 0:
                chunks.append(chunk)
            else:
                chunks.clear()
            yield chunk
    if left >= 0:
        slot.fill(False, chunks, streamed=True)


@contextmanager
def _watching_others(aliases: set[str]) -> Iterator[list[str]]:
    """Yield a list of what is run on other aliases than these."""
    strays: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        strays.append(sql)
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for alias in connections:
            if alias not in aliases and placement.is_configured(alias):
                stack.enter_context(connections[alias].execute_wrapper(note))
        yield strays
