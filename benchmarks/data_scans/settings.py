"""Django settings of the workload that measures workers at one scan."""

from benchmarks.data_a.settings import *  # noqa: F403
from benchmarks.data_a.settings import DATABASES

for _configured in DATABASES.values():
    _configured["NAME"] = _configured["NAME"].replace("bench_a", "bench_scans")
