"""Which joins along a relation over several columns may be left out.

Django leaves a join out where the column that is asked for is the source's own: of
``flight.weather`` the place is ``flight.origin``. That is true of the whole key alone. Where
another of the source's columns is NULL the row is related to nothing, and so has no place. No
hook stands between, so this module, and no other, replaces the method that leaves joins out; of
xdbrel's own relations it keeps those that tell whether there is a key, and leaves everybody
else's as they are.
"""

from __future__ import annotations

from typing import Any

from django.db.models.sql import Query

from xdbrel.relations import is_composite

_django_trim_joins = Query.trim_joins


def install() -> None:
    """Let a column of a key that may be partly NULL be asked of the target from now on."""
    Query.trim_joins = _trim_joins  # type: ignore[method-assign]


def _trim_joins(
    self: Any, targets: tuple[Any, ...], joins: list[str], path: list[Any]
) -> tuple[tuple[Any, ...], str, list[str]]:
    wanted = {target.column for target in targets}
    for place in reversed(range(len(path))):
        info = path[place]
        if not info.direct:
            break
        pairs = {target.column: source for source, target in info.join_field.related_fields}
        if not wanted <= pairs.keys():
            break
        if _tells_of_a_key(info.join_field, pairs, wanted):
            # What does not lead directly is never left out.
            path = [*path[:place], info._replace(direct=False), *path[place + 1 :]]
            break
        wanted = {pairs[name].column for name in wanted}
    return _django_trim_joins(self, targets, joins, path)


def _tells_of_a_key(field: Any, pairs: dict[str, Any], wanted: set[str]) -> bool:
    """Tell whether a column that may be NULL is not among those ``wanted`` of the target's."""
    return (
        is_composite(field)
        and getattr(field, "crosses_databases", False)
        and any(source.null for name, source in pairs.items() if name not in wanted)
    )
