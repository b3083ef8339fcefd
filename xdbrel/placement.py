"""Where a model lives, and whether two aliases are the same place.

Owns the one answer to "which alias". Django's router falls back to the database of
the *hinted instance* when no router speaks, which sends the look-up of a target to
the database of its source. The rule here is:

1. the routers are asked, hints included;
2. if none spoke and the model may be migrated to the hinted database, it stays there
   (replicas, one-database tests and tenants keep Django's stickiness);
3. otherwise the one alias that may hold the model; ``default`` where several may;
   ``HomeError`` where that is ambiguous.

The model that ``CrossDBManyToManyField`` makes between its two sides is where its field says
(``through_home``), or with the model that declares the field: Django's migrations make the two
tables together. Routers are asked about that model, since one that names models does not know
of the other.

``placed_router`` answers like ``django.db.router`` by that rule, for the parts of
Django that ask a router. Nothing here opens a connection.
"""

from __future__ import annotations

import re
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db import router as django_router

from xdbrel.conf import settings
from xdbrel.exceptions import HomeError

#: Schemas of one PostgreSQL database hold different tables; OPTIONS says which are meant.
_SEARCH_PATH = re.compile(r"search_path\s*=\s*(\S+)")


def home(model: type[models.Model], *, instance: models.Model | None = None) -> str:
    """Return the alias where rows of ``model`` are written: its home.

    ``instance`` is the routers' hint: the object at the relation's other end. A
    replica's alias is never returned. Asking is not writing: a router that takes note of
    writes answers ``db_for_home()``, with the arguments of ``db_for_write()``, without
    taking note. Raises ``HomeError`` where no single alias can be named.
    """
    hints = _hints(instance)
    return primary(_alias("db_for_home", model, hints))


def read_alias(model: type[models.Model], *, instance: models.Model | None = None) -> str:
    """Return the alias to read rows of ``model`` from; it may be a replica's.

    Raises ``HomeError`` where no single alias can be named.
    """
    return _alias("db_for_read", model, _hints(instance))


def pin(model: type[models.Model], *, instance: models.Model | None = None) -> str | None:
    """Return the alias that a queryset must be pinned to, or ``None`` where Django finds it.

    A pinned queryset writes where it reads, so nothing is pinned where a router spoke (it
    may name a replica for reads) or where Django's stickiness leads to a right place.
    """
    hints = _hints(instance)
    if made_by(model) is not None or through_home(model) is not None:
        # Django asks the routers about the model itself.
        alias = home(model, instance=instance)
        return None if same_home(django_router.db_for_read(model, **hints), alias) else alias
    if spoken("db_for_read", model, **hints):
        return None
    hinted = instance._state.db if instance is not None else None
    if hinted and may_live(model, hinted):
        return None
    return unspoken(model, **hints)


def candidates(model: type[models.Model]) -> list[str]:
    """Return the aliases that may hold ``model`` (``allow_migrate``), one for each database.

    Replicas are left out, and so are aliases that name no database (``"default": {}``).
    """
    found: dict[tuple[str, ...], str] = {}
    for alias in connections:
        if is_configured(alias) and primary(alias) == alias and _may_stand(model, alias):
            found.setdefault(_place(alias), alias)
    return list(found.values())


def primary(alias: str) -> str:
    """Return the alias that a replica or test mirror stands for, and any other as it is.

    Replicas are those of ``XDBREL["REPLICAS"]``, mirrors those of ``TEST["MIRROR"]``.
    """
    replicas = settings.REPLICAS
    following = replicas.get(alias) or _mirrored(alias)
    if not following:
        return alias
    seen = {alias}
    while following and following not in seen:
        alias = following
        seen.add(alias)
        following = replicas.get(alias) or _mirrored(alias)
    return alias


def same_home(first: str, second: str) -> bool:
    """Tell whether two aliases are one home.

    They are when they are equal, a replica or mirror and its primary, two replicas of one
    primary, or two names of the same database.
    """
    if first == second:
        return True
    first, second = primary(first), primary(second)
    return first == second or _place(first) == _place(second)


def may_live(model: type[models.Model], alias: str) -> bool:
    """Tell whether rows of ``model`` may live at ``alias`` or at the primary behind it."""
    if _may_stand(model, alias):
        return True
    behind = primary(alias)
    return behind != alias and _may_stand(model, behind)


def made_by(model: type[models.Model]) -> Any:
    """Return the many-to-many field of ours that made ``model``, if one did."""
    return getattr(model, "made_by", None)


def through_home(model: type[models.Model]) -> str | None:
    """Return the alias that a field names for the model between its sides, if ``model`` is one.

    A model of a migration's state counts as well: its manager remembers. What Django's cache
    in a table shows its routers has no manager.
    """
    manager = getattr(model._meta, "default_manager", None)
    alias: str | None = getattr(manager, "through_home", None)
    return alias


def asked_about(model: type[models.Model]) -> type[models.Model]:
    """Return the model that routers are asked about, where they are to place ``model``."""
    field = made_by(model)
    return model if field is None else field.model


def allowed(model: type[models.Model], alias: str) -> bool | None:
    """Return what the routers say of ``model`` at ``alias``; ``None`` where all are silent."""
    meta = model._meta
    for router in django_router.routers:
        method = getattr(router, "allow_migrate", None)
        if method is not None:
            said = method(alias, meta.app_label, model_name=meta.model_name, model=model)
            if said is not None:
                return bool(said)
    return None


def alias_in(model: type[models.Model], using: str, *, joined: bool) -> str:
    """Return where the rows of ``model`` come from that a statement on ``using`` speaks of.

    A statement that asks for them where they may live means those there; where they are only
    ``joined`` the routers are heard first. Raises ``HomeError`` where no alias can be named.
    """
    said = allowed(model, using)
    if said and not joined:
        return using
    if said is False:
        found = home(model)
    else:
        found = primary(spoken("db_for_home", model) or using)
    return using if same_home(found, using) else found


def is_configured(alias: str) -> bool:
    """Tell whether ``alias`` names a database: Django allows an empty ``default``."""
    engine: str = connections.settings.get(alias, {}).get("ENGINE", "")
    return bool(engine) and engine != "django.db.backends.dummy"


class PlacedRouter:
    """``django.db.router``, with the rule of this module where no router speaks."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str:
        return _alias("db_for_read", model, hints)

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str:
        return _alias("db_for_write", model, hints)

    def allow_relation(self, obj1: models.Model, obj2: models.Model, **hints: Any) -> bool:
        """A relation is allowed unless a router forbids it, or it would lead elsewhere.

        Where no router says, Django wants both objects in one database, whichever it is. Here
        it is enough that one is found from the other's side; of objects of two tenants,
        neither is.
        """
        for router in django_router.routers:
            method = getattr(router, "allow_relation", None)
            if method is not None:
                allowed = method(obj1, obj2, **hints)
                if allowed is not None:
                    return bool(allowed)
        if obj1._state.db == obj2._state.db:
            return True
        return _is_found(obj1, obj2) or _is_found(obj2, obj1)


placed_router = PlacedRouter()


def _is_found(obj: models.Model, beside: models.Model) -> bool:
    """Tell whether a look-up that ``beside`` hints at leads to the database of ``obj``."""
    if not obj._state.db:
        return True
    try:
        return same_home(home(obj.__class__, instance=beside), obj._state.db)
    except HomeError:
        return False


def spoken(
    action: str, model: type[models.Model], *, skip: type | None = None, **hints: Any
) -> str | None:
    """Return the alias that the project's routers name, or ``None`` where all are silent.

    ``action`` is ``db_for_read``, ``db_for_write`` or ``db_for_home``: what ``db_for_write``
    says, asked without writing. ``skip`` is a class of routers that are not asked, so that
    a router may ask the others.
    """
    named = through_home(model)
    if named is not None:
        return named
    model = asked_about(model)
    for router in django_router.routers:
        if skip is not None and isinstance(router, skip):
            continue
        method = getattr(router, action, None)
        if method is None and action == "db_for_home":
            method = getattr(router, "db_for_write", None)
        if method is not None:
            chosen = method(model, **hints)
            if chosen:
                return str(chosen)
    return None


def unspoken(model: type[models.Model], **hints: Any) -> str:
    """Return where ``model`` lives when no router names an alias: steps 2 and 3 of the rule.

    Raises ``HomeError`` where no single alias can be named.
    """
    instance = hints.get("instance")
    hinted: str | None = instance._state.db if instance is not None else None
    if hinted and may_live(model, hinted):
        return hinted
    # Most models that no router names live here; the others are asked for in turn.
    if (
        is_configured(DEFAULT_DB_ALIAS)
        and primary(DEFAULT_DB_ALIAS) == DEFAULT_DB_ALIAS
        and _may_stand(model, DEFAULT_DB_ALIAS)
    ):
        return DEFAULT_DB_ALIAS
    possible = candidates(model)
    if len(possible) == 1:
        return possible[0]
    raise HomeError(model._meta.label, possible)


def _may_stand(model: type[models.Model], alias: str) -> bool:
    """Tell whether ``alias`` itself may have the table of ``model``."""
    named = through_home(model)
    if named is not None:
        return same_home(alias, named)
    return django_router.allow_migrate_model(alias, asked_about(model))


def _alias(action: str, model: type[models.Model], hints: dict[str, Any]) -> str:
    return spoken(action, model, **hints) or unspoken(model, **hints)


def _hints(instance: models.Model | None) -> dict[str, Any]:
    return {} if instance is None else {"instance": instance}


def _mirrored(alias: str) -> str | None:
    configured: dict[str, Any] = connections.settings.get(alias, {})
    mirrored: str | None = configured.get("TEST", {}).get("MIRROR")
    return mirrored


def _place(alias: str) -> tuple[str, ...]:
    configured: dict[str, Any] = connections.settings.get(alias, {})
    name = str(configured.get("NAME") or "")
    options = configured.get("OPTIONS") or {}
    # A connection service or an option file names the database from outside.
    outside = str(options.get("service") or options.get("read_default_file") or "")
    if name == ":memory:" or not (name or outside):
        # Each connection to an unnamed or in-memory database is a place of its own.
        return (alias,)
    searched = _SEARCH_PATH.search(str(options.get("options") or ""))
    return (
        str(configured.get("ENGINE") or ""),
        str(configured.get("HOST") or ""),
        str(configured.get("PORT") or ""),
        name,
        outside,
        searched[1] if searched else "",
    )
