"""Deletes of the ORM's own: what triggers write for them is theirs, and is not written twice.

::

    with transaction.atomic(using=using), owning(using, token, deletion):
        ...  # rows are deleted; triggers write intents
        adopted = adopt(using, token)
        intents.write(missing(planned, adopted), using)

``owning`` marks the transaction, ``adopt`` gives the intents that triggers have written in
the block, claimed by ``token`` as ``intents.write`` would have claimed them, and ``missing``
says what no trigger has written: then nothing is lost where a trigger is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from django.db import Error, connections
from django.db.models import Max
from django.db.transaction import TransactionManagementError

from xdbrel import keys, placement
from xdbrel.caching import uncached
from xdbrel.cascade import clock
from xdbrel.conf import settings
from xdbrel.models import CascadeIntent
from xdbrel.relations import Relation, handle_of

#: On SQLite: by (alias, token) the last intent before the block, and what began the delete.
_marks: ContextVar[Mapping[tuple[str, str], tuple[int, str]]] = ContextVar(
    "xdbrel_trigger_marks",
    default=MappingProxyType({}),
)


@contextmanager
def owning(using: str, token: str, deletion: str = "") -> Iterator[None]:
    """Let what triggers write in the block, in the open transaction on ``using``, be ``token``'s.

    ``token`` has at most 64 characters and ``deletion``, what began it, 32. A block inside
    another takes over, and gives back at its end. Raises ``TransactionManagementError``
    outside a transaction.
    """
    connection = connections[using]
    if not connection.in_atomic_block and connection.get_autocommit():
        raise TransactionManagementError(
            f"What triggers write in {using!r} belongs to somebody for the length of a "
            f"transaction, and none is open: enter transaction.atomic(using={using!r}) first."
        )
    kinds = {"postgresql": _by_setting, "mysql": _by_variable, "sqlite": _by_mark}
    kind = kinds.get(connection.vendor)
    if kind is None:  # No triggers there either.
        yield
        return
    with kind(using, token, deletion or token[:32]):
        yield


def adopt(using: str, token: str) -> list[CascadeIntent]:
    """Return the intents that triggers have written for ``token``, in their order.

    Called at the end of the block of ``owning``, in its transaction. On SQLite that is when
    they are claimed.
    """
    mark = _marks.get().get((using, token))
    mine = CascadeIntent.objects.using(using)
    with uncached():
        if mark is not None:
            last, deletion = mark
            written = mine.filter(pk__gt=last, cause=CascadeIntent.Cause.TRIGGER, claimed_by="")
            written.update(
                claimed_by=token,
                deletion=deletion,
                available_at=clock.now(using, plus=settings.CLAIM_SECONDS),
            )
        return list(
            mine.filter(
                # The time is in the index, whom they belong to is not.
                status=CascadeIntent.Status.PENDING,
                available_at__gt=clock.now(using),
                cause=CascadeIntent.Cause.TRIGGER,
                claimed_by=token,
            ).order_by("pk")
        )


def missing(
    planned: Mapping[tuple[Any, str], Iterable[Any]], adopted: Iterable[CascadeIntent]
) -> dict[tuple[Any, str], list[Any]]:
    """Return what of ``planned`` the ``adopted`` intents do not speak of, by the same keys.

    ``planned`` maps (field, source's alias) to keys of deleted targets. A trigger knows one
    home of the sources, the routers'; whatever is planned for another alias is missing.
    """
    written: dict[str, set[Any]] = {}
    kept: dict[str, list[Any]] = {}
    for intent in adopted:
        if intent.new_keys is None:
            kept.setdefault(intent.relation, []).extend(intent.keys)
    left = {}
    for (field, alias), target_keys in planned.items():
        handle = handle_of(field)
        wanted = list(target_keys)
        if handle in kept and placement.same_home(alias, Relation(field).source_home):
            if handle not in written:
                written[handle] = set(keys.decode(kept[handle], field.target_field))
            as_values = keys.decode(wanted, field.target_field)
            wanted = [
                key
                for key, value in zip(wanted, as_values, strict=True)
                if value not in written[handle]
            ]
        if wanted:
            left[field, alias] = wanted
    return left


@contextmanager
def _by_setting(using: str, token: str, deletion: str) -> Iterator[None]:
    """PostgreSQL: settings of the transaction, undone by it and by its savepoints."""
    connection = connections[using]
    read = (
        "SELECT coalesce(current_setting('xdbrel.token', true), ''),"
        " coalesce(current_setting('xdbrel.deletion', true), ''),"
        " set_config('xdbrel.token', %s, true), set_config('xdbrel.deletion', %s, true)"
    )
    with connection.cursor() as cursor:
        cursor.execute(read, [token, deletion])
        before = cursor.fetchone()[:2]
    yield
    # After an error the transaction or savepoint goes back, and the settings with it.
    with connection.cursor() as cursor:
        cursor.execute(read, before)


@contextmanager
def _by_variable(using: str, token: str, deletion: str) -> Iterator[None]:
    """MariaDB: variables of the session, which outlive transactions and are always reset.

    By the driver's own cursor: Django refuses one in a transaction that is to be rolled
    back, and this must be done there too. A session that cannot be reset is closed, so that
    nobody gets it from a pool; a token that got away all the same costs whoever deletes
    next no more than the time of a claim.
    """
    connection = connections[using]
    write = "SET @xdbrel_token = %s, @xdbrel_deletion = %s"
    with connection.cursor() as cursor:
        cursor.execute("SELECT @xdbrel_token, @xdbrel_deletion")
        before = cursor.fetchone()
        cursor.execute(write, [token, deletion])
    session = connection.connection
    try:
        yield
    finally:
        try:
            with connection.wrap_database_errors, session.cursor() as cursor:
                cursor.execute(write, before)
        except Error:
            with suppress(Error), connection.wrap_database_errors:
                session.close()


@contextmanager
def _by_mark(using: str, token: str, deletion: str) -> Iterator[None]:
    """SQLite: the last intent before the block; what is above it at the end is the block's.

    No other writer's rows can come between, since SQLite has one writer: a statement that
    writes nothing takes the lock, before the mark is read, and the transaction keeps it.
    Ids only ever grow (AUTOINCREMENT), so none below the mark is given again.
    """
    intents = CascadeIntent.objects.using(using)
    table = connections[using].ops.quote_name(CascadeIntent._meta.db_table)
    with uncached():
        with connections[using].cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE 0")  # noqa: S608
        last = intents.aggregate(last=Max("pk"))["last"] or 0
    before = _marks.set({**_marks.get(), (using, token): (last, deletion)})
    try:
        yield
    finally:
        _marks.reset(before)
