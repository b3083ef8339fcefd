"""Scans and repairs that are killed again and again: in the end all is as it would be.

``python -m tests.faults.long_scan --posts 10000000 --kills 10`` fills the databases of
workload A, scans them once in peace, then by each strategy while the process is killed at
random times, then by two workers that share the scan's ranges and are killed likewise. At last
what was found is repaired by processes that are killed (``killed_repairs``). It prints a line for
each, and exits with 1 if any finding is lost, wrong or there twice, or any row is.
``--pair`` is sqlite, postgres or mariadb (sources in MariaDB, targets in PostgreSQL); the servers
are expected where ``tests/servers.py`` says. ``--page`` makes steps small for few rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from typing import Any

STRATEGIES = ("gaps", "merge")
WORKERS = 2
LONGEST_SECONDS = 900.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=0, help="default: a tenth of the posts")
    parser.add_argument("--kills", type=int, default=10, help="of each way to scan")
    parser.add_argument("--pair", choices=["sqlite", "postgres", "mariadb"], default="postgres")
    parser.add_argument("--page", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDBREL_BENCH_A_PAIR"] = options.pair
        os.environ.setdefault("XDBREL_BENCH_A_DIR", folder)
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.faults.scan_settings"
        import django

        django.setup()
        return Arena(options).run()


class Arena:
    """The databases, and what a scan that nobody kills finds in them."""

    longest = LONGEST_SECONDS

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rng = random.Random(options.seed)
        self.wrong = 0

    def run(self) -> int:
        from django.core.management import call_command

        from benchmarks.data_a import databases
        from tests.faults import killed_repairs
        from xdbrel.integrity.reading import sources, targets
        from xdbrel.integrity.scanning import claims

        if self.options.page:
            sources.PAGE = self.options.page
            targets.WINDOW = self.options.page
            claims.POSITION_SECONDS = 0.0
            # Enough rows to repair for deaths on the way.
            databases.ORPHANS = 40
        posts = self.options.posts
        users = self.options.users or posts // 10
        databases.create(databases.Data("few gaps", users, posts))
        try:
            began = time.monotonic()
            self.in_a_process(lambda: self.scan(None))
            seconds = time.monotonic() - began
            self.expected = self.findings(self.runs().latest("pk"))
            print(f"{posts} rows in peace: {len(self.expected)} findings, {seconds:.1f} s")
            for strategy in STRATEGIES:
                self.forget()
                began = time.monotonic()
                self.in_a_process(lambda name=strategy: self.scan(name))
                self.kill_scans(strategy, time.monotonic() - began)
            self.kill_workers()
            call_command("migrate", "xdbrel", database="posts", verbosity=0)
            for policy in killed_repairs.POLICIES:
                killed_repairs.kill(self, policy)
                if policy == "quarantine":
                    killed_repairs.restore(self)
        finally:
            databases.drop()
        print(f"seed {self.options.seed}: {'WRONG' if self.wrong else 'nothing lost, none twice'}")
        return 1 if self.wrong else 0

    def kill_scans(self, strategy: str, seconds: float) -> None:
        """Kill one process after another that scans; whoever ends by itself is judged."""
        self.forget()
        kills = 0
        while True:
            pid = self.fork(lambda: self.scan(strategy))
            enough = kills >= self.options.kills
            wait = LONGEST_SECONDS if enough else self.rng.uniform(0, seconds)
            if self.dies(pid, wait):
                kills += 1
                continue
            self.judge(strategy, kills)
            if enough:
                return
            self.forget()

    def kill_workers(self) -> None:
        """Two processes share the ranges of one run, and are killed while they do."""
        from xdbrel.integrity import sharing
        from xdbrel.models import ScanRun

        self.forget()
        sent: list[int] = []

        def start() -> None:
            found = sharing.start(self.relation(), send=sent.append, mode="full", strategy="merge")
            assert found.status == "running"

        parts = sharing.number_of_ranges
        sharing.number_of_ranges = lambda *ends: 8
        began = time.monotonic()
        try:
            start()
        finally:
            sharing.number_of_ranges = parts
        run = self.runs().get()
        kills = 0
        workers: dict[int, float] = {}
        until = time.monotonic() + LONGEST_SECONDS
        while self.runs().get().status == ScanRun.Status.RUNNING and time.monotonic() < until:
            while len(workers) < WORKERS:
                life = self.rng.uniform(0, 2.0) if kills < self.options.kills else LONGEST_SECONDS
                pid = self.fork(lambda: sharing.take_part(run.pk))
                workers[pid] = time.monotonic() + life
            for pid, end in list(workers.items()):
                if time.monotonic() >= end:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    kills += 1
                    del workers[pid]
                elif os.waitpid(pid, os.WNOHANG)[0]:
                    del workers[pid]
            time.sleep(0.02)
        for pid in workers:
            os.waitpid(pid, 0)
        self.judge(f"{WORKERS} workers, {time.monotonic() - began:.1f} s", kills)

    def judge(self, how: str, kills: int) -> None:
        from xdbrel.models import ScanLease, ScanRun

        run = self.runs().latest("pk")
        found = self.findings(run)
        right = (
            found == self.expected
            and run.status == ScanRun.Status.COMPLETE
            and run.distinct_keys == len(found)
            and run.orphans == sum(sources for _, sources in found)
            and not ScanLease.objects.exists()
        )
        self.tell(how, {"killed": kills, "resumed": run.resumed, "findings": len(found)}, right)

    def tell(self, what: str, told: dict[str, int], right: bool) -> None:
        self.wrong += not right
        print(f"{what}: {json.dumps(told)} {'right' if right else 'WRONG'}", flush=True)

    def relation(self) -> Any:
        from xdbrel import relations

        return relations.get("data_a.Post.author")

    def scan(self, strategy: str | None) -> None:
        from xdbrel.integrity.scan import scan

        scan(self.relation(), strategy=strategy)

    def runs(self) -> Any:
        from xdbrel.models import ScanRun

        return ScanRun.objects.all()

    def findings(self, run: Any) -> list[tuple[Any, int]]:
        return sorted(run.findings.values_list("key", "sources"))

    def forget(self) -> None:
        from xdbrel.models import Orphan

        Orphan.objects.all().delete()
        self.runs().delete()

    def fork(self, call: Any) -> int:
        from tests.faults.processes import fork

        sys.stdout.flush()
        return fork(call)

    def dies(self, pid: int, seconds: float) -> bool:
        """Wait so long for a process to end, then kill it; tell whether it was killed."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                assert status == 0, "a scan failed"
                return False
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        # Buried: its number is nobody's, and its lease is free.
        os.waitpid(pid, 0)
        return True

    def in_a_process(self, call: Any) -> None:
        assert not self.dies(self.fork(call), LONGEST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
