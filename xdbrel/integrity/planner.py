"""Which strategy is right for a relation. The strategies themselves are in ``strategies``.

The choice goes by the keys' type, the source's index and what the databases estimate of
their tables: statistics, not counts, so that choosing takes a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Max, Min

from xdbrel.integrity.ends import KEY, End, ordered_alike
from xdbrel.integrity.exceptions import UnknownStrategy, UnsuitableStrategy
from xdbrel.integrity.strategies import STRATEGIES
from xdbrel.integrity.targets import THIN

#: With fewer rows than this on both sides every strategy is done at once.
SMALL = 100_000

# What a step takes, in microseconds, once measured on PostgreSQL; only how they compare
# counts. A row in the source's index; a target's bit, and a source's different key as one;
# a missing key probed; a target's and a source's key handed out and compared; a source's
# key looked up at the target.
ROW, BIT, OWN_BIT, PROBE, THERE, HELD, LOOK_UP = 0.07, 0.18, 0.12, 5.0, 0.3, 0.4, 2.0


@dataclass(frozen=True)
class Choice:
    """A strategy's name, and in one sentence why, with the figures that decided."""

    strategy: str
    reason: str


def choose(source: End, target: End) -> Choice:
    """Return the strategy for these ends, and why. Reads catalogs, and the target's extremes."""
    possible = {name for name in STRATEGIES if suits(name, source, target)}
    if not source.column.indexed:
        return Choice("push", f"no index leads to {_label(source)}, so it is read in few pages")
    if possible == {"push"}:
        return Choice("push", "the two databases do not put such keys in one order")
    rows, targets = source.column.rows, target.column.rows
    integers = "gaps" in possible
    usual = "gaps" if integers else "merge"
    kind = "integers" if integers else "in one order on both sides"
    if rows is None or targets is None:
        return Choice(usual, f"keys are {kind}; the tables' sizes are not known")
    if max(rows, targets) < SMALL:
        return Choice(usual, f"keys are {kind}, in small tables")
    distinct = min(rows, source.column.distinct or min(rows, targets))
    costs = {
        "merge": rows * ROW + distinct * HELD + targets * THERE,
        "push": rows * ROW + distinct * LOOK_UP,
    }
    density = ""
    if integers:
        span = _span(target)
        missing = max(0, span - targets)
        density = f" whose keys take {_share(targets, span)} of their range"
        if targets * THIN >= span:
            costs["gaps"] = targets * BIT + missing * PROBE
            costs["bitmap"] = targets * BIT + rows * ROW + distinct * OWN_BIT
    name = min(costs, key=lambda name: costs[name])
    return Choice(
        name,
        f"cheapest for about {rows:,} sources with {distinct:,} different keys and "
        f"{targets:,} targets{density}",
    )


def suits(name: str, source: End, target: End) -> bool:
    """Tell whether a strategy finds the orphans of these ends, however long it may take."""
    return _objection(name, source, target) is None


def validate(name: str, source: End, target: End) -> str:
    """Return ``name``, the user's own choice; ``UnknownStrategy`` and ``UnsuitableStrategy``."""
    if name not in STRATEGIES:
        raise UnknownStrategy(name, STRATEGIES)
    objection = _objection(name, source, target)
    if objection is not None:
        raise UnsuitableStrategy(
            source.relation.handle, name, objection, "Use 'push', or name none."
        )
    return name


def _objection(name: str, source: End, target: End) -> str | None:
    """Return what speaks against a strategy for these ends, as a part of a sentence."""
    if name == "push":
        return None
    if name in ("gaps", "bitmap"):
        for end in (target, source):
            if not end.is_integer:
                return f"needs integer keys, and {_described(end)} is not one"
    elif not ordered_alike(source, target):
        return (
            f"needs keys that both databases put in one order, which those of "
            f"{_label(source)} and {_label(target)} are not"
        )
    if not source.column.indexed:
        return f"needs an index on the key, and {_label(source)} has none"
    return None


def _label(end: End) -> str:
    return f"{end.model._meta.label}.{end.field.name}"


def _described(end: End) -> str:
    if end.is_declared_otherwise:
        return f"{_label(end)}, a column of type {end.column.type},"
    return _label(end)


def _span(target: End) -> int:
    """Return how many keys there are from the target's smallest to its largest."""
    rows = target.only_keys(target.rows())
    extremes = rows.aggregate(low=Min(KEY), high=Max(KEY))
    return 0 if extremes["low"] is None else int(extremes["high"] - extremes["low"] + 1)


def _share(targets: int, span: int) -> str:
    share = min(1.0, targets / span) if span else 0.0
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"
