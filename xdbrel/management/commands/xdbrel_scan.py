"""``manage.py xdbrel_scan``: find the orphans of relations.

The work is that of ``integrity.scan``, ``integrity.confirm`` and ``integrity.sample``.
"""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError, CommandParser

from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity.confirm import ConfirmResult, confirm
from xdbrel.integrity.exceptions import (
    BeingScanned,
    CannotSample,
    NoScan,
    ScanIncomplete,
    ScanTakenOver,
    UnknownStrategy,
    UnsuitableStrategy,
)
from xdbrel.integrity.reading import ends
from xdbrel.integrity.sample import Estimate, sample
from xdbrel.integrity.scan import AUTO, Mode, Progress, ScanResult, scan
from xdbrel.integrity.scanning.findings import latest
from xdbrel.integrity.scanning.strategies import STRATEGIES
from xdbrel.integrity.scanning.throttle import Throttle
from xdbrel.integrity.undeclared import undeclared
from xdbrel.management.base import JudgingCommand, add_format, write
from xdbrel.relations import Relation, all_relations, get

#: What a shell says of a process that SIGTERM ended.
TERMINATED = 128 + signal.SIGTERM


class Command(JudgingCommand):
    help = (
        "Find source rows whose key has no target row. A scan that was cut short is gone on "
        "with. Exits with 1 where there are any orphans."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "relations",
            nargs="*",
            metavar="RELATION",
            help="app_label.Model.field; all relations where none is named.",
        )
        add_format(parser)
        parser.add_argument(
            "--strategy",
            metavar="NAME",
            help=f"{' or '.join(sorted(STRATEGIES))}; the planner chooses where none is named.",
        )
        mode = parser.add_mutually_exclusive_group()
        mode.add_argument(
            "--full",
            dest="mode",
            action="store_const",
            const=Mode.FULL.value,
            default=Mode.FULL.value,
            help="Scan all of it; this is the default.",
        )
        mode.add_argument(
            "--incremental",
            dest="mode",
            action="store_const",
            const=Mode.INCREMENTAL.value,
            help="Look only at what has changed since the last scan, where that is known.",
        )
        mode.add_argument(
            "--auto",
            dest="mode",
            action="store_const",
            const=AUTO,
            help="Incremental, and full where the last full scan is too old "
            '(XDBREL["FULL_SCAN_INTERVAL_SECONDS"]).',
        )
        mode.add_argument(
            "--sample",
            type=positive,
            metavar="N",
            help="Estimate the share of orphans from N random rows, and record no findings.",
        )
        mode.add_argument(
            "--confirm",
            action="store_true",
            help="Scan nothing; look a second time at what the latest scans have found, where "
            'that is due (XDBREL["CONFIRM_AFTER"]).',
        )
        parser.add_argument(
            "--fresh",
            action="store_true",
            help="Begin anew, where a scan was cut short.",
        )
        parser.add_argument(
            "--max-load",
            type=share,
            metavar="SHARE",
            help="Work for at most this share of the time, as 0.25. Default: "
            'XDBREL["SCAN_MAX_LOAD"].',
        )
        parser.add_argument(
            "--keys-per-second",
            type=positive,
            metavar="N",
            help='Look at no more keys in a second. Default: XDBREL["SCAN_KEYS_PER_SECOND"].',
        )

    def run_from_argv(self, argv: list[str]) -> None:
        with terminated_in_order():
            super().run_from_argv(argv)

    def handle(
        self,
        *args: Any,
        relations: Sequence[str] = (),
        format: str = "text",
        strategy: str | None = None,
        mode: str = Mode.FULL.value,
        sample: int | None = None,
        confirm: bool = False,
        fresh: bool = False,
        max_load: float | None = None,
        keys_per_second: float | None = None,
        **options: Any,
    ) -> None:
        try:
            chosen = [get(handle) for handle in relations]
            chosen = chosen or [*all_relations(), *undeclared()]
            if sample is not None:
                self._sample(chosen, sample, format)
                return
            if confirm:
                self._confirm(chosen, format, named=bool(relations))
                return
            show = self._show if self.stderr.isatty() else None
            results = []
            for relation in chosen:
                throttle = Throttle.from_settings(
                    *ends.of(relation), max_load=max_load, keys_per_second=keys_per_second
                )
                results.append(
                    scan(
                        relation,
                        on_progress=show,
                        strategy=strategy,
                        mode=mode,
                        fresh=fresh,
                        throttle=throttle,
                    )
                )
                if show is not None:
                    self.stderr.write("")
        except (
            UnknownRelation,
            UnknownStrategy,
            UnsuitableStrategy,
            BeingScanned,
            CannotSample,
            NoScan,
        ) as error:
            raise CommandError(str(error), returncode=2) from error
        except (ScanIncomplete, ScanTakenOver) as error:
            raise CommandError(str(error), returncode=3) from error
        self.amiss = any(result.orphans for result in results)
        self._write(format, results, table(results))

    def _sample(self, chosen: Sequence[Relation], size: int, format: str) -> None:
        results = [sample(relation, size) for relation in chosen]
        self.amiss = any(result.orphaned for result in results)
        self._write(format, results, estimated(results))

    def _confirm(self, chosen: Sequence[Relation], format: str, *, named: bool) -> None:
        results = []
        for relation in chosen:
            try:
                run = latest(relation.handle)
            except NoScan:
                if named:
                    raise
                continue
            results.append(confirm(run))
        self.amiss = any(result.orphans for result in results)
        self._write(format, results, confirmed(results))

    def _write(self, format: str, results: Sequence[Any], text: str) -> None:
        write(self, [result.as_dict() for result in results], text, format)

    def _show(self, progress: Progress) -> None:
        self.stderr.write(
            f"\r{progress.relation}: {progress.seen:,} keys looked at, "
            f"{progress.distinct_keys:,} orphaned",
            style_func=str,
            ending="",
        )
        self.stderr.flush()


def table(results: Sequence[ScanResult]) -> str:
    """Return the results in aligned columns, one line each and one for the whole."""
    lines = [("RELATION", "SOURCES IN", "TARGETS IN", "STRATEGY", "ORPHANS", "KEYS", "SECONDS")]
    lines += [
        (
            result.relation,
            result.source_alias,
            result.target_alias,
            result.strategy,
            f"{result.orphans:,}",
            f"{result.distinct_keys:,}",
            f"{result.seconds:.3f}",
        )
        for result in results
    ]
    text = aligned(lines, texts=4)
    orphans = sum(result.orphans for result in results)
    relations = sum(1 for result in results if result.orphans)
    text.append(
        f"{orphans:,} orphans in {relations} of {len(results)} relations"
        if orphans
        else f"No orphans in {len(results)} relations"
    )
    text += [
        f"{result.relation}: other processes are still scanning (run {result.run_id})"
        for result in results
        if result.status != "complete"
    ]
    return "\n".join(text)


def estimated(results: Sequence[Estimate]) -> str:
    """Return the estimates in aligned columns, one line each."""
    lines = [("RELATION", "SOURCES IN", "TARGETS IN", "SAMPLED", "ORPHANED", "SHARE", "BOUNDS")]
    lines += [
        (
            result.relation,
            result.source_alias,
            result.target_alias,
            f"{result.sampled:,}",
            f"{result.orphaned:,}",
            f"{result.share:.3%}",
            f"{result.low:.3%} to {result.high:.3%}",
        )
        for result in results
    ]
    return "\n".join(aligned(lines, texts=3))


def confirmed(results: Sequence[ConfirmResult]) -> str:
    """Return what second looks have found, a line each."""
    return "\n".join(
        f"{result.relation}: run {result.run} is not confirmed: {result.waits_for}"
        if not result.confirmed
        else f"{result.relation}: run {result.run} is confirmed, {result.orphans:,} orphans with "
        f"{result.distinct_keys:,} keys; {result.healed:,} keys had healed"
        for result in results
    )


def aligned(lines: Sequence[Sequence[str]], *, texts: int) -> list[str]:
    """Return lines in columns, the first ``texts`` of them aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if position < texts else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """Let SIGTERM end the block as an exception does: what is held is given back."""

    def end(number: int, frame: Any) -> None:
        sys.exit(TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:
        # Not the main thread, which alone may ask for signals.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def positive(given: str) -> int:
    """Return a whole number of 1 or more."""
    if not given.isdecimal() or int(given) < 1:
        raise ArgumentTypeError(f"not a whole number of 1 or more: {given!r}")
    return int(given)


def share(given: str) -> float:
    """Return a share of the time, above 0 and up to 1."""
    try:
        number = float(given)
    except ValueError:
        number = 0.0
    if not 0.001 <= number <= 1:
        raise ArgumentTypeError(f"not a number from 0.001 to 1: {given!r}")
    return number
