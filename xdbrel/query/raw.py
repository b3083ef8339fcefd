"""Raw SQL that names tables of another database: an error that says so.

``Manager.raw()`` runs the user's own statement, which nobody can take apart, so that it reaches
one database. Where it names a table of another one the database can only answer that there is
no such table, as if a migration were missing. Django has no hook where raw queries are executed,
so this module, and no other, replaces ``RawQuery._execute_query()``: the statement runs as ever,
and only after the database has refused it is looked at.
"""

from __future__ import annotations

import re
from typing import Any

from django.apps import apps
from django.db import NotSupportedError, OperationalError, ProgrammingError, models
from django.db.models.sql import DeleteQuery, InsertQuery, RawQuery, UpdateQuery

from xdbrel.conf import settings
from xdbrel.query import places

#: What PostgreSQL and MariaDB answer; the last one where other tables may not even be seen.
_NO_SUCH_TABLE = frozenset({"42P01", 1146, 1142})

_WRITES = (DeleteQuery, InsertQuery, UpdateQuery)

_django_execute_query = RawQuery._execute_query  # type: ignore[attr-defined]


def install() -> None:
    """Let raw queries say which of their tables live elsewhere from now on."""
    RawQuery._execute_query = _execute_query  # type: ignore[attr-defined]


def _execute_query(self: Any) -> None:
    """Run the statement.

    Raises ``NotSupportedError`` where the database misses a table that lives in another one.
    """
    try:
        _django_execute_query(self)
    except (OperationalError, ProgrammingError) as error:
        if not missing(error, self.using):
            raise
        named = elsewhere(self.sql, self.using)
        raise NotSupportedError(_message(self.using, named)) from error


def missing(error: Exception, using: str) -> dict[type[models.Model], str]:
    """Return the models whose tables ``using`` misses, by its own account, and their homes."""
    if not settings.SPANNING_QUERIES or not places.several() or not _misses_table(error):
        return {}
    # PostgreSQL quotes the statement in the lines that follow.
    said, *_ = str(error).splitlines()
    return elsewhere(said, using)


def refuse(error: Exception, query: Any, using: str) -> None:
    """Raise ``NotSupportedError`` where the table that is missing was asked for by hand.

    In raw SQL of ``query``, or as that of a write to a database that does not hold it: a read
    goes where the rows are, but what was to be written here is not put elsewhere unasked.
    """
    joined = {entry.table_name for entry in query.alias_map.values()}
    for model, home in missing(error, using).items():
        if isinstance(query, _WRITES) and model._meta.db_table == query.get_meta().db_table:
            raise NotSupportedError(
                f"{model._meta.label} lives in database {home!r}, and database {using!r}, which "
                f"was named for a write, has no table {model._meta.db_table}. Nothing was "
                f"written. Leave out using(), save() and delete() know the home; or name "
                f"{home!r}."
            ) from error
        if model._meta.db_table not in joined | {query.get_meta().db_table}:
            raise NotSupportedError(
                f"Raw SQL in a query on database {using!r} names {model._meta.db_table} "
                f"({model._meta.label}, which lives in {home!r}): what is written by hand is not "
                f"brought here. Ask for it in filter() or annotate(), or by Subquery() or "
                f"Exists(), instead."
            ) from error


def elsewhere(sql: str, using: str) -> dict[type[models.Model], str]:
    """Return the models whose tables ``sql`` names and that ``using`` does not have.

    The values are their homes.
    """
    found = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy or not _mentions(sql, model._meta.db_table):
            continue
        home = places.elsewhere(model, using)
        if home is not None:
            found[model] = home
    return found


def _misses_table(error: Exception) -> bool:
    """Tell other mistakes in a statement, which are the database's to explain."""
    code = getattr(error.__cause__, "sqlstate", None) or error.args[0]
    return code in _NO_SUCH_TABLE or "no such table" in str(error)


def _mentions(text: str, table: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(table)}(?!\w)", text, re.IGNORECASE) is not None


def _message(using: str, named: dict[type[models.Model], str]) -> str:
    tables = ", ".join(
        f"{model._meta.db_table} ({model._meta.label}, which lives in {home!r})"
        for model, home in named.items()
    )
    homes = " or ".join(f"using({home!r})" for home in sorted(set(named.values())))
    return (
        f"raw() on database {using!r} names {tables}: raw SQL reaches one database and cannot be "
        f"taken apart. Name the relation in filter() or annotate() instead, which reach all of "
        f"them; or read what is there with raw() and {homes}."
    )
