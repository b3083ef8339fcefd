"""The assertion that no source holds a key without a target.

The search is that of ``xdbrel.integrity``; no run and no finding is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xdbrel import relations
from xdbrel.caching import uncached
from xdbrel.cascade.relay import intent_aliases
from xdbrel.exceptions import SHOWN_KEYS
from xdbrel.integrity.reading import ends, targets
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning import planner
from xdbrel.integrity.scanning.strategies import STRATEGIES
from xdbrel.models import CascadeIntent
from xdbrel.relations import Relation
from xdbrel.testing.reach import may_use

_WAITING = (CascadeIntent.Status.PENDING, CascadeIntent.Status.SET_ASIDE)


def assert_no_orphans(*handles_or_fields: Any, exclude: Iterable[Any] = ()) -> None:
    """Fail if a source holds a key that no target has.

    Relations are named by their handles (``"blog.Post.author"``), their fields or their
    descriptors (``Post.author``). By default it is every relation whose two databases the
    test may use, without those in ``exclude``: of a ``DO_NOTHING``, say, that is meant to
    dangle. Reads committed rows and what the test's own transactions have written, past any
    cache; nothing is recorded. Raises ``UnknownRelation`` where there is none of that name.
    """
    if handles_or_fields:
        chosen = [_relation(one) for one in handles_or_fields]
    else:
        chosen = [
            relation
            for relation in relations.all_relations()
            if may_use(relation.source_home) and may_use(relation.target_home)
        ]
    left_out = {_relation(one).handle for one in exclude}
    lines = []
    for relation in chosen:
        if relation.handle not in left_out:
            found = _orphans(relation)
            if found:
                lines.append(f"  {_described(relation, found)}{_waiting(relation)}")
    if lines:
        raise AssertionError("\n".join(["There are orphans:", *lines]))


def _relation(given: Any) -> Relation:
    """Return the relation of a handle, a field, a descriptor, or the relation itself."""
    if isinstance(given, Relation):
        return given
    if isinstance(given, str):
        return relations.get(given)
    return relations.get(relations.handle_of(getattr(given, "field", given)))


def _orphans(relation: Relation) -> Mapping[Any, int]:
    """Return how many sources hold each key that no target has."""
    source, target = ends.of(relation)
    found: dict[Any, int] = {}
    with uncached():
        strategy = STRATEGIES[planner.choose(source, target).strategy]
        for batch in strategy(source, target, KeyRange()):
            found.update(batch.found)
        absent = targets.missing(target, list(found)) if found else []
    return {key: found[key] for key in absent}


def _described(relation: Relation, found: Mapping[Any, int]) -> str:
    shown = [
        f"key {key!r} ({sources} {'source' if sources == 1 else 'sources'})"
        for key, sources in list(found.items())[:SHOWN_KEYS]
    ]
    more = f" … ({len(found)} keys in all)" if len(found) > SHOWN_KEYS else ""
    return (
        f"{relation.handle} ({relation.source_home} → {relation.target_home}): "
        f"{', '.join(shown)}{more}"
    )


def _waiting(relation: Relation) -> str:
    """Return a word on intents of the relation that would remove its orphans."""
    with uncached():
        waiting = sum(
            CascadeIntent.objects.using(alias)
            .filter(relation=relation.handle, status__in=_WAITING)
            .count()
            for alias in intent_aliases()
            if may_use(alias)
        )
    if not waiting:
        return ""
    return f"; {waiting} {'intent waits' if waiting == 1 else 'intents wait'}, see drain()"
