"""The policies of a repair, each a plain function: what is done with orphaned rows.

Owns what a policy needs and when it is not possible. Which rows, and the look before the
act, is for ``repair``; what it takes to keep rows beside is for ``quarantine``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from django.db import models
from django.db.models import F

from xdbrel import caching, keys
from xdbrel.exceptions import describe_keys
from xdbrel.integrity.exceptions import CannotRepair, UnknownPolicy
from xdbrel.integrity.reading import targets
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.repairing import quarantine
from xdbrel.relations import assignments

#: Most rows of one batch, where a policy has to hold them and what hangs on them in memory.
HELD_ROWS = 1_000


@dataclass(frozen=True)
class Act:
    """One repair, as its policy sees it.

    ``raw`` deletes past the ORM's collector. ``mapping`` gives the new key for an old one.
    ``repair`` is the token under which rows are quarantined.
    """

    source: End
    target: End
    raw: bool = False
    mapping: Mapping[Any, Any] = field(default_factory=dict)
    repair: str = ""


#: A policy: acts on these rows, ``(primary key, key)``, all of them locked and without a
#: target, and returns the counts of rows by model label.
Policy = Callable[[Act, Sequence[tuple[Any, Any]]], Mapping[str, int]]


def rows_with(source: End, pks: Sequence[Any]) -> models.QuerySet[Any]:
    """Return the rows of ``source`` with these primary keys."""
    rows = source.model._base_manager.using(source.using)
    if len(source.model._meta.pk_fields) > 1:
        return rows.filter(pk__in=pks)
    return rows.filter(keys.KeyIn(F("pk"), pks))


def most_rows(source: End, policy: str) -> int:
    """Return how many rows one batch may have: what one statement can name."""
    pk = source.model._meta.pk
    most = keys.chunk_size(source.using, pk, parameters=len(source.model._meta.pk_fields))
    return min(most, HELD_ROWS) if policy == "quarantine" else most


def check(policy: str, act: Act) -> None:
    """Raise ``UnknownPolicy``, or ``CannotRepair`` where the relation does not allow it."""
    if policy not in POLICIES:
        raise UnknownPolicy(policy, POLICIES)
    handle = act.source.relation.handle
    if act.raw and policy != "delete":
        raise CannotRepair(
            handle, policy, "only 'delete' can be raw", "Leave raw out, or use 'delete'."
        )
    if (policy == "repoint") != bool(act.mapping):
        reason = "it needs a mapping" if policy == "repoint" else "it takes no mapping"
        remedy = "Give old keys and their new ones." if policy == "repoint" else "Leave it out."
        raise CannotRepair(handle, policy, reason, remedy)
    if policy == "set_null":
        _check_null(act, policy)
    elif policy == "set_default":
        _check_default(act, policy)
    elif policy == "repoint":
        if None in act.mapping.values():
            _check_null(act, policy)
        _check_targets(act)
    elif policy == "quarantine":
        quarantine.check(act.source)


def _check_null(act: Act, policy: str) -> None:
    if not act.source.field.null:
        raise CannotRepair(
            act.source.relation.handle,
            policy,
            "none of its columns is null=True"
            if act.source.is_composite
            else "the field is not null=True",
            "Use 'delete', or 'set_default' with a default, or let the field be null.",
        )


def _check_default(act: Act, policy: str) -> None:
    source, target = act.source, act.target
    handle = source.relation.handle
    if not source.field.has_default():
        raise CannotRepair(
            handle, policy, "the field has no default", "Use another policy, or give it one."
        )
    default = _default(source)
    if default is None and not source.field.null:
        raise CannotRepair(
            handle,
            policy,
            "the default is None and the field is not null=True",
            "Give the field another default.",
        )
    if default is not None and targets.missing(target, [default]):
        raise CannotRepair(
            handle,
            policy,
            f"the default {default!r} has no {target.model._meta.label} in database "
            f"{target.using!r} itself",
            "Create that row first, or give the field another default.",
        )


def _check_targets(act: Act, wanted: Sequence[Any] | None = None) -> None:
    """Raise ``CannotRepair`` unless every new key has a target."""
    chosen = act.mapping.values() if wanted is None else wanted
    absent = targets.missing(
        act.target, list(dict.fromkeys(key for key in chosen if key is not None))
    )
    if absent:
        raise CannotRepair(
            act.source.relation.handle,
            "repoint",
            f"there is no {act.target.model._meta.label} in database {act.target.using!r} for the "
            f"new {describe_keys(absent)}",
            "Create those rows first, or leave these keys out of the mapping.",
        )


def _default(source: End) -> Any:
    value = source.field.get_default()
    return None if value is None else source.key_field.to_python(value)


def _delete(act: Act, rows: Sequence[tuple[Any, Any]]) -> Mapping[str, int]:
    doomed = rows_with(act.source, [pk for pk, _ in rows])
    if not act.raw:
        _, counts = doomed.delete()
        return counts
    deleted = doomed._raw_delete(act.source.using)
    caching.invalidate([act.source.model], act.source.using)
    return {act.source.model._meta.label: deleted}


def _set(act: Act, rows: Sequence[tuple[Any, Any]], key: Any) -> Mapping[str, int]:
    changed = rows_with(act.source, [pk for pk, _ in rows]).update(
        **assignments(act.source.field, key)
    )
    return {act.source.model._meta.label: changed}


def _set_null(act: Act, rows: Sequence[tuple[Any, Any]]) -> Mapping[str, int]:
    return _set(act, rows, None)


def _set_default(act: Act, rows: Sequence[tuple[Any, Any]]) -> Mapping[str, int]:
    return _set(act, rows, _default(act.source))


def _repoint(act: Act, rows: Sequence[tuple[Any, Any]]) -> Mapping[str, int]:
    by_new_key: dict[Any, list[tuple[Any, Any]]] = {}
    for pk, key in rows:
        by_new_key.setdefault(act.mapping[key], []).append((pk, key))
    # Once more, right before: a target that was there when the repair began may be gone.
    _check_targets(act, list(by_new_key))
    changed = 0
    for new_key, chosen in by_new_key.items():
        changed += sum(_set(act, chosen, new_key).values())
    return {act.source.model._meta.label: changed}


def _quarantine(act: Act, rows: Sequence[tuple[Any, Any]]) -> Mapping[str, int]:
    return quarantine.take(act.source, rows, repair=act.repair)


#: The policies by name; None acts on nothing.
POLICIES: Mapping[str, Policy | None] = MappingProxyType(
    {
        "report": None,
        "delete": _delete,
        "set_null": _set_null,
        "set_default": _set_default,
        "repoint": _repoint,
        "quarantine": _quarantine,
    }
)
