"""The workloads that xdbrel is measured by, each beside its alternatives.

A workload is a module ``benchmarks.workload_<letter>`` with one function::

    def run(scale: float) -> list[dict]: ...

``scale`` 1.0 is the full size. The rows have these keys:

``workload``, ``name``
    the workload's letter; what was done and by which way
``seconds``
    the median of runs that took turns with the alternatives'; ``None`` for a way that fails
``rows``, ``statements``, ``peak_mb``
    rows read, statements executed, megabytes that the client held at most; ``None``
    where that was not measured
``ratio``, ``against``, ``goal``
    ``seconds`` over the seconds of the row named ``against``, and the most that this
    ratio may be; ``None`` for the alternatives themselves

``python -m benchmarks`` runs them and writes ``benchmarks/results.json``.
"""

from __future__ import annotations

import importlib
from typing import Any


def run(module: str, scale: float) -> list[dict[str, Any]]:
    """Run the workload in that module, in whatever process this is."""
    rows: list[dict[str, Any]] = importlib.import_module(module).run(scale)
    return rows
