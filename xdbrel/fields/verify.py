"""Checking that targets exist at the moment their keys are written (``verify=True``).

Owns where the check stands: when the statement that writes is compiled, which is the
one place that ``save()``, ``bulk_create()``, ``bulk_update()`` and ``update()`` share, and
where all keys of a batch are at hand. One query per statement, in the target's home.
Fixtures (``raw`` saves) pass: their targets may be loaded later, into another database.

A relation over several columns has none that is compiled. ``xdbrel.cascade.key_watch``, by
which every such statement comes, asks for its check. Of an UPDATE of some of the columns the
others are read first, so that it takes one query more, in the sources' own database.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import models
from django.db.models import F, sql
from django.db.models.functions import Cast
from django.db.models.sql.subqueries import InsertQuery, UpdateQuery

from xdbrel import keys, placement
from xdbrel.caching import uncached
from xdbrel.compat import is_ancestor_update
from xdbrel.exceptions import HomeError, MissingTarget
from xdbrel.relations import handle_of, is_composite

#: The fields whose keys need not be looked for in what is being written.
_known: ContextVar[frozenset[Any]] = ContextVar("xdbrel_known_to_exist", default=frozenset())


@contextmanager
def known_to_exist(*fields: Any) -> Iterator[None]:
    """Let what is written to ``fields`` in this block pass: it was verified, or is not to be."""
    before = _known.set(_known.get().union(fields))
    try:
        yield
    finally:
        _known.reset(before)


def is_known(field: Any) -> bool:
    """Tell whether keys of ``field`` need not be verified now."""
    return field in _known.get()


class SavedKey:
    """A key on its way from ``save()`` to its UPDATE, with the instance that holds it.

    ``Model.save_base()`` asks ``pre_save()`` for it in a plain save and passes ``pre_save()``
    by in a raw one, which is how the two are told apart when the UPDATE is compiled. To
    Django it is what an instance is: something to make ready by ``prepare_database_save()``.
    """

    __slots__ = ("instance", "value")

    def __init__(self, value: Any, instance: models.Model) -> None:
        self.value = value
        self.instance = instance

    def prepare_database_save(self, field: models.Field[Any, Any]) -> Any:
        return self.value


def verify_statement(field: Any, compiler: Any) -> None:
    """Check every key that the statement being compiled writes to ``field``, once.

    The keys are read from the query and not from the value being compiled, which may be
    one of many, or stand in a condition. Raises ``MissingTarget`` with all those that no
    target has.
    """
    # The compiler is one statement's own; a query may be compiled again.
    seen = compiler.__dict__.setdefault("_xdbrel_verified", set())
    if field in seen or is_known(field):
        return
    seen.add(field)
    query = compiler.query
    hint = None
    written: list[Any] = []
    if isinstance(query, InsertQuery):
        if not query.raw:
            written = [getattr(obj, field.attname) for obj in query.objs]
            hint = query.objs[0] if query.objs else None
    elif isinstance(query, UpdateQuery):
        for assigned, model, value in query.values:  # type: ignore[attr-defined]
            if assigned != field:
                continue
            if isinstance(value, SavedKey):
                written, hint = [value.value], value.instance
            elif model is not None or is_ancestor_update(query):
                written = list(_written_values(field, value))
    verify_keys(field, written, using=compiler.using, instance=hint)


def verify_keys(
    field: Any, values: Iterable[Any], *, using: str, instance: models.Model | None = None
) -> None:
    """Raise ``MissingTarget`` unless every key among ``values`` has a target row.

    ``using`` is where the keys are written, ``instance`` one of those that hold them.
    Expressions and ``None`` are passed over: their value is not known here, or names nothing.
    """
    target = field.remote_field.model
    target_field = field.target_field
    if keys.is_composite(field):
        columns = keys.columns_of(target_field)
        wanted = {
            tuple(
                keys.key_field(one).to_python(part)
                for one, part in zip(columns, value, strict=True)
            ): None
            for value in values
            if keys.is_whole(value)
            and not any(hasattr(part, "resolve_expression") for part in value)
        }
    else:
        wanted = {
            target_field.to_python(value): None
            for value in values
            if value is not None and not hasattr(value, "resolve_expression")
        }
    if not wanted:
        return
    alias = _home_of_targets(target, using, instance)
    with uncached():
        rows = target._base_manager.using(alias)
        for chunk in keys.chunks(list(wanted), keys.chunk_size(alias, target_field)):
            found = rows.filter(keys.KeyIn(F(target_field.attname), chunk))
            # A database may hold two keys for equal that Python tells apart (collations).
            spelled_otherwise = False
            for key in found.values_list(target_field.attname, flat=True):
                if key in wanted:
                    del wanted[key]
                else:
                    spelled_otherwise = True
            if spelled_otherwise:
                for key in [key for key in chunk if key in wanted]:
                    if rows.filter(keys.KeyIn(F(target_field.attname), [key])).exists():
                        del wanted[key]
    if wanted:
        raise MissingTarget(handle_of(field), alias, target._meta.label, wanted)


def composites_of(model: type[models.Model]) -> list[Any]:
    """Return the relations over several columns of ``model`` that verify; its parents' too."""
    found = _composites.get(model)
    if found is None:
        found = _composites[model] = [
            field
            for field in model._meta.fields
            if is_composite(field) and getattr(field, "crosses_databases", False) and field.verify  # type: ignore[attr-defined]
        ]
    return found


_composites: dict[type[models.Model], list[Any]] = {}


def verify_inserted(field: Any, query: Any, *, using: str) -> None:
    """Check the keys of a relation over several columns that an INSERT is to write.

    Raises ``MissingTarget``.
    """
    if not query.raw and set(field.local_related_fields) & set(query.fields):
        held = [field.get_local_related_value(obj) for obj in query.objs]
        hint = query.objs[0] if query.objs else None
        verify_keys(field, held, using=using, instance=hint)


def verify_updated(field: Any, query: Any, *, using: str) -> None:
    """Check the keys of a relation over several columns that an UPDATE is to write.

    They are computed by the database, for the rows that the statement chooses. Raises
    ``MissingTarget``.
    """
    values = {column: value for column, _, value in query.values}
    if values.keys().isdisjoint(field.local_related_fields):
        return
    chosen = query.chain(klass=sql.Query)
    chosen.clear_select_clause()
    chosen.select_related = False
    chosen.clear_ordering(force=True)
    chosen.distinct = True
    alias = chosen.get_initial_alias()
    chosen.select = tuple(
        _written_column(column, values, alias) for column in field.local_related_fields
    )
    with uncached():
        rows = chosen.get_compiler(using=using).results_iter(tuple_expected=True)
        verify_keys(field, [tuple(row) for row in rows], using=using)


def _written_column(column: Any, values: dict[Any, Any], alias: str) -> Any:
    """Return the expression for what ``column`` holds after an UPDATE of ``values``."""
    if column not in values:
        return column.get_col(alias)
    value = values[column]
    if hasattr(value, "resolve_expression"):
        return value
    if hasattr(value, "prepare_database_save"):
        value = value.prepare_database_save(column)
    plain = keys.key_field(column)
    # A parameter alone has no type to some databases.
    return Cast(models.Value(plain.to_python(value), output_field=plain), plain)


def _home_of_targets(target: type[models.Model], using: str, instance: models.Model | None) -> str:
    """Return where the targets of keys written to ``using`` live: a home, never a replica."""
    if instance is not None:
        if instance._state.db != using:
            # A new object has no database yet; once saved, it hints at this one.
            instance = copy.copy(instance)
            instance._state.db = using
        return placement.home(target, instance=instance)
    try:
        routed = placement.pin(target) is None
    except HomeError:
        routed = False
    if not routed and placement.may_live(target, using):
        # No router speaks: the sources' own database is where Django would look.
        return placement.primary(using)
    return placement.home(target)


def _written_values(field: Any, value: Any) -> Iterable[Any]:
    """Yield the plain keys of what ``update()`` assigns: one, or those of a ``Case``."""
    if hasattr(value, "prepare_database_save"):
        yield value.prepare_database_save(field)
    elif not hasattr(value, "resolve_expression"):
        yield value
    elif isinstance(value, models.Value):
        yield value.value
    elif isinstance(value, models.Case):
        for case in value.cases:
            yield from _written_values(field, case.result)
        yield from _written_values(field, value.default)
    elif isinstance(value, Cast):
        # bulk_update() casts its Case where the database wants that.
        for source in value.get_source_expressions():
            yield from _written_values(field, source)
