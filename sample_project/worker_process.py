"""A Celery worker in a process of its own, for as long as a block runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from celery.result import AsyncResult

ROOT = Path(__file__).resolve().parent.parent

#: Seconds that a worker has to finish what it is at.
STOPPING = 20
POLL = 0.2


class WorkerEnded(RuntimeError):
    """The worker was not there, or not in time, to do its tasks."""


class Worker:
    """A worker's process and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def results(self, tasks: Iterable[AsyncResult], *, seconds: float) -> list[Any]:
        """Return what ``tasks`` returned, in their order.

        Raises what a task raised, and ``WorkerEnded``, with the end of the log, if the
        worker ends first or takes longer than ``seconds``.
        """
        until = time.monotonic() + seconds
        waiting = list(tasks)
        while not all(task.ready() for task in waiting):
            if self.process.poll() is not None:
                raise self.ended(f"ended with status {self.process.returncode}")
            if time.monotonic() > until:
                raise self.ended(f"did not finish in {seconds} seconds")
            time.sleep(POLL)
        return [task.get() for task in waiting]

    def ended(self, what: str) -> WorkerEnded:
        lines = self.log.read_text(errors="replace").splitlines()
        return WorkerEnded("\n".join([f"The worker {what}. The end of {self.log}:", *lines[-30:]]))

    def stop(self) -> None:
        """Let the worker finish what it is at; end it, and its children, if it does not."""
        self.process.terminate()
        try:
            self.process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the worker and its children at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running_worker(
    log: Path, *arguments: str, concurrency: int = 2, env: Mapping[str, str] | None = None
) -> Iterator[Worker]:
    """Run ``celery -A worker worker`` until the block ends; its output goes to ``log``."""
    command = [
        *(sys.executable, "-m", "celery", "--app", "worker", "worker"),
        *(f"--concurrency={concurrency}", "--loglevel=INFO", "--without-gossip"),
        *("--without-mingle", *arguments),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own, so that its children can be ended with it.
            start_new_session=True,
        )
    worker = Worker(process, log)
    try:
        yield worker
    finally:
        if process.poll() is None:
            worker.stop()
