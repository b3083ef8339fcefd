"""A scan on several workers that are killed, stopped and cut off from their broker's data."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery

from sample_project.worker_process import ROOT, running_worker
from tests import servers

#: A database of its own, since it is emptied while a scan runs.
REDIS = servers.REDIS_URL.rpartition("/")[0] + "/11"
SECONDS = 90
RELATION = "shop.Order.customer"
WEATHER = "flights.Flight.weather"
ORPHANS = 3000


class SharedProject:
    """The sample project on files of its own, its broker's queue, and its workers."""

    def __init__(self, folder, broker, speed):
        self.folder = folder
        self.queue = f"xdbrel_{uuid.uuid4().hex}"
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.services.shared_settings",
            "PYTHONPATH": str(ROOT),
            "SAMPLE_SERVICES": "",
            "SAMPLE_VAR": str(folder),
            "SAMPLE_REDIS_URL": "",
            "XDBREL_TEST_BROKER": broker,
            "XDBREL_TEST_QUEUE": self.queue,
            "XDBREL_TEST_SPEED": str(speed),
        }
        self.celery = Celery("client", broker=broker, set_as_current=False)
        self.celery.conf.task_default_queue = self.queue

    def fill(self):
        self.python(
            "from django.core.management import call_command; call_command('xdbrel_migrate');"
            "from sample_project.shop.models import Order; Order.objects.bulk_create("
            "Order(order_number=f'{n}', customer_id=10**6 + n % 3000, total=1)"
            " for n in range(4000));"
            "import datetime as d; from sample_project.flights.models import Flight;"
            "new_year = d.datetime(2013, 1, 1, tzinfo=d.UTC);"
            "Flight.objects.bulk_create("
            "Flight(number=1, distance=1, carrier_id='UA', dest_id='SJU',"
            " origin_id=('EWR', 'JFK', 'LGA')[n % 3],"
            " time_hour=new_year + d.timedelta(hours=n // 3 % 1000)) for n in range(4000))"
        )

    def python(self, script):
        command = [sys.executable, "-c", f"import django; django.setup(); {script}"]
        done = subprocess.run(command, env=self.env, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def worker(self, name, **env):
        log = self.folder / f"{name}.log"
        included = "--include=tests.services.small_steps"
        # RabbitMQ knows workers by their name.
        hostname = f"--hostname={name}.{self.queue}@%h"
        return running_worker(log, included, hostname, concurrency=1, env={**self.env, **env})

    def send(self, task, *arguments, **options):
        self.celery.send_task(task, arguments, options, ignore_result=True)

    def rows(self, query):
        connection = sqlite3.connect(self.folder / "default.sqlite3", timeout=30)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def eventually(self, query, seen, *, nudge=None):
        """Wait until ``seen`` says yes to the rows; ``nudge`` is what the beat would send."""
        until = time.monotonic() + SECONDS
        nudged = time.monotonic()
        while time.monotonic() < until:
            rows = self.rows(query)
            if seen(rows):
                return rows
            if nudge and time.monotonic() - nudged > 1.0:
                self.send(nudge)
                nudged = time.monotonic()
            time.sleep(0.05)
        logs = "\n".join(log.read_text()[-3000:] for log in self.folder.glob("*.log"))
        return pytest.fail(f"{query}: {rows} after {SECONDS} seconds\n{logs}")

    def close(self):
        with self.celery.connection_for_write() as connection:
            channel = connection.default_channel
            channel.queue_delete(self.queue)
        self.celery.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder with the databases, migrated, and the orphans in one of them."""
    project = SharedProject(tmp_path_factory.mktemp("filled"), REDIS, 0)
    project.fill()
    project.celery.close()
    return project.folder


@pytest.fixture
def shared(request, filled, tmp_path):
    broker, speed = request.param
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    project = SharedProject(tmp_path, broker, speed)
    yield project
    project.close()


FOUND = "SELECT count(*) FROM xdbrel_orphan"
ENDED = "SELECT status, orphans, distinct_keys, resumed FROM xdbrel_scanrun"
RANGES = "SELECT status, position, claimed_by FROM xdbrel_scanrange"


def customers(shared):
    return Counter(int(key) for (key,) in shared.rows("SELECT key FROM xdbrel_orphan"))


def hours(shared):
    found = (json.loads(key) for (key,) in shared.rows("SELECT key FROM xdbrel_orphan"))
    return Counter((origin, datetime.fromisoformat(hour)) for origin, hour in found)


EVERY_CUSTOMER = Counter(range(10**6, 10**6 + ORPHANS))
EVERY_HOUR = Counter(
    (origin, datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=number))
    for origin in ("EWR", "JFK", "LGA")
    for number in range(ORPHANS // 3)
)


@pytest.mark.services("redis")
@pytest.mark.parametrize(
    ("shared", "relation", "strategy", "keys_of", "every"),
    [
        pytest.param((REDIS, 500), RELATION, "merge", customers, EVERY_CUSTOMER, id="redis"),
        pytest.param((REDIS, 500), WEATHER, "push", hours, EVERY_HOUR, id="redis-composite"),
        pytest.param(
            (servers.RABBITMQ_URL, 500),
            RELATION,
            "merge",
            customers,
            EVERY_CUSTOMER,
            id="rabbitmq",
            marks=pytest.mark.services("rabbitmq"),
        ),
    ],
    indirect=["shared"],
)
def test_workers_come_and_go(shared, relation, strategy, keys_of, every, request):
    """One is killed, Redis loses its data, one is stopped: every finding is there, once."""
    with shared.worker("first") as first, shared.worker("second") as second:
        shared.send("xdbrel.scan", relation, "full", strategy=strategy)
        shared.eventually(FOUND, lambda rows: rows[0][0] > 300)
        first.kill()
        if "redis" in request.node.name:
            import redis

            client = redis.Redis.from_url(REDIS)
            client.flushdb()
            client.close()
        shared.eventually(FOUND, lambda rows: rows[0][0] > 900)
        began = time.monotonic()
        second.stop()
        assert second.process.returncode == 0
        assert time.monotonic() - began < 15
    rows = shared.rows(RANGES)
    assert len(rows) == 8
    held = [row for row in rows if row[2] and row[0] == "pending"]
    # What was stopped gave its range back; only who was killed may still seem to have one.
    assert len(held) <= 1
    assert any(status == "pending" and position for status, position, _ in rows)
    with shared.worker("third"):
        ((status, orphans, keys, _),) = shared.eventually(
            ENDED, lambda rows: rows[0][0] != "running", nudge="xdbrel.resume_scans"
        )
    assert (status, orphans, keys) == ("complete", 4000, ORPHANS)
    assert keys_of(shared) == every
    assert {work for (work,) in shared.rows("SELECT work FROM xdbrel_heartbeat")} >= {"scan"}


@pytest.mark.services("redis")
@pytest.mark.parametrize("shared", [pytest.param((REDIS, 1000), id="redis")], indirect=True)
def test_soft_time_limit(shared):
    """A worker's own limit ends its task; the scan goes on from there, and nobody is sent for."""
    with shared.worker("limited", XDBREL_TEST_SOFT_LIMIT="1"):
        shared.send("xdbrel.scan", RELATION, "full", strategy="merge")
        shared.eventually(
            "SELECT 1 FROM xdbrel_scanrange WHERE last_error LIKE 'SoftTimeLimitExceeded%'"
            " AND position IS NOT NULL",
            bool,
        )
        ((status, orphans, keys, _),) = shared.eventually(
            ENDED, lambda rows: rows[0][0] != "running"
        )
    assert (status, orphans, keys) == ("complete", 4000, ORPHANS)
    assert customers(shared) == EVERY_CUSTOMER
    log = (shared.folder / "limited.log").read_text()
    assert "Soft time limit (1.0s) exceeded for xdbrel.scan_range" in log


@pytest.mark.services("redis")
@pytest.mark.parametrize("shared", [pytest.param((REDIS, 0), id="redis")], indirect=True)
def test_memory_of_a_worker_stays_flat(shared):
    """After a hundred scans a worker's process is as large as after the first twenty."""
    runs = "SELECT count(*) FROM xdbrel_scanrun WHERE status = 'complete'"
    relation = "shop.Profile.user"
    with shared.worker("worker") as worker:
        for _ in range(20):
            shared.send("xdbrel.scan", relation, "auto")
        shared.eventually(runs, lambda rows: rows[0][0] >= 20)
        before = resident(worker.pid)
        for _ in range(80):
            shared.send("xdbrel.scan", relation, "auto")
        shared.eventually(runs, lambda rows: rows[0][0] >= 100)
        after = resident(worker.pid)
    assert after - before < 4 * 1024 * 1024, (before, after)


def resident(pid):
    """Return the bytes of memory that a worker's only child holds."""
    with open(f"/proc/{pid}/task/{pid}/children") as listed:
        (child,) = listed.read().split()
    with open(f"/proc/{child}/statm") as figures:
        return int(figures.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
