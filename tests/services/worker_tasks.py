"""Tasks that a worker under test runs beside xdbrel's own (``--include``)."""

import os
import signal
from pathlib import Path

from celery import shared_task

from xdbrel.tasks import DURABLE


@shared_task(name="tests.outlive", **DURABLE)
def outlive(marker: str) -> str:
    """Wait to be killed the first time; the second time, say so.

    The first process leaves its id in ``marker``, whole or not at all.
    """
    path = Path(marker)
    if path.exists():
        return f"again in {os.getpid()}, after {path.read_text()}"
    draft = path.with_suffix(".draft")
    draft.write_text(str(os.getpid()))
    draft.rename(path)
    while True:
        signal.pause()
