"""Rows that are moved by processes that are killed again and again: the same rows, once each.

``python -m tests.faults.long_move --rows 1000000 --kills 20`` fills a table and one that hangs
on it, and moves both while the process is killed at random times. It exits with 1 if a row is
lost, wrong or there twice. ``--pair`` is sqlite,
postgres, or mariadb (from PostgreSQL to MariaDB); the servers are expected where
``tests/servers.py`` says.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from typing import Any

#: One stamp for so many parcels.
STAMPED = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pair", choices=["sqlite", "postgres", "mariadb"], default="postgres")
    parser.add_argument("--batch-size", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDBREL_FAULT_PAIR"] = options.pair
        os.environ["XDBREL_FAULT_FOLDER"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.faults.move_settings"
        import django

        django.setup()
        return Arena(options).run()


class Arena:
    """The two databases, and what should be in the second in the end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rng = random.Random(options.seed)

    def run(self) -> int:
        from benchmarks import measuring

        with measuring.databases("default", "other"):
            self.create()
            expected = self.state("default")
            began = time.monotonic()
            kills = self.kill_movers()
            seconds = time.monotonic() - began
            right = self.judge(expected)
        told = {
            "pair": self.options.pair,
            "rows": sum(number for number, _ in expected.values()),
            "killed": kills,
            "where": self.where,
            "seconds": round(seconds, 1),
            "seed": self.options.seed,
        }
        print(json.dumps(told), flush=True)
        print("nothing lost, none twice" if right else "WRONG")
        return 0 if right else 1

    def create(self) -> None:
        from django.core.management import call_command

        for alias in ("default", "other"):
            call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
        self.fill()

    def fill(self) -> None:
        import datetime
        from decimal import Decimal

        from tests.faults.parcels.models import Parcel, Stamp

        first = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
        # With gaps, as keys have them.
        for start in range(0, self.options.rows, 10_000):
            numbers = range(start + 1, min(start + 10_000, self.options.rows) + 1)
            Parcel.objects.bulk_create(
                Parcel(
                    pk=number * 3,
                    number=f"p{number}",
                    weight=Decimal(number % 10_000) / 8,
                    sent_at=first + datetime.timedelta(microseconds=number * 1_000_003),
                    data={"number": number, "half": number / 2},
                    fragile=(None, True, False)[number % 3],
                )
                for number in numbers
            )
            Stamp.objects.bulk_create(
                Stamp(pk=number, parcel_id=number * 3, value=number / 7)
                for number in numbers
                if number % STAMPED == 0
            )

    def move(self, steps: int | None) -> None:
        """Move the rows; die a moment after so many steps, wherever that happens to be."""
        import xdbrel
        from tests.faults.parcels.models import Parcel, Stamp

        done, began = 0, time.monotonic()

        def on_progress(progress: Any) -> None:
            nonlocal done
            done += 1
            if done == steps:
                usual = (time.monotonic() - began) / done
                threading.Timer(self.rng.uniform(0, 2 * usual), die).start()

        if steps == 0:
            threading.Timer(self.rng.uniform(0, 0.5), die).start()
        xdbrel.move(
            Parcel,
            to="other",
            along=[Stamp],
            batch_size=self.options.batch_size,
            on_progress=on_progress,
        )

    def kill_movers(self) -> int:
        """Kill one process after another that moves, until one has ended by itself."""
        kills = 0
        self.where: dict[str, int] = {}
        rows = self.options.rows * (1 + 1 / STAMPED)
        # Each is copied, read back and removed.
        steps = 3 * rows / self.options.batch_size
        while True:
            fuse = None
            if kills < self.options.kills:
                fuse = self.rng.randint(0, round(1.8 * steps / self.options.kills))
            pid = self.fork(lambda fuse=fuse: self.move(fuse))
            if self.ended(pid):
                return kills
            kills += 1
            status = self.status()
            self.where[status] = self.where.get(status, 0) + 1

    def status(self) -> str:
        from xdbrel.models import MoveRun

        run = MoveRun.objects.first()
        return "not begun" if run is None else run.status

    def judge(self, expected: dict[str, Any]) -> bool:
        from xdbrel.models import MoveBatch, MoveRun

        run = MoveRun.objects.get()
        found, left = self.state("other"), self.state("default")
        return (
            found == expected
            and all(number == 0 for number, _ in left.values())
            and run.status == MoveRun.Status.COMPLETE
            and run.removed == sum(number for number, _ in expected.values())
            and run.counts == {label: number for label, (number, _) in expected.items()}
            and not MoveBatch.objects.exists()
        )

    def state(self, alias: str) -> dict[str, tuple[int, int]]:
        """Return the number of rows of each table, and a sum over all of their values.

        By plain Python, so that it does not lean on what it judges.
        """
        from tests.faults.parcels.models import Parcel, Stamp

        found = {}
        for model in (Parcel, Stamp):
            names = sorted(field.attname for field in model._meta.concrete_fields)
            number = total = 0
            rows = model.objects.using(alias).order_by("pk").values_list(*names)
            for row in rows.iterator(10_000):
                number += 1
                total = (total * 31 + hash_of(row)) % 2**61
            found[model._meta.label] = (number, total)
        return found

    def fork(self, call: Any) -> int:
        from tests.faults.processes import fork

        sys.stdout.flush()
        return fork(call)

    def ended(self, pid: int) -> bool:
        """Wait for a process; tell whether it has ended by itself."""
        # Buried: its number is nobody's, and its move is free.
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert killed or status == 0, "a move failed"
        return not killed


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hash_of(row: tuple[Any, ...]) -> int:
    """Return a number for a row that is the same in every process."""
    import zlib

    return zlib.crc32(repr(row).encode())


if __name__ == "__main__":
    sys.exit(main())
