"""The only module that asks which Django this is, and that reaches below its public API.

Each function says what of Django it leans on; ``tests/unit/test_compat.py`` fails when
that shape changes.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import django
from django.db import connections, models, transaction
from django.db.models import deletion
from django.db.models.expressions import ColPairs
from django.db.models.sql.subqueries import UpdateQuery
from django.db.models.sql.where import WhereNode

F = TypeVar("F", bound=Callable[..., Any])

#: Django 6.1 fetches deferred relations by fetch modes (FETCH_ONE, FETCH_PEERS …).
HAS_FETCH_MODES = django.VERSION >= (6, 1)


def with_globals(function: F, **replaced: Any) -> F:
    """Return a copy of ``function`` that sees other module globals under the given names.

    Django's descriptors and related managers ask ``django.db.router`` by its global
    name, and no hook stands between. A copy with another ``router`` leaves Django's own
    functions, and everybody else's relations, as they are; its code stays Django's.
    Raises ``AttributeError`` where the function's module has no such global.
    """
    code = function.__code__
    scope = dict(function.__globals__)
    for name in replaced:
        if name not in scope:
            raise AttributeError(f"{function.__module__} has no global {name!r} any more")
    scope.update(replaced)
    copied = types.FunctionType(
        code, scope, function.__name__, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__doc__ = function.__doc__
    copied.__qualname__ = function.__qualname__
    for name, value in replaced.items():
        if value is function:
            scope[name] = copied
    return cast(F, copied)


def on_commit_robustly(call: partial[Any], *, using: str) -> None:
    """Call after the commit on ``using``, whatever else fails there; an error is only logged.

    Django logs it with the callback's name. It has none for a partial: 5.2 fails over that,
    in the face of whoever committed, and later versions spell its arguments out, rows and all.
    """

    def after_commit() -> None:
        call()

    after_commit.__qualname__ = call.func.__qualname__
    transaction.on_commit(after_commit, using=using, robust=True)


def is_inside_transaction(using: str) -> bool:
    """Tell whether a block of ``atomic()`` that begins now would end without a commit.

    That of a ``TestCase`` does not count, as it does not for ``atomic(durable=True)``.
    """
    connection: Any = connections[using]
    blocks = [block for block in connection.atomic_blocks if not block._from_testcase]
    return bool(blocks) or not (connection.in_atomic_block or connection.get_autocommit())


def with_fetch_mode_of(
    manager: models.Manager[Any], instance: models.Model | None
) -> models.QuerySet[Any]:
    """Return the manager's queryset, with the instance's fetch mode where there are any."""
    if HAS_FETCH_MODES and instance is not None:
        queryset: models.QuerySet[Any] = manager.fetch_mode(instance._state.fetch_mode)  # type: ignore[attr-defined]
        return queryset
    return manager.all()


def generic_accessor_base() -> type[Any]:
    """Return what the accessor of a generic foreign key is to inherit from.

    Django 6.1 has a class of its own for it, by which its system checks find the fields; to
    5.2 the field itself is the accessor. Needs the registry of apps, contenttypes included.
    """
    from django.contrib.contenttypes import fields

    base: type[Any] = getattr(fields, "GenericForeignKeyDescriptor", object)
    return base


def finds_generic_accessors() -> bool:
    """Tell whether Django's own system checks find fields by ``generic_accessor_base()``."""
    return generic_accessor_base() is not object


def fetch_related(accessor: Any, instance: models.Model) -> None:
    """Let an accessor fetch for ``instance``, and by its fetch mode where there are any."""
    if HAS_FETCH_MODES:
        instance._state.fetch_mode.fetch(accessor, instance)
    else:
        accessor.fetch_one(instance)


def is_database_level(on_delete: Any) -> bool:
    """Tell whether ``on_delete`` is left to the database (``DB_CASCADE`` … of Django 6.1)."""
    kind = getattr(deletion, "DatabaseOnDelete", None)
    return kind is not None and isinstance(on_delete, kind)


def deletion_relations(model: type[models.Model]) -> list[Any]:
    """Return the reverse relations that a ``Collector`` follows from ``model``.

    Many-to-one and one-to-one relations that point at it, hidden and inherited ones
    included.
    """
    return list(deletion.get_candidate_relations_to_delete(model._meta))


#: Django's own, whatever stands in its place by the time that it is called.
_django_raw_delete = models.QuerySet._raw_delete


def raw_delete(queryset: models.QuerySet[Any], using: str) -> int:
    """Delete the queryset's rows with one statement, and nothing that hangs on them.

    That is ``QuerySet._raw_delete()``, as Django has it: ``xdbrel.cascade.raw_delete``
    replaces the method with one that lets sources in other databases follow.
    """
    return _django_raw_delete(queryset, using)


def is_ancestor_update(query: UpdateQuery) -> bool:
    """Tell whether ``query`` is the part of a child's ``update()`` that writes to an ancestor.

    Such a part and a ``save()`` both assign ``(field, None, value)``, where a queryset's own
    ``update()`` names the model. A part selects its rows by ``pk__in``, a save its one row by
    ``pk``.
    """
    children = query.where.children
    return len(children) == 1 and getattr(children[0], "lookup_name", None) == "in"


def join_peers(rows: Sequence[models.Model], queryset: models.QuerySet[Any]) -> None:
    """Make ``rows`` peers of each other where the queryset's fetch mode keeps track of them.

    Iterating a queryset does so for its own rows; rows of several querysets, which one
    fetch of theirs is to bring together, need it done again.
    """
    if HAS_FETCH_MODES and queryset._fetch_mode.track_peers:  # type: ignore[attr-defined]
        peers = tuple(weakref.ref(row) for row in rows)
        for row in rows:
            row._state.peers = peers


def keys_of_related_objects(
    sub_objs: models.QuerySet[Any], field: models.ForeignKey[Any, Any]
) -> list[Any]:
    """Return the target keys that a ``Collector`` filtered ``sub_objs`` by.

    ``Collector.related_objects()`` filters with ``<field>__in=<instances>``, which the
    look-up turns into a list of keys. That list is what a policy of ours needs; the
    query itself names the wrong database and is never run.
    """
    # A generic relation is filtered at its other end.
    column = field.target_field if getattr(field, "is_generic", False) else field
    found = _related_in(sub_objs.query.where, column)
    if found is None:
        raise LookupError(f"no {field.name}__in condition in {sub_objs.query.where!r}")
    return found


def _related_in(node: Any, field: Any) -> list[Any] | None:
    if isinstance(node, WhereNode):
        for child in node.children:
            found = _related_in(child, field)
            if found is not None:
                return found
        return None
    if getattr(node, "lookup_name", None) == "in" and isinstance(node.rhs, (list, tuple)):
        if getattr(node.lhs, "target", None) == field:
            return list(node.rhs)
        if isinstance(node.lhs, ColPairs) and node.lhs.output_field is field:
            # Of several columns: the instances, as they are until the look-up is compiled.
            key_of: Callable[[Any], Any] = field.get_foreign_related_value  # type: ignore[attr-defined]
            return [key_of(target) for target in node.rhs]
    return None


def quote_name(compiler: Any, name: str) -> str:
    """Quote a name as the compiler quotes it: Django 5.2 leaves its own aliases bare."""
    quote = compiler.quote_name if django.VERSION >= (6, 1) else compiler.quote_name_unless_alias
    quoted: str = quote(name)
    return quoted
