"""What is asked for: lookups, and the branches that they have at one step.

Owns the meaning of names, paths and ``Prefetch`` objects, in the order in which
Django's ``prefetch_related()`` takes them. What a branch is on a model, and how it is
fetched, is for ``steps``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models.constants import LOOKUP_SEP
from django.db.models.query import Prefetch


@dataclass(frozen=True, slots=True)
class Wanted:
    """One lookup. ``automatic`` ones come from a queryset's own ``prefetch_related()``."""

    lookup: Prefetch[Any]
    through: tuple[str, ...]
    to: tuple[str, ...]
    automatic: bool = False


@dataclass(slots=True)
class Branch:
    """An attribute to follow from the objects of one step, for all lookups that follow it.

    ``through`` is the attribute and ``to`` the one that holds the result: the same, or
    the ``to_attr`` of a ``Prefetch``.
    """

    through: str
    to: str
    path: str
    automatic: bool
    #: The lookup that mentions the branch first, for messages.
    lookup: Prefetch[Any]
    #: The lookup that ends here, where one does: then it must be possible to prefetch.
    asked: Prefetch[Any] | None = None
    querysets: Sequence[Any] | None = None
    rest: list[Wanted] = field(default_factory=list)

    @property
    def as_attr(self) -> bool:
        """Whether the result goes into a plain attribute."""
        return self.asked is not None and bool(self.asked.to_attr)

    @property
    def given(self) -> str:
        """The lookup as it was given, for messages."""
        return str((self.asked or self.lookup).prefetch_through)

    def alone(self) -> Prefetch[Any]:
        """Return this one step as a lookup of its own."""
        if self.asked is None:
            return Prefetch(self.through)
        lookup = copy.copy(self.asked)
        lookup.prefetch_through = self.through
        lookup.prefetch_to = self.to
        return lookup


def normalized(
    lookups: Iterable[str | Prefetch[Any]], *, below: str = "", automatic: bool = False
) -> tuple[Wanted, ...]:
    """Return what ``lookups`` ask for, each as seen from the outermost objects.

    ``below`` is the path to the objects that they start from.
    """
    wanted = []
    for given in lookups:
        if isinstance(given, Prefetch):
            # The project may use its object again.
            lookup = copy.copy(given)
        elif isinstance(given, str):
            lookup = Prefetch(given)
        else:
            raise TypeError(
                f"The lookups of prefetch_cross_db() are names and Prefetch objects, "
                f"not {given!r}."
            )
        if below:
            lookup.add_prefix(below)
        wanted.append(
            Wanted(
                lookup,
                tuple(lookup.prefetch_through.split(LOOKUP_SEP)),
                tuple(lookup.prefetch_to.split(LOOKUP_SEP)),
                automatic,
            )
        )
    return tuple(wanted)


def branches(wanted: Iterable[Wanted], depth: int) -> list[Branch]:
    """Return the branches at ``depth``, in the order in which they are first mentioned.

    Raises ``ValueError`` where a queryset is given for what is fetched already.
    """
    found: dict[str, Branch] = {}
    for one in wanted:
        last = depth == len(one.through) - 1
        to = one.to[depth]
        branch = found.get(to)
        if branch is None:
            path = LOOKUP_SEP.join(one.to[: depth + 1])
            branch = Branch(one.through[depth], to, path, one.automatic, one.lookup)
            found[to] = branch
            if last:
                branch.querysets = one.lookup.get_current_querysets(depth)
        elif last and one.lookup.queryset is not None:
            raise ValueError(
                f"'{one.lookup.prefetch_to}' lookup was already seen with a different "
                f"queryset. You may need to adjust the ordering of your lookups."
            )
        if not last:
            branch.rest.append(one)
        elif branch.asked is None:
            branch.asked = one.lookup
        branch.automatic = branch.automatic and one.automatic
    return list(found.values())
