"""Which strategy is right for a relation. The strategies themselves are in ``strategies``.

The choice goes by the keys' type, the source's index and what the databases estimate of
their tables: statistics, not counts, so that choosing takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.db.models import Max, Min

from xdbrel.integrity.exceptions import UnknownStrategy, UnsuitableStrategy
from xdbrel.integrity.reading.ends import KEY, End, ordered_alike
from xdbrel.integrity.reading.targets import THIN
from xdbrel.integrity.scanning.strategies import STRATEGIES

#: With fewer rows than this on both sides every strategy is done at once.
SMALL = 100_000

#: Where no statistics tell how many different keys there are, so many stretches of so many
#: rows of the index do.
STRETCHES, STRETCH = 10, 200


@dataclass(frozen=True)
class Costs:
    """What a step takes on a kind of database, in microseconds; only how they compare counts.

    At the source: ``row`` in its index, ``held`` a different key handed out, ``own_bit`` one
    as a bit, ``probe`` a missing key looked up. At the target: ``bit``, ``there`` a key as a
    bit and as a key handed out and compared, ``look_up`` a key looked up among many.
    """

    row: float
    held: float
    own_bit: float
    probe: float
    bit: float
    there: float
    look_up: float


# Measured side by side. SQLite has no way to go, and looks up as fast as it hands out;
# MariaDB's probes often wait for a page from the disk.
COSTS: Mapping[str, Costs] = MappingProxyType(
    {
        "postgresql": Costs(
            row=0.07, held=0.4, own_bit=0.12, probe=5.0, bit=0.18, there=0.3, look_up=2.0
        ),
        "mysql": Costs(
            row=0.12, held=0.4, own_bit=0.25, probe=25.0, bit=0.22, there=0.7, look_up=3.7
        ),
        "sqlite": Costs(
            row=0.012, held=0.4, own_bit=0.33, probe=1.0, bit=0.25, there=0.42, look_up=0.75
        ),
    }
)


#: What it takes the client to make an object of a key that is no integer, and to write it again.
CONVERTED = 1.5


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
    if source.is_composite and any(part.is_text for part in source.parts):
        return Choice("push", "keys hold texts, which no index has in one order on both sides")
    rows, targets = source.column.rows, target.column.rows
    integers = "gaps" in possible
    usual = "gaps" if integers else "merge"
    kind = "integers" if integers else "in one order on both sides"
    if rows is None or targets is None:
        return Choice(usual, f"keys are {kind}; the tables' sizes are not known")
    if max(rows, targets) < SMALL:
        return Choice(usual, f"keys are {kind}, in small tables")
    distinct = min(rows, source.column.distinct or _distinct(source, rows) or targets)
    from_source, from_target = _costs(source), _costs(target)
    read = rows * from_source.row
    look_up = from_target.look_up if integers else from_target.look_up + CONVERTED
    costs = {
        "merge": read + distinct * from_source.held + targets * from_target.there,
        "push": read + distinct * look_up,
    }
    density = ""
    if integers:
        span = _span(target)
        missing = max(0, span - targets)
        density = f" whose keys take {_share(targets, span)} of their range"
        if targets * THIN >= span:
            bits = targets * from_target.bit
            costs["gaps"] = bits + missing * from_source.probe
            costs["bitmap"] = bits + read + distinct * from_source.own_bit
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


def _costs(end: End) -> Costs:
    return COSTS.get(end.vendor, COSTS["postgresql"])


def _distinct(source: End, rows: int) -> int | None:
    """Return about how many different keys the sources hold, by some stretches of the index.

    For SQLite, which keeps no statistics unless it is told to; None where that is not known.
    """
    if source.vendor != "sqlite" or not source.is_integer:
        return None
    held = source.only_keys(source.rows())
    extremes = held.aggregate(low=Min(KEY), high=Max(KEY))
    if extremes["low"] is None:
        return None
    counted, different = 0, 0
    for number in range(STRETCHES):
        since = extremes["low"] + (extremes["high"] - extremes["low"]) * number // STRETCHES
        rest = source.only_keys(source.rows(source.between(since=since)))
        stretch = list(rest.order_by(KEY)[:STRETCH])
        counted += len(stretch)
        # The last key may have more rows.
        different += max(1, len(set(stretch)) - 1)
    return rows * different // counted


def _span(target: End) -> int:
    """Return how many keys there are from the target's smallest to its largest."""
    rows = target.only_keys(target.rows())
    extremes = rows.aggregate(low=Min(KEY), high=Max(KEY))
    return 0 if extremes["low"] is None else int(extremes["high"] - extremes["low"] + 1)


def _share(targets: int, span: int) -> str:
    share = min(1.0, targets / span) if span else 0.0
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"
