"""Runs the workloads, shows what they measured and writes it down.

``python -m benchmarks [--scale X] [--only A,B]``. Which there are is said by the modules
``workload_<letter>``; what their rows mean by the package.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pkgutil
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import benchmarks

PREFIX = "workload_"
RESULTS = Path(__file__).with_name("results.json")
COLUMNS = ("name", "seconds", "rows", "statements", "MB", "ratio", "goal", "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return 1 where a workload failed, whatever was measured."""
    known = workloads()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is the full size")
    parser.add_argument("--only", default=",".join(known), help=f"letters, of {', '.join(known)}")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where to write the rows")
    options = parser.parse_args(arguments)
    letters = [letter.strip().upper() for letter in options.only.split(",") if letter.strip()]
    unknown = [letter for letter in letters if letter not in known]
    if unknown:
        parser.error(f"no workload {', '.join(unknown)}; there are {', '.join(known)}")
    if options.scale <= 0:
        parser.error("--scale must be more than 0")
    # A part of the workloads leaves the others' rows of an earlier run where they are.
    rows = [row for row in _written(options.output) if row["workload"] not in letters]
    failed = False
    for letter in letters:
        print(f"workload {letter}, scale {options.scale:g} …", file=sys.stderr)
        started = time.perf_counter()
        try:
            measured = _in_own_process(known[letter], options.scale)
        except Exception:
            failed = True
            print(f"workload {letter} failed:", file=sys.stderr)
            traceback.print_exc()
            continue
        print(f"\nWorkload {letter}, {time.perf_counter() - started:.0f} s\n")
        print(table(measured), flush=True)
        rows += measured
        rows.sort(key=lambda row: row["workload"])
        options.output.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


def workloads() -> dict[str, str]:
    """Return the workloads that there are: letter → module."""
    return {
        module.name.removeprefix(PREFIX).upper(): f"{benchmarks.__name__}.{module.name}"
        for module in sorted(pkgutil.iter_modules(benchmarks.__path__), key=lambda m: m.name)
        if module.name.startswith(PREFIX)
    }


def verdict(row: dict[str, Any]) -> str:
    """Return whether the row's goal was reached, or nothing where it has none."""
    if row["goal"] is None:
        return ""
    # A way that failed has no ratio.
    return "reached" if row["ratio"] is not None and row["ratio"] <= row["goal"] else "MISSED"


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the rows as a table for people, with what each ratio is of beneath it."""
    lines = [
        (
            row["name"],
            _figure(row["seconds"]),
            _figure(row["rows"]),
            _figure(row["statements"]),
            _figure(row["peak_mb"]),
            _figure(row["ratio"]),
            _figure(row["goal"]),
            verdict(row),
            row["against"],
        )
        for row in rows
    ]
    widths = [
        max(len(title), *(len(line[column]) for line in lines)) if lines else len(title)
        for column, title in enumerate(COLUMNS)
    ]
    out = [_line(COLUMNS, widths), "  ".join("-" * width for width in widths)]
    for *cells, against in lines:
        out.append(_line(cells, widths))
        if against:
            out.append(f"{'':4}of {against}")
    return "\n".join(out)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *figures = cells
    aligned = [name.ljust(widths[0])]
    aligned += [cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True)]
    return "  ".join(aligned).rstrip()


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _in_own_process(module: str, scale: float) -> list[dict[str, Any]]:
    """Run a workload where no other one's settings, memory or connections are."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(benchmarks.run, module, scale).result()


def _written(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


if __name__ == "__main__":
    sys.exit(main())
