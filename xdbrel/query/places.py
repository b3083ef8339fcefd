"""Where the tables of a query live, as seen from the database that runs it.

Owns the answer to one question: is this table here, or in which other database? A model is
here if its home is; if it may live here (a table that stands in every database) and no router
sends its reads elsewhere; and where the routers only name homes, if this is the one named. What
stands in a database by its own account is asked only of one that was named for a model that
lives elsewhere.
"""

from __future__ import annotations

import time
from typing import Any

from django.apps import apps
from django.db import connections, models
from django.db import router as django_router

from xdbrel import conf, placement
from xdbrel.exceptions import HomeError

#: Whether there is more than one database.
_several: bool | None = None
#: What the routers said of a model at an alias. They are asked once: what may be migrated
#: where does not change while a project runs. Where they name homes alone, they are asked
#: each time, since a home may depend on the request.
_allowed: dict[tuple[type[models.Model], str], bool | None] = {}
#: What became of it for the one table of a query: asked of each query of one table.
_may_be_here: dict[tuple[type[models.Model], str], bool] = {}
_asked: tuple[Any, Any] = (None, None)
#: Whether the routers let a model live in several databases, by their own words.
_in_several: dict[type[models.Model], bool] = {}
#: Seconds for which it is taken to hold that a table stands somewhere, or does not.
KEEP = 60.0
_standing: dict[tuple[str, str], tuple[float, bool]] = {}


def several() -> bool:
    """Tell whether the project has more than one database."""
    global _several
    if _several is None:
        _several = sum(map(placement.is_configured, connections)) > 1
    return _several


def forget(**kwargs: Any) -> None:
    """Forget what was found out: the settings changed."""
    global _several
    _several = None
    _forget_routers()
    _standing.clear()


def elsewhere(model: type[models.Model] | None, alias: str) -> str | None:
    """Return the alias where ``model`` is to be read, or ``None`` where ``alias`` has it.

    ``None`` stands for no model: a table that belongs to none is taken to be here.
    """
    if model is None:
        return None
    model = model._meta.concrete_model or model
    allowed = _said(model, alias)
    if allowed:
        return None
    try:
        read = placement.read_alias(model)
    except HomeError:
        return None
    if placement.same_home(read, alias):
        return None
    if allowed is None and placement.spoken("db_for_read", model) is None:
        # Nobody says anything of it, so it stays where Django would look for it.
        return None
    return read


def told_elsewhere(model: type[models.Model] | None, alias: str) -> str | None:
    """Return where the routers read ``model``, if that is not ``alias``, where it may live too.

    A catch-all ``allow_migrate()`` makes tables in every database, of which one has the rows.
    """
    if model is None or not _has_several_places(model._meta.concrete_model or model):
        return None
    read = placement.spoken("db_for_read", model._meta.concrete_model or model)
    return None if read is None or placement.same_home(read, alias) else read


def may_be_here(model: type[models.Model] | None, alias: str) -> bool:
    """Tell whether the one table of a query may be at ``alias``, without asking for its home.

    A quick look for queries of one table. Models that no app has, those of a migration's
    state and of Django's record of migrations, are where the query says.
    """
    if model is None:
        return True
    _heed_changes()
    known = _may_be_here.get((model, alias))
    if known is None:
        if model._meta.apps is not apps:
            return True
        known = _said(model._meta.concrete_model or model, alias) is not False
        _may_be_here[model, alias] = known
    return known


def stands(model: type[models.Model], alias: str) -> bool:
    """Tell whether ``alias`` has a table of the model's name, whatever the routers say of it."""
    table = model._meta.db_table
    known = _standing.get((alias, table))
    if known is not None and time.monotonic() - known[0] < KEEP:
        return known[1]
    connection = connections[alias]
    with connection.cursor() as cursor:
        found = table in connection.introspection.table_names(cursor, include_views=True)
    _standing[alias, table] = (time.monotonic(), found)
    return found


def _said(model: type[models.Model], alias: str) -> bool | None:
    """Return what the routers say of ``model`` at ``alias``; ``None`` where all are silent."""
    _heed_changes()
    named = placement.through_home(model)
    if named is not None:
        return placement.same_home(named, alias)
    model = placement.asked_about(model)
    if model._meta.apps is not apps:
        # One of a migration's states, which come and go.
        return placement.allowed(model, alias)
    try:
        return _allowed[model, alias]
    except KeyError:
        said = _allowed[model, alias] = placement.allowed(model, alias)
        return said


def _has_several_places(model: type[models.Model]) -> bool:
    """Tell whether the routers let ``model`` live in several databases, by their own words.

    xdbrel's own tables do not count: whoever asks for them names the database.
    """
    if model._meta.app_label == "xdbrel" or model._meta.apps is not apps:
        return False
    _heed_changes()
    try:
        return _in_several[model]
    except KeyError:
        allowed = {placement.primary(alias) for alias in connections if _said(model, alias)}
        found = _in_several[model] = len(allowed) > 1
        return found


def _heed_changes() -> None:
    """Forget what the routers said, if there are others, or other settings of ours."""
    global _asked
    if _asked[0] is not django_router.routers or _asked[1] is not conf.kept():
        _forget_routers()
        conf.given()
        _asked = (django_router.routers, conf.kept())


def _forget_routers() -> None:
    _allowed.clear()
    _may_be_here.clear()
    _in_several.clear()


def model_of(query: Any, entry: Any) -> type[models.Model] | None:
    """Return the model whose table an entry of ``query.alias_map`` names, if one has it."""
    field = getattr(entry, "join_field", None)
    meta = query.get_meta() if field is None else field.related_model._meta
    if meta is not None:
        for found in (meta.model, *meta.all_parents):
            if found._meta.db_table == entry.table_name:
                model: type[models.Model] = found
                return model
    for found in apps.get_models(include_auto_created=True):
        if found._meta.db_table == entry.table_name and not found._meta.proxy:
            return found
    return None
