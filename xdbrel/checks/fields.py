"""Checks of the cross-database fields.

What Django's own checks say of every foreign key (``SET_NULL`` without ``null``:
``fields.E320``) they say of these as well, and it is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core import checks
from django.db import models, router

from xdbrel import placement
from xdbrel.checks.scope import Found, check, crossing, listed, relations_of
from xdbrel.compat import is_database_level
from xdbrel.conf import settings
from xdbrel.exceptions import HomeError
from xdbrel.models import CascadeIntent, ScanRun
from xdbrel.relations import Relation


@check()
def check_on_delete(app_configs: Any = None, **kwargs: Any) -> Found:
    """E030: deletion left to a database that cannot see the sources."""
    for relation in relations_of(app_configs):
        if is_database_level(relation.field.policy):  # type: ignore[attr-defined]
            yield checks.Error(
                f"{relation} leaves on_delete={relation.policy} to the database, where no "
                f"constraint holds it: deleting a target would leave its sources dangling.",
                hint=f"Write on_delete=models.{relation.policy.removeprefix('DB_')}.",
                obj=relation.field,
                id="xdbrel.E030",
            )


@check()
def check_known_homes(app_configs: Any = None, **kwargs: Any) -> Found:
    """E031: models at an end of a relation whose home is unknown or ambiguous."""
    ends: dict[type[models.Model], list[Relation]] = {}
    for relation in relations_of(app_configs):
        for model in {relation.source, relation.target}:
            ends.setdefault(model, []).append(relation)
    for model, relations in ends.items():
        try:
            placement.home(model)
        except HomeError as error:
            may = ", ".join(map(repr, error.candidates)) or "none"
            yield checks.Error(
                f"The home of {model._meta.label} is not known, and {_handles(relations)} "
                f"needs it: no router names its database, and {may} may hold it.",
                hint='Name it in XDBREL["HOMES"] and use xdbrel.routers.HomeRouter, or answer '
                "in a router's db_for_write().",
                obj=model,
                id="xdbrel.E031",
            )


@check()
def check_own_tables(app_configs: Any = None, **kwargs: Any) -> Found:
    """E032: homes where xdbrel's own tables cannot be."""
    by_alias: dict[str, list[Relation]] = {}
    for relation in _acting(crossing(relations_of(app_configs))):
        by_alias.setdefault(relation.target_home, []).append(relation)
    for alias, relations in by_alias.items():
        if not router.allow_migrate_model(alias, CascadeIntent):
            yield _no_table(
                alias, f"deleting targets of {_handles(relations)} writes intents there"
            )
    for alias, relations in _following_keys(crossing(relations_of(app_configs))).items():
        if alias not in by_alias and not router.allow_migrate_model(alias, CascadeIntent):
            yield _no_table(
                alias, f"keys that change across {_handles(relations)} are noted there"
            )
    alias = settings.INTEGRITY_DATABASE
    if not router.allow_migrate_model(alias, ScanRun):
        yield _no_table(alias, 'XDBREL["INTEGRITY_DATABASE"] keeps scan runs there')


@check()
def check_stickiness(app_configs: Any = None, **kwargs: Any) -> Found:
    """E033: ends that are looked for beside the other end, and written somewhere else."""
    said = set()
    for relation in crossing(relations_of(app_configs)):
        ends = (
            (relation.source, relation.source_home, relation.target_home),
            (relation.target, relation.target_home, relation.source_home),
        )
        for model, its_home, other in ends:
            if (
                (model, other) not in said
                and placement.spoken("db_for_read", model) is None
                and placement.may_live(model, other)
            ):
                said.add((model, other))
                yield checks.Error(
                    f"{model._meta.label} is written to {its_home!r}, but across {relation} it "
                    f"is read from {other!r}: no router names its database, and it may be "
                    f"migrated to both.",
                    hint=f"Name its home in a router's db_for_read() and db_for_write(), or "
                    f"answer allow_migrate() with False for it in {other!r}.",
                    obj=model,
                    id="xdbrel.E033",
                )


@check()
def check_indexes(app_configs: Any = None, **kwargs: Any) -> Found:
    """W034: key columns that every cascade and scan would read from end to end."""
    for relation in crossing(relations_of(app_configs)):
        columns = {field.name: field for field in relation.source_fields}
        if columns.keys().isdisjoint(_first_columns(relation.source, _type_of(relation))):
            if relation.is_composite:
                names = ", ".join(repr(field.name) for field in relation.source_fields)
                yield checks.Warning(
                    f"{relation} has no index that begins with one of {names}: every cascade, "
                    f"reverse look-up and scan reads the whole table.",
                    hint="Add models.Index(fields=[…]) of these columns to Meta.indexes.",
                    obj=relation.field,
                    id="xdbrel.W034",
                )
                continue
            field: Any = relation.field
            hint = "Leave out db_index=False, or begin an index in Meta.indexes with it."
            if getattr(field, "is_generic", False):
                names = f"{field.generic.ct_field!r}, {field.generic.fk_field!r}"
                hint = f"Add models.Index(fields=[{names}]) to Meta.indexes."
            yield checks.Warning(
                f"{relation} has no index that begins with {field.attname!r}: every "
                f"cascade, reverse look-up and scan reads the whole table.",
                hint=hint,
                obj=field,
                id="xdbrel.W034",
            )


@check()
def check_masked(app_configs: Any = None, **kwargs: Any) -> Found:
    """W035: sources that are masked until a cascade which never comes."""
    for relation in relations_of(app_configs):
        field: Any = relation.field
        if field.masked and field.policy is models.DO_NOTHING:
            yield checks.Warning(
                f"{relation} has masked=True and on_delete=DO_NOTHING: the sources of a deleted "
                f"target stay hidden for good.",
                hint="Leave out masked=True, or let on_delete say what becomes of the sources.",
                obj=relation.field,
                id="xdbrel.W035",
            )


def _following_keys(relations: Iterable[Relation]) -> dict[str, list[Relation]]:
    """Return the relations whose sources follow changed keys, by the homes of either end."""
    by_alias: dict[str, list[Relation]] = {}
    for relation in relations:
        if relation.field.on_update is models.CASCADE:  # type: ignore[attr-defined]
            for alias in (relation.target_home, relation.source_home):
                by_alias.setdefault(alias, []).append(relation)
    return by_alias


def _acting(relations: Iterable[Relation]) -> Iterator[Relation]:
    """Yield the relations whose targets' deletes are followed by work elsewhere."""
    for relation in relations:
        policy: Any = relation.field.policy  # type: ignore[attr-defined]
        if policy is not models.DO_NOTHING and not is_database_level(policy):
            yield relation


def _type_of(relation: Relation) -> str | None:
    """Return the name of the field that says what a generic relation leads to."""
    generic = getattr(relation.field, "generic", None)
    return None if generic is None else str(generic.ct_field)


def _first_columns(model: type[models.Model], beside: str | None = None) -> Iterator[str]:
    """Yield the names of the fields by which rows are found through an index.

    Those that come first in one, or second after ``beside``.
    """
    meta = model._meta
    for field in meta.local_fields:
        if getattr(field, "db_index", False) or field.unique:
            yield field.name
    names = {field.attname: field.name for field in meta.local_fields}
    whole: list[list[str]] = [list(group) for group in meta.unique_together]
    for index in (*meta.indexes, *meta.constraints):
        # A partial index finds only part of the rows.
        if not getattr(index, "condition", None) and not getattr(index, "where", None):
            whole.append(list(getattr(index, "fields", ())))
    for columns in whole:
        if columns:
            named = [names.get(name, name) for name in (one.lstrip("-") for one in columns)]
            yield named[0]
            if named[0] == beside:
                yield from named[1:2]


def _no_table(alias: str, reason: str) -> checks.CheckMessage:
    return checks.Error(
        f"xdbrel's tables may not be migrated to {alias!r}, and {reason}.",
        hint=f'Answer allow_migrate({alias!r}, "xdbrel") with True, as '
        f'xdbrel.routers.HomeRouter does, and run "manage.py xdbrel_migrate".',
        id="xdbrel.E032",
    )


def _handles(relations: Iterable[Relation]) -> str:
    return listed(relation.handle for relation in relations)
