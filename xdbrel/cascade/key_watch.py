"""Which UPDATE statements change a key that sources in other databases hold.

Inside one database the constraint watches them; here it is done where every UPDATE of the
ORM comes by: ``save()``, ``update()``, ``bulk_update()``, a child's parts for its parents,
what a ``Collector`` sets. Django has no hook there: its signals know of ``save()`` alone, and
between ``pre_save`` and ``post_save`` there is no transaction that could hold both the change
and its intent. So this module, and no other, gives ``UpdateQuery`` a ``get_compiler()``. A
model whose keys nobody holds pays one look into a dictionary there. Any other pays nothing
more unless the key is among what is written; then the one compiler at hand is told to run
its statement through ``_watched_update``. ``InsertQuery`` has one too, for ``bulk_create()``
with ``update_conflicts``: which rows that updates nobody can tell beforehand, and it is refused.
No signal tells of ``bulk_create()`` at all, so what generic keys name is translated there as well.

What follows a change is for ``key_changes``. Models that were made after the app was ready,
and the historical ones of migrations, are not watched: their UPDATEs are like raw SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.signals import setting_changed
from django.db import NotSupportedError, connections, transaction
from django.db.models import F, Q, sql
from django.db.models.constants import OnConflict

from xdbrel import keys
from xdbrel.caching import uncached
from xdbrel.cascade import key_changes, key_holders
from xdbrel.cascade.apply import in_transaction
from xdbrel.cascade.capture import capturing
from xdbrel.content_types import generic_keys, translate_inserted
from xdbrel.fields.verify import composites_of, verify_inserted, verify_updated
from xdbrel.relations import handle_of

#: What of a compiler runs an UPDATE; Django 5.2 has the first alone.
RUNS = ("execute_sql", "execute_returning_sql")


def install() -> None:
    """Watch the keys of the models that are installed from now on."""
    key_holders.find()
    sql.UpdateQuery.get_compiler = _get_compiler  # type: ignore[method-assign]
    sql.InsertQuery.get_compiler = _get_insert_compiler  # type: ignore[method-assign]
    setting_changed.connect(_find_again, dispatch_uid="xdbrel.cascade.key_watch")


def _find_again(*, setting: str, **kwargs: Any) -> None:
    """Look again where a test had other apps for a while: nothing calls ``ready()`` after it."""
    if setting == "INSTALLED_APPS":
        key_holders.find()


def _get_compiler(
    self: Any, using: str | None = None, connection: Any = None, elide_empty: bool = True
) -> Any:
    compiler = sql.Query.get_compiler(self, using, connection, elide_empty)
    for field in composites_of(self.model):
        _before(compiler, partial(verify_updated, field, self, using=compiler.using))
    held = key_holders.keys_of(self.model)
    if held is not None:
        fields = {field for field, _, _ in self.values}
        written = {
            key: holders
            for key, holders in held.items()
            if not fields.isdisjoint(key_holders.columns_of(key))
        }
        if written:
            for name in RUNS:
                run = getattr(compiler, name, None)
                if run is not None:
                    setattr(compiler, name, partial(_watched_update, compiler, written, run))
    return compiler


def _get_insert_compiler(
    self: Any, using: str | None = None, connection: Any = None, elide_empty: bool = True
) -> Any:
    compiler = sql.Query.get_compiler(self, using, connection, elide_empty)
    if any(generic_keys(self.model)):
        _before(compiler, partial(translate_inserted, self, using=compiler.using))
    for field in composites_of(self.model):
        _before(compiler, partial(verify_inserted, field, self, using=compiler.using))
    if self.on_conflict is OnConflict.UPDATE:
        held = key_holders.keys_of(self.model) or {}
        # The very keys by which rows are found stay as they are.
        updated = set(self.update_fields).difference(self.unique_fields or ())
        for key, fields in held.items():
            column = next((one for one in key_holders.columns_of(key) if one in updated), None)
            holding = key_changes.crossing(fields, compiler.connection.alias)
            if column is not None and holding:
                raise NotSupportedError(
                    f"{handle_of(holding[0][0])}: bulk_create() of {self.model._meta.label} in "
                    f"database {compiler.connection.alias!r} would update {column.name!r}, a key "
                    f"that sources in database {holding[0][1]!r} hold, of rows that nobody can "
                    f"tell beforehand. Leave it out of update_fields, and change keys by "
                    f"update() or bulk_update()."
                )
    return compiler


def _before(compiler: Any, check: Callable[[], None]) -> None:
    """Let ``check`` be called once before the statement of ``compiler`` is run."""
    runs = {name: run for name in RUNS if (run := getattr(compiler, name, None)) is not None}

    def checked(run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for name, own in runs.items():
            setattr(compiler, name, own)
        check()
        return run(*args, **kwargs)

    for name, run in runs.items():
        setattr(compiler, name, partial(checked, run))


def _watched_update(
    compiler: Any,
    written: dict[Any, list[Any]],
    run: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    for name in RUNS:
        # One of the two may call the other: from here on they are Django's.
        vars(compiler).pop(name, None)
    query, using = compiler.query, compiler.connection.alias
    holders = {column: key_changes.crossing(fields, using) for column, fields in written.items()}
    columns = [column for column, holding in holders.items() if holding]
    if not columns:
        return run(*args, **kwargs)
    connections[using].ensure_connection()
    targets_in_transaction = in_transaction(using)
    # Whoever catches an error inside a block of several statements has to roll back to a
    # savepoint of their own, as after any failed UPDATE.
    with transaction.atomic(using=using, savepoint=False):
        rows = _Rows(query, columns, using)
        if rows.unchanged():
            return run(*args, **kwargs)
        query.add_q(rows.condition(rows.before))
        with capturing(using) as capture:
            result = run(*args, **kwargs)
            capture.forget_key_changes()
        changes: key_changes.Changes = {}
        for column, pairs in rows.changed():
            for field, alias in holders[column]:
                changes[field, alias] = pairs
        if changes:
            key_changes.changed(changes, using, targets_in_transaction)
    return result


#: Of a key of several columns: the statement does not write this one.
_KEPT = object()


class _Rows:
    """The rows that one UPDATE writes to: their primary keys and keys, before and after."""

    def __init__(self, query: Any, columns: list[Any], using: str) -> None:
        self.query = query
        self.model = query.model
        self.columns = columns
        self.using = using
        self.pk: list[Any] = list(self.model._meta.pk_fields)
        self.values = {field: value for field, _, value in query.values}
        #: Primary key → keys, in the order of ``columns``; then the primary key to be.
        self.before: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.becoming: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._read_before()

    def unchanged(self) -> bool:
        """Tell whether plain values are written, and every row has them already."""
        new: list[Any] = []
        for key in self.columns:
            for column in key_holders.columns_of(key):
                value = self.values.get(column, _KEPT)
                if hasattr(value, "resolve_expression") or hasattr(value, "prepare_database_save"):
                    return not self.before
                new.append(value if value is _KEPT else keys.key_field(column).to_python(value))
        return all(
            one is _KEPT or held == one
            for found in self.before.values()
            for held, one in zip(self._one_by_one(found), new, strict=True)
        )

    def _one_by_one(self, found: tuple[Any, ...]) -> Iterator[Any]:
        """Yield the values of a row's keys, those of several columns each for itself."""
        for key, value in zip(self.columns, found, strict=True):
            yield from value if len(key_holders.columns_of(key)) > 1 else (value,)

    def condition(self, idents: Any) -> Q:
        """Return what holds for the rows of these primary keys, and for no other."""
        if len(self.pk) > 1:
            return Q(pk__in=list(idents))
        return Q(keys.KeyIn(F("pk"), [ident[0] for ident in idents]))

    def changed(self) -> Iterator[tuple[Any, dict[Any, Any]]]:
        """Yield each column with the keys that rows had in it and what these became."""
        after = self._read_after()
        for index, column in enumerate(self.columns):
            pairs = {}
            for ident, found in self.before.items():
                old, new = found[index], self._found(after, ident)[index]
                if keys.is_whole(old) and old != new:
                    pairs[old] = new
            if pairs:
                yield column, pairs

    def _found(self, after: dict[tuple[Any, ...], Any], ident: tuple[Any, ...]) -> Any:
        try:
            return after[self.becoming[ident]]
        except KeyError as error:
            raise NotSupportedError(
                f"{self.model._meta.label}: the primary key {ident[0]!r} was changed in database "
                f"{self.using!r} to what its expression does not give a second time, so that "
                f"relations from other databases cannot follow; nothing was written. Give "
                f"the new keys as values."
            ) from error

    def _read_before(self) -> None:
        """Read, and lock, the rows that the statement's own conditions choose."""
        query = self.query
        alias = query.get_initial_alias()
        chosen = query.chain(klass=sql.Query)
        chosen.select_related = False
        chosen.clear_ordering(force=True)
        chosen.extra = {}
        chosen.distinct = False
        chosen.select = ()
        chosen.selected = None
        chosen.default_cols = False
        if query.count_active_tables() != 1 or query.group_by is not None:
            # Not all tables of a join can be locked, nor rows that are grouped.
            chosen.add_fields([field.name for field in self.pk])
            inner, chosen = chosen, sql.Query(self.model)
            chosen.get_initial_alias()
            chosen.default_cols = False
            chosen.add_q(Q(pk__in=inner))
        moved = [
            self.values[field]
            for field in self.pk
            if hasattr(self.values.get(field), "resolve_expression")
        ]
        chosen.select = (*(field.get_col(alias) for field in (*self.pk, *self.columns)), *moved)
        chosen.select_for_update = True
        width, total = len(self.pk), len(self.pk) + len(self.columns)
        with uncached():
            for row in chosen.get_compiler(using=self.using).results_iter():
                ident = tuple(row[:width])
                self.before[ident] = tuple(row[width:total])
                computed = iter(row[total:])
                self.becoming[ident] = tuple(
                    self._becoming(field, value, computed)
                    for field, value in zip(self.pk, ident, strict=True)
                )

    def _becoming(self, field: Any, value: Any, computed: Iterator[Any]) -> Any:
        if field not in self.values:
            return value
        written = self.values[field]
        if hasattr(written, "resolve_expression"):
            return next(computed)
        if hasattr(written, "prepare_database_save"):
            written = written.prepare_database_save(field)
        return keys.key_field(field).to_python(written)

    def _read_after(self) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        names = [field.attname for field in (*self.pk, *self.columns)]
        rows = self.model._base_manager.using(self.using)
        after = {}
        size = keys.chunk_size(
            self.using, self.pk[0], parameters=len(self.pk), listed=len(self.pk) > 1
        )
        with uncached():
            for chunk in keys.chunks(self.becoming.values(), size):
                for row in rows.filter(self.condition(chunk)).values_list(*names):
                    after[tuple(row[: len(self.pk)])] = tuple(row[len(self.pk) :])
        return after
