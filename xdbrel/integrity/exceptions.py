"""The errors of scanning and repairing, each a child of ``XdbrelError``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from xdbrel.exceptions import XdbrelError


class UnknownStrategy(XdbrelError, LookupError):
    """There is no strategy of that name. Attributes: ``name``, ``known``."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(_unknown("scan strategy", name, self.known))


class UnknownPolicy(XdbrelError, LookupError):
    """There is no repair policy of that name. Attributes: ``name``, ``known``."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(_unknown("repair policy", name, self.known))


class UnsuitableStrategy(XdbrelError, ValueError):
    """The strategy does not work for keys of this type. Attributes: ``relation``, ``name``."""

    def __init__(self, relation: str, name: str, reason: str, remedy: str) -> None:
        self.relation = relation
        self.name = name
        super().__init__(f"{relation}: strategy {name!r} {reason}. {remedy}")


class NoScan(XdbrelError, LookupError):
    """A relation has no complete scan whose findings could be repaired.

    Attribute: ``relation`` (handle).
    """

    def __init__(self, relation: str, using: str) -> None:
        self.relation = relation
        super().__init__(
            f"{relation} has no complete scan in database {using!r}, so there are no findings "
            f'to repair. Run "manage.py xdbrel_scan {relation}" first.'
        )


class CannotRepair(XdbrelError, ValueError):
    """The policy is not possible for this relation; nothing was written.

    Attributes: ``relation`` (handle), ``policy``.
    """

    def __init__(self, relation: str, policy: str, reason: str, remedy: str) -> None:
        self.relation = relation
        self.policy = policy
        super().__init__(
            f"{relation}: policy {policy!r} is not possible, since {reason}; nothing was "
            f"written. {remedy}"
        )


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"There is no {kind} {name!r}.{hint} Known are {', '.join(known)}."
