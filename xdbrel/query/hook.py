"""Where queries get the compilers that know of other databases.

Django has one place by which the compiler of every query comes, ``Query.get_compiler()``,
and no setting or registry that leads there: a database backend might, but users have theirs.
So this module, and no other, replaces that method. In a project with one database it adds a
look at a flag; elsewhere the compiler is of a subclass (``query.compiler``), which runs what
stays within one database as Django does.
"""

from __future__ import annotations

from typing import Any

from django.core.signals import setting_changed
from django.db import connections
from django.db.models import QuerySet
from django.db.models.sql import Query

from xdbrel.query import answers, exclusion, places, raw, statistics, trimming
from xdbrel.query.compiler import spanning
from xdbrel.query.explain import explain_cross_db, max_shipped_rows
from xdbrel.query.state import STATE

_django_get_compiler = Query.get_compiler
#: Somebody else's may do more, and is called.
_IS_DJANGOS = _django_get_compiler.__module__ == Query.__module__


def install() -> None:
    """Let queries span databases from now on."""
    Query.get_compiler = _get_compiler  # type: ignore[method-assign]
    QuerySet.explain_cross_db = explain_cross_db  # type: ignore[attr-defined]
    QuerySet.max_shipped_rows = max_shipped_rows  # type: ignore[attr-defined]
    answers.install()
    raw.install()
    exclusion.install()
    trimming.install()
    setting_changed.connect(places.forget, dispatch_uid="xdbrel.query.places")
    setting_changed.connect(statistics.forget, dispatch_uid="xdbrel.query.statistics")


def _get_compiler(
    self: Any, using: str | None = None, connection: Any = None, elide_empty: bool = True
) -> Any:
    if not (_IS_DJANGOS and places.several() and (using or connection)):
        compiler = _django_get_compiler(self, using, connection, elide_empty)
        if places.several():
            compiler.__class__ = _class_for(compiler.__class__, compiler.connection)
        return compiler
    # What Django's does. To change the class of an object that is there makes all that is asked
    # of it slower, by more than everything else that is added to a query of one table.
    if using:
        connection = connections[using]
    made = _class_for(connection.ops.compiler(self.compiler), connection)
    return made(self, connection, using, elide_empty)


def _class_for(compiler: type[Any], connection: Any) -> type[Any]:
    state = connection.__dict__.get(STATE)
    return spanning(compiler, "watched" if state is None else state.kind)
