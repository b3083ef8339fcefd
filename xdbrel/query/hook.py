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
from django.db.models import QuerySet
from django.db.models.sql import Query

from xdbrel.query import exclusion, places, raw, statistics
from xdbrel.query.compiler import spanning
from xdbrel.query.explain import explain_cross_db, max_shipped_rows
from xdbrel.query.state import STATE

_django_get_compiler = Query.get_compiler


def install() -> None:
    """Let queries span databases from now on."""
    Query.get_compiler = _get_compiler  # type: ignore[method-assign]
    QuerySet.explain_cross_db = explain_cross_db  # type: ignore[attr-defined]
    QuerySet.max_shipped_rows = max_shipped_rows  # type: ignore[attr-defined]
    raw.install()
    exclusion.install()
    setting_changed.connect(places.forget, dispatch_uid="xdbrel.query.places")
    setting_changed.connect(statistics.forget, dispatch_uid="xdbrel.query.statistics")


def _get_compiler(
    self: Any, using: str | None = None, connection: Any = None, elide_empty: bool = True
) -> Any:
    compiler = _django_get_compiler(self, using, connection, elide_empty)
    if places.several():
        state = compiler.connection.__dict__.get(STATE)
        in_parts = state is not None and state.active
        compiler.__class__ = spanning(compiler.__class__, in_parts=in_parts)
    return compiler
