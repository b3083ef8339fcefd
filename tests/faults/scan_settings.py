"""Settings of the scans that are killed: the data of workload A, in databases of their own."""

import os

from benchmarks.data_a.settings import *  # noqa: F403
from benchmarks.data_a.settings import DATABASES, XDBREL

for _configured in DATABASES.values():
    if not _configured["ENGINE"].endswith("sqlite3"):
        _configured["NAME"] += f"_faults{os.environ.get('XDBREL_DB_SUFFIX', '')}"

XDBREL = {
    **XDBREL,
    # Being killed is no fault of a range's, and counts as an attempt.
    "MAX_ATTEMPTS": 1_000,
    # Nobody waits for a second look, nor for long until a dead one's repair is free.
    "CONFIRM_AFTER": 0,
    "CLAIM_SECONDS": 0.5,
    "SCAN_KEYS_PER_SECOND": float(os.environ.get("XDBREL_FAULT_SPEED", "0")),
}
