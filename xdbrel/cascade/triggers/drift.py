"""What stands, against what should: drift both ways, and what keeps triggers from working."""

from __future__ import annotations

from django.db import connections

from xdbrel.caching import uncached
from xdbrel.cascade import intents
from xdbrel.cascade.triggers.backends import Standing, Trigger, backend_of
from xdbrel.cascade.triggers.captures import survey
from xdbrel.cascade.triggers.install import (
    State,
    intents_are_there,
    no_table,
    not_allowed,
    refused,
)
from xdbrel.cascade.triggers.row import column_names
from xdbrel.models import CascadeIntent


def check(using: str) -> list[State]:
    """Return the state of every trigger in ``using`` that stands or should, and of the whole.

    Nothing is changed.
    """
    if not intents.may_stand(using):
        return [not_allowed(using)]
    wanted = survey(using)
    backend, connection = backend_of(using), connections[using]
    states = refused(using, wanted)
    with uncached():
        standing = {(one.table, one.name): one for one in backend.standing(connection)}
        stands = bool(standing)
        for capture in wanted.captures:
            triggers = backend.triggers(connection, capture)
            if not triggers:
                states.append(no_table(using, capture.table, capture.relations))
            states += [
                _compare(using, trigger, standing.pop((trigger.table, trigger.name), None))
                for trigger in triggers
            ]
        states += [
            State(using, "stray", one.table, one.name, detail="no relation asks for it")
            for one in standing.values()
        ]
        reason = _broken(using) or backend.broken(connection)
    if reason and (stands or wanted.captures):
        states.append(State(using, "broken", CascadeIntent._meta.db_table, detail=reason))
    return states


def notes(using: str) -> list[str]:
    """Return what no trigger in ``using`` can see, where any relation wants to be captured."""
    if not intents.may_stand(using):
        return []
    captures = survey(using).captures
    with uncached():
        return backend_of(using).notes(connections[using], captures)


def _compare(using: str, trigger: Trigger, stood: Standing | None) -> State:
    state, detail = "current", ""
    if stood is None:
        state, detail = "missing", "what is deleted here is not captured"
    elif not stood.enabled:
        state, detail = "disabled", "what is deleted here is not captured"
    elif stood.digest != trigger.digest:
        state, detail = "outdated", "it was made by other settings or another version"
    return State(using, state, trigger.table, trigger.name, trigger.relations, detail)


def _broken(using: str) -> str:
    """Return why no trigger in ``using`` can write intents; "" where they can."""
    table = CascadeIntent._meta.db_table
    if not intents_are_there(using):
        return f'there is no such table; run "manage.py migrate xdbrel --database={using}"'
    connection = connections[using]
    with connection.cursor() as cursor:
        found = {one.name for one in connection.introspection.get_table_description(cursor, table)}
    lacking = sorted(set(column_names()) - found)
    return f"it has no column {', '.join(lacking)}" if lacking else ""
