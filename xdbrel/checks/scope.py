"""What a check looks at, and how it is registered.

A check whose settings cannot even be read says nothing: ``configuration`` says it all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from xdbrel import placement
from xdbrel.conf import Settings, given
from xdbrel.exceptions import HomeError
from xdbrel.fields.adoption import why_not
from xdbrel.relations import Relation, handle_of, is_composite

TAG = "xdbrel"

Found = Iterator[checks.CheckMessage]
Check = Callable[..., list[checks.CheckMessage]]


def check(*tags: str, deploy: bool = False) -> Callable[[Callable[..., Found]], Check]:
    """Register a generator of messages as a check, tagged as given, else ``xdbrel``.

    A check with Django's tag ``database`` has no other: whoever asks for checks by another
    tag gets it, databases and all, and means no connection.
    """

    def registered(function: Callable[..., Found]) -> Check:
        @functools.wraps(function)
        def run(
            app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
        ) -> list[checks.CheckMessage]:
            return list(function(app_configs=app_configs, **kwargs)) if is_readable() else []

        return checks.register(run, *(tags or (TAG,)), deploy=deploy)

    return registered


def is_readable() -> bool:
    """Tell whether every setting has a value of its type."""
    try:
        written = given()
    except ImproperlyConfigured:
        return False
    known = Settings.names()
    return all(
        vars(Settings)[name].accepts(value) for name, value in written.items() if name in known
    )


def models_of(app_configs: Iterable[AppConfig] | None) -> Iterator[type[models.Model]]:
    """Yield the models of these apps, automatic ones included; of all apps for ``None``."""
    for config in apps.get_app_configs() if app_configs is None else app_configs:
        yield from config.get_models(include_auto_created=True)


def relations_of(app_configs: Iterable[AppConfig] | None) -> Iterator[Relation]:
    """Yield the cross-database relations that models of these apps declare."""
    for model in models_of(app_configs):
        for field in model._meta.local_fields:
            if (
                isinstance(field, models.ForeignObject)
                and getattr(field, "crosses_databases", False)
                and is_resolved(field)
            ):
                yield Relation(field)  # type: ignore[arg-type]
        for generic in model._meta.private_fields:
            for key in getattr(generic, "declared_keys", ()):
                if is_resolved(key):
                    yield Relation(key)


def crossing(relations: Iterable[Relation]) -> Iterator[Relation]:
    """Yield those whose ends have different homes; what is not known does not count."""
    for relation in relations:
        if _crosses(relation):
            yield relation


def is_resolved(field: Any) -> bool:
    """Tell whether a relation leads to a model that is there: else Django says so."""
    target = field.remote_field.model
    if isinstance(target, str) or target._meta.swapped:
        return False
    # Of several columns: ours say so.
    return not is_composite(field) or not hasattr(field, "is_known") or bool(field.is_known)


def home(model: type[models.Model]) -> str | None:
    """Return the home of ``model``, or ``None`` where it is not known."""
    try:
        return placement.home(model)
    except HomeError:
        return None


def parted(source: type[models.Model], target: type[models.Model]) -> tuple[str, str] | None:
    """Return the two homes, where Django looks for ``target`` in another than ``source``'s.

    ``None`` where they are one, where one is not known, and where no router speaks for
    ``target`` and it may live beside ``source``: Django stays there.
    """
    here, there = home(source), home(target)
    if here is None or there is None or placement.same_home(here, there):
        return None
    if placement.spoken("db_for_home", target) is None and placement.may_live(target, here):
        return None
    return here, there


def listed(names: Iterable[str], at_most: int = 5) -> str:
    """Return names for a message, sorted, with the number of those that are too many."""
    every = sorted(names)
    more = len(every) - at_most
    return ", ".join(every[:at_most]) + (f" and {more} more" if more > 0 else "")


def _crosses(relation: Relation) -> bool:
    try:
        return relation.crosses
    except HomeError:
        return False


def adoptable(field: Any) -> str:
    """Return the part of a hint for who cannot declare a relation anew, or an empty string."""
    if why_not(field) is not None:
        return ""
    return f"name '{handle_of(field)}' in XDBREL[\"ADOPT\"] if the app is not yours, "
