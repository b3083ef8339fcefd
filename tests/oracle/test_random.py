"""Random querysets over parted databases bring what they bring in one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.oracle.both import differences
from tests.oracle.rows import draw_rows
from tests.oracle.sizes import draw_sizes
from tests.oracle.writer import Writer
from tests.settings import LAYOUT

pytestmark = pytest.mark.django_db(databases="__all__")

EXAMPLES = int(os.environ.get("XDBREL_ORACLE_EXAMPLES", "300" if LAYOUT == "sqlite" else "120"))
SEED = os.environ.get("XDBREL_ORACLE_SEED", "")
#: How much of the examples goes to each kind, in percent.
KINDS = {
    "rows_query": 45,
    "asked_query": 20,
    "combined_query": 10,
    "changed_query": 25,
}


@dataclass(frozen=True)
class Drawn:
    """A queryset and what it is run on."""

    query: str
    ordered: bool
    rows: list[str]
    sizes: dict[str, int]
    everywhere: bool


@st.composite
def examples(draw: Callable[[Any], Any], kind: str, dangling: bool) -> Drawn:
    writer = Writer(draw, dangling)
    query, ordered = getattr(writer, kind)()
    sizes = draw_sizes(draw)
    rows = draw_rows(draw, writer.models, dangling)
    return Drawn(query, ordered, rows, sizes, draw(st.booleans()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dangling", [False, True], ids=["whole", "dangling"])
def test_a_queryset_brings_what_it_brings_in_one_database(kind, dangling):
    share = KINDS[kind] * (25 if dangling else 75) / 10_000

    @settings(
        max_examples=max(1, round(EXAMPLES * share)),
        derandomize=not SEED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(examples(kind, dangling))
    def holds(drawn):
        found = differences(
            drawn.rows,
            drawn.query,
            ordered=drawn.ordered,
            sizes=drawn.sizes,
            everywhere=drawn.everywhere,
        )
        if found:
            pytest.fail(found, pytrace=False)

    (seed(int(SEED))(holds) if SEED else holds)()
