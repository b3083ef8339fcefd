"""From instances along all lookups, one depth after the other.

Owns the order. Going by depth, instead of lookup by lookup as Django does, brings
together the steps that can share a statement.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from xdbrel.prefetch.lookups import Wanted, branches, normalized
from xdbrel.prefetch.reading import Options
from xdbrel.prefetch.steps import Step, fetch, step_of


@dataclass(slots=True)
class _Reached:
    """Objects at one depth, what is wanted from there, and how automatic steps led there."""

    objects: Sequence[Any]
    wanted: Sequence[Wanted]
    followed: frozenset[Any] = frozenset()


def walk(instances: Sequence[Any], wanted: Sequence[Wanted], options: Options) -> None:
    """Fetch, from ``instances``, everything that is ``wanted``."""
    depth = 0
    reached = [_Reached(instances, wanted)] if wanted else []
    while reached:
        steps: list[tuple[Step, frozenset[Any]]] = []
        for place in reached:
            if place.objects:
                steps.extend(_steps(place, depth))
        sharing: dict[Hashable, list[Step]] = {}
        for step, _ in steps:
            sharing.setdefault(step.share(), []).append(step)
        for alike in sharing.values():
            fetch(alike, options)
        depth += 1
        reached = []
        for step, followed in steps:
            brought = normalized(step.brought, below=step.branch.path, automatic=True)
            # Django takes what a queryset brings along before what comes later.
            further = [*brought, *step.branch.rest]
            if further:
                reached.append(_Reached(step.reached(), further, followed))


def _steps(place: _Reached, depth: int) -> Iterable[tuple[Step, frozenset[Any]]]:
    for branch in branches(place.wanted, depth):
        for objects in _by_class(place.objects):
            step = step_of(objects, branch)
            if not branch.automatic:
                yield step, frozenset()
            # Two managers that prefetch each other's model would go on for ever.
            elif step.descriptor not in place.followed:
                yield step, place.followed | {step.descriptor}


def _by_class(objects: Sequence[Any]) -> list[list[Any]]:
    if len(set(map(type, objects))) == 1:
        return [list(objects)]
    of_class: dict[type[Any], list[Any]] = {}
    for obj in objects:
        of_class.setdefault(obj.__class__, []).append(obj)
    return list(of_class.values())
