"""The judge of the fault tests: what the rows of every database must be, whatever went wrong.

Works on snapshots: every row of the tests' own models, read from its home past any cache.
What a delete means is worked out here again, in plain sets and by the fields' policies
alone, so that nothing of ``xdbrel.cascade`` judges itself. Nothing vetoes here.

``after``              what a snapshot becomes when these rows are deleted
``outcome``            "gone" or "stands" where one delete was tried; anything else fails
``assert_consistent``  no orphan, no source of a living target missing, however many deletes
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.contenttypes.fields import GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models, router

from xdbrel import (
    CrossDBCompositeForeignKey,
    CrossDBGenericForeignKey,
    keys,
    placement,
    relations,
)
from xdbrel.caching import uncached
from xdbrel.models import CascadeIntent

#: Rows by model and primary key; a row is its columns by attname.
Row = Mapping[str, Any]
Snapshot = dict[type[models.Model], dict[Any, Row]]

#: A row, or for ``assert_consistent`` a whole model of whose rows any may be deleted.
Root = models.Model | type[models.Model] | tuple[type[models.Model], Any]

#: How many lines a failure spells out.
SHOWN = 20


@dataclass(frozen=True)
class Link:
    """A foreign key, crossing or not, between two models of a snapshot."""

    field: Any

    @property
    def handle(self) -> str:
        return relations.handle_of(self.field)

    @property
    def source(self) -> type[models.Model]:
        return self.field.model

    @property
    def target(self) -> type[models.Model]:
        return self.field.remote_field.model._meta.concrete_model

    @property
    def policy(self) -> Any:
        remote = self.field.remote_field
        return getattr(remote, "policy", remote.on_delete)

    @property
    def cascades(self) -> bool:
        return self.policy is models.CASCADE

    @property
    def sets(self) -> bool:
        return self.policy in (models.SET_NULL, models.SET_DEFAULT) or (
            getattr(self.policy, "__name__", "") == "set_on_delete"
        )

    def key_of(self, row: Row) -> Any:
        return row[self.field.attname]

    def emptied(self, row: Row) -> Row:
        """Return what a source becomes; what a callable gives is not known here."""
        if self.policy is models.SET_NULL:
            value = None
        else:
            value = self.field.get_default() if self.policy is models.SET_DEFAULT else mock.ANY
        return {**row, self.field.attname: value}

    def target_key(self, snapshot: Snapshot, pk: Any) -> Any:
        """Return the key by which sources know the target row ``pk``."""
        model, attname = self.target, self.field.target_field.attname
        while attname not in snapshot[model][pk]:
            # A column of the parent's, whose row has the same primary key.
            model = next(iter(model._meta.parents))
        return snapshot[model][pk][attname]


@dataclass(frozen=True)
class Composite(Link):
    """A relation over several columns; a source with a NULL among them has no key."""

    def key_of(self, row: Row) -> Any:
        key = tuple(row[column.attname] for column in self.field.local_related_fields)
        return None if None in key else key

    def emptied(self, row: Row) -> Row:
        columns = self.field.local_related_fields
        return {**row, **{column.attname: None for column in columns if column.null}}

    def target_key(self, snapshot: Snapshot, pk: Any) -> Any:
        row = snapshot[self.target][pk]
        return tuple(row[column.attname] for column in self.field.foreign_related_fields)


@dataclass(frozen=True)
class Generic(Link):
    """What a generic foreign key says of one model; a source of another's has no key."""

    to: type[models.Model]
    #: The id of the model's content type, as the sources hold it.
    type_id: int

    @property
    def handle(self) -> str:
        return f"{relations.handle_of(self.field)}[{self.to._meta.label}]"

    @property
    def target(self) -> type[models.Model]:
        return self.to

    @property
    def policy(self) -> Any:
        return models.CASCADE

    def key_of(self, row: Row) -> Any:
        kind = self.field.model._meta.get_field(self.field.ct_field).attname
        if row[kind] != self.type_id or row[self.field.fk_field] is None:
            return None
        return self.to._meta.pk.to_python(row[self.field.fk_field])

    def target_key(self, snapshot: Snapshot, pk: Any) -> Any:
        return pk


def tested_models() -> list[type[models.Model]]:
    """Return the models of the tests' apps, and the users."""
    return [
        User,
        *(
            model
            for config in apps.get_app_configs()
            if config.name.startswith("tests.apps.")
            for model in config.get_models(include_auto_created=True)
            if model._meta.managed and not model._meta.proxy
        ),
    ]


def snapshot(of: Iterable[type[models.Model]] | None = None) -> Snapshot:
    """Return every row of the models (default: all that are tested), each from its home."""
    found: Snapshot = {}
    with uncached():
        for model in tested_models() if of is None else of:
            columns = [field.attname for field in model._meta.local_concrete_fields]
            rows = model._base_manager.using(placement.home(model)).order_by()
            found[model] = {_pk_of(model, row): row for row in rows.values(*columns)}
    return found


def _pk_of(model: type[models.Model], row: Row) -> Any:
    """Return a row's primary key, a tuple where it is of several columns."""
    pk = tuple(row[field.attname] for field in model._meta.pk_fields)
    return pk if len(pk) > 1 else pk[0]


def after(before: Snapshot, *gone: Root) -> Snapshot:
    """Return what ``before`` becomes when the rows ``gone`` are deleted, as one database would.

    Nothing vetoes here: whoever asks knows that the delete is allowed.
    """
    dead = _closure(before, [_named(root) for root in gone])
    changed: Snapshot = {
        model: {pk: row for pk, row in rows.items() if (model, pk) not in dead}
        for model, rows in before.items()
    }
    for link in links_of(before):
        if link.sets:
            missing = {link.target_key(before, pk) for model, pk in dead if model is link.target}
            for pk, row in changed[link.source].items():
                if link.key_of(row) in missing:
                    changed[link.source][pk] = link.emptied(row)
    return changed


def outcome(before: Snapshot, *deleted: Root) -> str:
    """Return "gone" if all of this was deleted, "stands" if nothing was; fail on anything else."""
    now = snapshot(before)
    if now == before:
        return "stands"
    expected = after(before, *deleted)
    if now == expected:
        return "gone"
    lines = [
        *(f"against a delete that happened: {line}" for line in _differences(expected, now)),
        *(f"against none: {line}" for line in _differences(before, now)),
    ]
    raise AssertionError(_listed("The delete is neither done nor undone", lines))


def assert_consistent(
    before: Snapshot | None = None, *, roots: Iterable[Root] = (), drained: bool = False
) -> None:
    """Fail if a row is dangling or lost.

    No source may hold a key without a target, unless an intent that speaks of that key is
    still to be applied; ``drained`` says that there is none, set aside or not. Of the rows
    of ``before`` only ``roots`` (rows, or models of whose rows any may go) may be missing,
    and what hangs on missing ones; a key that a policy sets is changed only where its
    target is missing.
    """
    now = snapshot(before)
    waiting = pending()
    lines = []
    if drained:
        lines += [
            f"{handle}: an intent of {keys_} was not applied" for handle, keys_ in waiting.items()
        ]
    for handle, keys_ in orphans(now).items():
        excused = set() if drained else waiting.get(handle, set())
        lines += [f"{handle}: no target for {key!r}" for key in sorted(keys_ - excused, key=repr)]
    if before is not None:
        lines += lost(before, now, roots)
    assert not lines, _listed("Rows are dangling or lost", lines)


def orphans(now: Snapshot) -> dict[str, set[Any]]:
    """Return the keys without a target by relation; of DO_NOTHING nobody expects any better."""
    found = {}
    for link in links_of(now):
        if link.policy is models.DO_NOTHING:
            continue
        there = {link.target_key(now, pk) for pk in now[link.target]}
        held = {link.key_of(row) for row in now[link.source].values()} - {None}
        if held - there:
            found[link.handle] = held - there
    return found


def pending() -> dict[str, set[Any]]:
    """Return the keys of the intents that are still to be applied, in every database."""
    found: dict[str, set[Any]] = {}
    finished = (CascadeIntent.Status.APPLIED, CascadeIntent.Status.CONFIRMED)
    with uncached():
        for alias in connections:
            if not router.allow_migrate_model(alias, CascadeIntent):
                continue
            for intent in CascadeIntent.objects.using(alias).exclude(status__in=finished):
                column = relations.get(intent.relation).target_field
                found.setdefault(intent.relation, set()).update(keys.decode(intent.keys, column))
    return found


def lost(before: Snapshot, now: Snapshot, roots: Iterable[Root]) -> list[str]:
    """Return what is missing or changed without a missing target to explain it."""
    whole = {root for root in roots if isinstance(root, type)}
    named = {_named(root) for root in roots if not isinstance(root, type)}
    missing = {
        (model, pk) for model, rows in before.items() for pk in rows if pk not in now[model]
    }
    explained = _closure(
        before,
        [(model, pk) for model, pk in missing if model in whole or (model, pk) in named],
    )
    lines = [
        f"{model._meta.label} {pk!r} is missing: {before[model][pk]}"
        for model, pk in sorted(missing - explained, key=repr)
    ]
    for link in links_of(before):
        gone = {link.target_key(before, pk) for model, pk in missing if model is link.target}
        for pk, row in before[link.source].items():
            key = link.key_of(row)
            if pk in now[link.source] and key not in gone:
                held = link.key_of(now[link.source][pk])
                if held != key:
                    lines.append(f"{link.handle} of {pk!r} is {held!r}, its target {key!r} lives")
    return lines


def _closure(
    before: Snapshot, gone: Iterable[tuple[type[models.Model], Any]]
) -> set[tuple[type[models.Model], Any]]:
    """Return these rows and all that goes with them."""
    links: dict[type[models.Model], list[tuple[Link, dict[Any, list[Any]]]]] = {}
    for link in links_of(before):
        if link.cascades:
            holders: dict[Any, list[Any]] = {}
            for pk, row in before[link.source].items():
                holders.setdefault(link.key_of(row), []).append(pk)
            links.setdefault(link.target, []).append((link, holders))
    dead: set[tuple[type[models.Model], Any]] = set()
    waiting = [row for row in gone if row[1] in before[row[0]]]
    while waiting:
        model, pk = waiting.pop()
        if (model, pk) in dead:
            continue
        dead.add((model, pk))
        for link, holders in links.get(model, ()):
            key = link.target_key(before, pk)
            waiting += [(link.source, holder) for holder in holders.get(key, ())]
        # A multi-table child takes its parents with it.
        waiting += [(parent, pk) for parent in model._meta.parents if pk in before[parent]]
    return dead


def links_of(snapshot: Snapshot) -> Iterator[Link]:
    """Yield the relations between models of a snapshot, of every kind."""
    for model in snapshot:
        for field in model._meta.local_concrete_fields:
            if field.many_to_one or field.one_to_one:
                link = Link(field)
                if link.target in snapshot:
                    yield link
        for field in (*model._meta.local_fields, *model._meta.private_fields):
            if isinstance(field, CrossDBCompositeForeignKey):
                if field.model is model and (link := Composite(field)).target in snapshot:
                    yield link
            elif isinstance(field, CrossDBGenericForeignKey):
                yield from _generic_links(field, snapshot)


def _generic_links(field: Any, snapshot: Snapshot) -> Iterator[Link]:
    types = ContentType.objects.db_manager(placement.home(ContentType))
    for target in snapshot:
        for back in target._meta.private_fields:
            if isinstance(back, GenericRelation) and back.remote_field.model is field.model:
                yield Generic(field, target, types.get_for_model(target).pk)


def _named(root: Root) -> tuple[type[models.Model], Any]:
    if isinstance(root, tuple):
        return root
    assert isinstance(root, models.Model), "name rows here, not models"
    assert root.pk is not None, "name a deleted row by (model, pk): the instance has lost its key"
    return (type(root)._meta.concrete_model, root.pk)


def _differences(expected: Snapshot, now: Snapshot) -> list[str]:
    lines = []
    for model, rows in expected.items():
        label = model._meta.label
        there = now[model]
        lines += [f"{label} {pk!r} is missing" for pk in rows if pk not in there]
        lines += [f"{label} {pk!r} is there" for pk in there if pk not in rows]
        lines += [
            f"{label} {pk!r} is {there[pk]}, not {rows[pk]}"
            for pk in rows
            if pk in there and there[pk] != rows[pk]
        ]
    return lines


def _listed(title: str, lines: list[str]) -> str:
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n  ".join([f"{title}:", *lines[:SHOWN], *more])
