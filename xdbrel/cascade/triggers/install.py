"""Triggers made, replaced and removed, one database at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db import DatabaseError, connections, transaction

from xdbrel.caching import uncached
from xdbrel.cascade import intents
from xdbrel.cascade.triggers.backends import Backend, Standing, Trigger, backend_of
from xdbrel.cascade.triggers.captures import Survey, survey
from xdbrel.models import CascadeIntent
from xdbrel.relations import Relation

#: Runs one statement that defines something.
Execute = Callable[[str], Any]

#: What is as it should be, or has just been brought there.
FINE = ("current", "installed", "replaced", "removed", "no table", "not allowed here")


@dataclass(frozen=True)
class State:
    """One trigger, or one thing that keeps triggers from working, and how it stands.

    ``state`` is one of ``current``, ``installed``, ``replaced``, ``removed`` and, of what
    is amiss, ``missing``, ``outdated``, ``disabled``, ``stray`` (no relation asks for it),
    ``broken`` (it cannot write intents), ``unsupported`` (a key that no trigger can
    write), ``denied`` (this user may not). ``no table`` is a target that is not migrated
    yet, ``not allowed here`` a database in which no intents stand.
    """

    database: str
    state: str
    table: str = ""
    trigger: str = ""
    relations: tuple[str, ...] = ()
    detail: str = ""

    @property
    def is_finding(self) -> bool:
        """Whether somebody has to see to it."""
        return self.state not in FINE

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, as JSON shows them."""
        return {**asdict(self), "relations": list(self.relations)}


def install(
    using: str, *, relations: Iterable[Relation] | None = None, execute: Execute | None = None
) -> list[State]:
    """Bring the triggers in the database ``using`` to what ``XDBREL["CAPTURE"]`` says.

    What stands already is left, what is outdated is replaced, and what no relation asks
    for is removed. ``relations`` are those that there are, where that is not the installed
    models'; ``execute`` runs the statements in place of a cursor (a schema editor's).
    Nothing that this user may not do is raised: it is a state like any other.
    """
    if not intents.may_stand(using):
        return [not_allowed(using)]
    wanted = survey(using, relations)
    unusable = _unusable(using, wanted)
    if unusable:
        return unusable
    if not wanted.captures and not wanted.refused:
        return remove(using, execute=execute)
    backend, connection = backend_of(using), connections[using]
    states = refused(using, wanted)
    with uncached():
        standing = {(one.table, one.name): one for one in backend.standing(connection)}
        _carry_out(using, backend, State(using, ""), backend.prepare(connection), execute)
        for capture in wanted.captures:
            triggers = backend.triggers(connection, capture)
            if not triggers:
                states.append(no_table(using, capture.table, capture.relations))
            for trigger in triggers:
                stood = standing.pop((trigger.table, trigger.name), None)
                state = _state(using, trigger, "current")
                if stood is None or stood.digest != trigger.digest or not stood.enabled:
                    state = replace(state, state="replaced" if stood else "installed")
                    state = _carry_out(using, backend, state, trigger.create, execute)
                states.append(state)
        states += _remove(using, backend, standing.values(), execute)
    return states


def remove(using: str, *, execute: Execute | None = None) -> list[State]:
    """Remove every trigger of xdbrel's from the database ``using``, and nothing else."""
    if not intents.may_stand(using):
        return [not_allowed(using)]
    backend = backend_of(using)
    with uncached():
        standing = backend.standing(connections[using])
        return _remove(using, backend, standing, execute)


def not_allowed(using: str) -> State:
    """Return the state of a database that holds no intents by what the routers say."""
    return State(
        using,
        "not allowed here",
        detail="a replica, or a database where the routers allow no tables of xdbrel",
    )


def no_table(using: str, table: str, handles: tuple[str, ...]) -> State:
    """Return the state of a target whose table is not there."""
    return State(using, "no table", table, relations=handles, detail="it is not migrated yet")


def refused(using: str, wanted: Survey) -> list[State]:
    """Return the states of relations that no trigger can serve."""
    return [
        State(using, "unsupported", relations=(handle,), detail=reason)
        for handle, reason in sorted(wanted.refused.items())
    ]


def intents_are_there(using: str) -> bool:
    """Tell whether the intents' table stands in the database ``using``."""
    connection = connections[using]
    with uncached(), connection.cursor() as cursor:
        return CascadeIntent._meta.db_table in connection.introspection.table_names(cursor)


def _unusable(using: str, wanted: Survey) -> list[State]:
    if not wanted.captures or intents_are_there(using):
        return []
    return [
        State(
            using,
            "broken",
            CascadeIntent._meta.db_table,
            detail=f'there is no such table; run "manage.py migrate xdbrel --database={using}"',
        )
    ]


def _remove(
    using: str, backend: Backend, standing: Iterable[Standing], execute: Execute | None
) -> list[State]:
    states = []
    for one in standing:
        state = State(using, "removed", one.table, one.name)
        states.append(_carry_out(using, backend, state, one.drop, execute))
    _carry_out(using, backend, State(using, ""), backend.tidy(connections[using]), execute)
    return states


def _carry_out(
    using: str, backend: Backend, state: State, statements: Iterable[str], execute: Execute | None
) -> State:
    """Run the statements, all or none where the database can; return what came of it."""
    statements = list(statements)
    if not statements:
        return state
    try:
        if connections[using].features.can_rollback_ddl:
            with transaction.atomic(using=using):
                _run(using, statements, execute)
        else:
            _run(using, statements, execute)
    except DatabaseError as error:
        if not backend.is_denied(error):
            raise
        return replace(state, state="denied", detail=str(error).strip())
    return state


def _run(using: str, statements: Iterable[str], execute: Execute | None) -> None:
    for statement in statements:
        if execute is not None:
            execute(statement)
            continue
        with connections[using].cursor() as cursor:
            cursor.execute(statement)


def _state(using: str, trigger: Trigger, state: str, detail: str = "") -> State:
    return State(using, state, trigger.table, trigger.name, trigger.relations, detail)
