"""What is few and what is many: figures by which the planner chooses its ways.

The rows that are drawn are few, so that every query would go the way of small tables. Here
the figures become small as well, some of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from hypothesis import strategies as st

from xdbrel.query import limits, shipment, statistics

#: By which few rows go the ways of many: walks, of a few rows a step and soon given up.
AS_IF_MANY = {
    "FEW": 0,
    "MANY": 0,
    "PAGE_KEYS": 0,
    "REDUCED": 3,
    "FIRST_STEP": 1,
    "STEP": 3,
    "FIRST": 2,
    "SLOW": 3,
    "PATIENCE": 4,
    "LONGEST": 8,
    "PLACES": 3,
    "LONGEST_TOP": 3,
}
#: What each figure may become instead of what it is; ``rows`` is what every table is said to
#: have.
SMALL: dict[str, tuple[int, ...]] = {
    **{name: (size, 1) for name, size in AS_IF_MANY.items()},
    "LISTED": (1,),
    "ROWS_OF_A_KEY": (0, 1_000_000),
    "DENSE": (0,),
    "ARRAY_ROWS": (1, 0),
    "SMALL": (0,),
    "rows": (1_000_000,),
}


def draw_sizes(draw: Callable[[Any], Any]) -> dict[str, int]:
    """Draw figures that differ from the usual ones; none is the simplest."""
    shape = draw(st.integers(0, 2))
    if shape == 0:
        return {}
    if shape == 1:
        return dict(AS_IF_MANY)
    found = draw(st.lists(st.sampled_from(sorted(SMALL)), unique=True, max_size=len(SMALL)))
    return {name: draw(st.sampled_from(SMALL[name])) for name in found}


@contextmanager
def in_force(sizes: Mapping[str, int]) -> Iterator[None]:
    """Let the planner go by these figures, and by nothing that it remembers."""
    statistics.forget()
    with ExitStack() as stack:
        for name, size in sizes.items():
            if name == "rows":
                told = mock.patch.object(statistics, "rows", lambda model, using, n=size: n)
                stack.enter_context(told)
            else:
                owner = limits if hasattr(limits, name) else shipment
                stack.enter_context(mock.patch.object(owner, name, size))
        yield
    statistics.forget()
