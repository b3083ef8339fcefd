"""The ways to find keys without a target, a module each, and their registry.

A strategy yields ``Batch`` after ``Batch``, in bounded memory, in the order of the
source's keys. Every orphaned key is in exactly one batch; what a batch holds are
candidates, since source and target were not read at one moment. Looking again and
recording is for who runs it; which strategy is right for a relation is for ``planner``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from xdbrel.integrity.scanning.strategies.batch import Batch, Strategy
from xdbrel.integrity.scanning.strategies.bitmap import bitmap as _bitmap
from xdbrel.integrity.scanning.strategies.gaps import gaps as _gaps
from xdbrel.integrity.scanning.strategies.merge import merge as _merge
from xdbrel.integrity.scanning.strategies.push import push as _push

__all__ = ["STRATEGIES", "Batch", "Strategy"]

#: The strategies by the names that commands and runs give them.
STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {"gaps": _gaps, "bitmap": _bitmap, "merge": _merge, "push": _push}
)
