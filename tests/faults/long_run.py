"""The kills of ``test_kills`` for longer, by default with the sample project's models.

``python -m tests.faults.long_run --kills 2000`` prints a line for each layout and run, and
each row that is wrong; it exits with 1 if any is. Of the kills, a quarter fall on relays at
a backlog, the others on deleters while rows are written; relays are killed beside those,
uncounted. The servers are expected where ``tests/servers.py`` says.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter

LAYOUTS = ("mixed", "mixed_reverse", "postgres", "mariadb", "sqlite")
ARENA = [sys.executable, "-m", "tests.faults.arena", "--run"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=2000, help="over all layouts")
    parser.add_argument("--layout", nargs="+", choices=LAYOUTS, default=["mixed", "mixed_reverse"])
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--models", choices=["sample", "tests", "kinds"], default="sample")
    options = parser.parse_args()
    module = {
        "sample": "sample_settings",
        "tests": "settings",
        "kinds": "kinds_settings",
    }[options.models]
    each = -(-options.kills // len(options.layout))
    status = 0
    total: Counter[str] = Counter()
    for layout in options.layout:
        for run, kills in (("deletes", each - each // 4), ("relays", each // 4)):
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run(
                    [*ARENA, run, "--kills", str(kills), "--seed", str(options.seed)],
                    env={
                        **os.environ,
                        "XDBREL_LAYOUT": layout,
                        "DJANGO_SETTINGS_MODULE": f"tests.faults.{module}",
                        "XDBREL_FAULT_FOLDER": folder,
                    },
                    stdout=subprocess.PIPE,
                    text=True,
                )
            if not done.stdout:
                print(f"{layout} {run}: no report, exit status {done.returncode}")
                status = 1
                continue
            report = json.loads(done.stdout)
            wrong = report.pop("wrong")
            for role, places in report["killed"].items():
                total[role] += sum(places.values())
            print(f"{layout}: {json.dumps(report)}, wrong: {len(wrong)}", flush=True)
            for line in wrong:
                print(f"  {line}")
                status = 1
    print(f"killed: {dict(total)}, seed {options.seed}: {'WRONG' if status else 'nothing lost'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
