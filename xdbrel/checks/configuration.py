"""Checks of ``settings.XDBREL`` and of the routers that read it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, cast

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.db import connections, router
from django.db.models import Model

from xdbrel import placement
from xdbrel.cascade.triggers.captures import is_served
from xdbrel.checks.scope import TAG, Found, check, crossing, is_resolved
from xdbrel.conf import Settings, settings
from xdbrel.relations import all_relations
from xdbrel.routers import CACHE_LABEL, HomeRouter, PrimaryReplicaRouter


@checks.register(TAG)
def check_values(**kwargs: Any) -> list[checks.CheckMessage]:
    """E001, E002: unknown keys and values of a wrong type."""
    written = getattr(django_settings, "XDBREL", {})
    if not isinstance(written, Mapping):
        return [_wrong("XDBREL", "a dictionary", written)]
    found: list[checks.CheckMessage] = []
    for key, value in written.items():
        setting = vars(Settings).get(key) if key in Settings.names() else None
        if setting is None:
            close = difflib.get_close_matches(str(key).upper(), Settings.names(), n=1)
            found.append(
                checks.Error(
                    f"XDBREL has an unknown key {key!r}.",
                    hint=(
                        f"Write {close[0]!r} instead."
                        if close
                        else f"Remove it. The known keys are {', '.join(Settings.names())}."
                    ),
                    id="xdbrel.E001",
                )
            )
        elif not setting.accepts(value):
            found.append(_wrong(f'XDBREL["{key}"]', setting.expected, value))
    return found


@check()
def check_homes(**kwargs: Any) -> Found:
    """E003, E004, E006, W011: what ``HOMES`` names."""
    for name, alias in settings.HOMES.items():
        yield from check_alias(f'XDBREL["HOMES"]["{name}"]', alias, "xdbrel.E003")
        if name.partition(".")[0].lower() == CACHE_LABEL:
            continue
        unknown = unknown_label("HOMES", name, "xdbrel.E004")
        if unknown is not None:
            yield unknown
            continue
        app_label, _, model_name = name.partition(".")
        if model_name:
            model = _models_of(app_label)[model_name.lower()]
            holder = cast(
                type[Model], model._meta.auto_created or model._meta.concrete_model or model
            )
            if holder is not model:
                home = HomeRouter().db_for_write(holder)
                if home != alias:
                    yield checks.Warning(
                        f'XDBREL["HOMES"]["{name}"] has no effect: the rows of '
                        f"{model._meta.label} live with {holder._meta.label}.",
                        hint=f"Remove it, or name the home of {holder._meta.label}.",
                        id="xdbrel.W011",
                    )


@check()
def check_replicas(**kwargs: Any) -> Found:
    """E005: what ``REPLICAS`` names."""
    replicas = settings.REPLICAS
    for replica, primary in replicas.items():
        yield from check_alias('A key of XDBREL["REPLICAS"]', replica, "xdbrel.E005")
        yield from check_alias(f'XDBREL["REPLICAS"]["{replica}"]', primary, "xdbrel.E005")
        followed = {replica}
        while primary in replicas and primary not in followed:
            followed.add(primary)
            primary = replicas[primary]
        if primary == replica:
            yield checks.Error(
                f'XDBREL["REPLICAS"] makes {replica!r} a replica of itself.',
                hint=f"Name the primary that {replica!r} copies.",
                id="xdbrel.E005",
            )


@check()
def check_integrity_database(**kwargs: Any) -> Found:
    """E007, E006: where scan runs are kept."""
    yield from check_alias(
        'XDBREL["INTEGRITY_DATABASE"]', settings.INTEGRITY_DATABASE, "xdbrel.E007"
    )


@check()
def check_capture(**kwargs: Any) -> Found:
    """E012, W013: what ``CAPTURE`` names."""
    capture = settings.CAPTURE
    if isinstance(capture, str):
        return
    known = {relation.handle.lower(): relation for relation in all_relations()}
    for handle in capture:
        relation = known.get(handle.lower())
        if relation is None:
            handles = [one.handle for one in known.values()]
            close = difflib.get_close_matches(handle, handles, n=1)
            yield checks.Error(
                f'XDBREL["CAPTURE"] names {handle!r}, and there is no such relation.',
                hint=(
                    f"Write {close[0]!r} instead."
                    if close
                    else '"manage.py xdbrel_relations" lists them.'
                ),
                id="xdbrel.E012",
            )
        elif is_resolved(relation.field) and not is_served(relation):
            yield checks.Warning(
                f'{relation.handle} in XDBREL["CAPTURE"] has no effect: '
                + (
                    f"with {relation.policy} nothing follows what goes past the ORM."
                    if any(crossing([relation]))
                    else "its models have one home."
                ),
                hint="Remove it.",
                id="xdbrel.W013",
            )


@check()
def check_routers(**kwargs: Any) -> Found:
    """W009, W010: settings without their router, routers in the wrong order."""
    kinds = [type(one) for one in router.routers]
    by_home = [n for n, kind in enumerate(kinds) if issubclass(kind, HomeRouter)]
    by_pool = [n for n, kind in enumerate(kinds) if issubclass(kind, PrimaryReplicaRouter)]
    if settings.HOMES and not by_home:
        yield checks.Warning(
            'XDBREL["HOMES"] has no effect: no router in DATABASE_ROUTERS reads it.',
            hint='Add "xdbrel.routers.HomeRouter" to the end of DATABASE_ROUTERS.',
            id="xdbrel.W009",
        )
    if by_home and by_pool and by_pool[0] > by_home[0]:
        yield checks.Warning(
            "PrimaryReplicaRouter stands after HomeRouter in DATABASE_ROUTERS, which answers "
            'first: the replicas of the databases in XDBREL["HOMES"] are never read.',
            hint='Move "xdbrel.routers.PrimaryReplicaRouter" before HomeRouter.',
            id="xdbrel.W010",
        )


def check_alias(where: str, alias: str, unknown_id: str) -> Found:
    """Yield what is wrong with the name of a database in the settings."""
    if alias not in connections.settings or not placement.is_configured(alias):
        known = [name for name in connections if placement.is_configured(name)]
        close = difflib.get_close_matches(alias, known, n=1)
        yield checks.Error(
            f"{where} names the database {alias!r}, which DATABASES does not define.",
            hint=(
                f"Write {close[0]!r} instead, or define {alias!r} in DATABASES."
                if close
                else f"Define {alias!r} in DATABASES, or name one of {', '.join(known)}."
            ),
            id=unknown_id,
        )
    elif unknown_id != "xdbrel.E005" and placement.primary(alias) != alias:
        yield checks.Error(
            f"{where} names {alias!r}, a replica or test mirror of "
            f"{placement.primary(alias)!r}, where nothing is written.",
            hint=f"Name {placement.primary(alias)!r} instead.",
            id="xdbrel.E006",
        )


def unknown_label(key: str, name: str, unknown_id: str) -> checks.CheckMessage | None:
    """Return what is wrong with a key that should be an app's label or ``app_label.Model``."""
    app_label, _, model_name = name.partition(".")
    # Entries are found whatever the case of their letters.
    if app_label.lower() not in {label.lower() for label in apps.app_configs}:
        kind, close = "app", difflib.get_close_matches(app_label, apps.app_configs)
    elif model_name and model_name.lower() not in _models_of(app_label):
        models = _models_of(app_label).values()
        names = [known._meta.object_name or "" for known in models]
        label = next(one for one in apps.app_configs if one.lower() == app_label.lower())
        kind = "model"
        close = [f"{label}.{found}" for found in difflib.get_close_matches(model_name, names)]
    else:
        return None
    return checks.Error(
        f'XDBREL["{key}"] has an entry {name!r}, and there is no such {kind}.',
        hint=(
            f"Write {close[0]!r} instead."
            if close
            else f"Remove it, or install the app that has this {kind}."
        ),
        id=unknown_id,
    )


def _models_of(app_label: str) -> dict[str, type[Model]]:
    label = next(one for one in apps.app_configs if one.lower() == app_label.lower())
    return apps.all_models[label]


def _wrong(where: str, expected: str, value: object) -> checks.CheckMessage:
    return checks.Error(
        f"{where} must be {expected}, not {value!r}.",
        hint="Correct it in the settings.",
        id="xdbrel.E002",
    )
