"""A Celery worker in a process of its own, on the transport without a server and on Redis."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from celery import Celery

from sample_project.worker_process import ROOT, WorkerEnded, running_worker
from tests import servers

# kombu's models for SQLAlchemy use an option that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

SECONDS = 60
INCLUDED = "--include=tests.services.worker_tasks"


class Project:
    """The sample project on files of its own, seen from outside its processes."""

    def __init__(self, folder: Path, redis_url: str = "") -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.services.worker_settings",
            "PYTHONPATH": str(ROOT),
            "SAMPLE_SERVICES": "",
            "SAMPLE_VAR": str(folder),
            "SAMPLE_REDIS_URL": redis_url,
            "SAMPLE_DB_SUFFIX": f"_{uuid.uuid4().hex}",
        }
        given = self.python(
            "import json; from django.conf import settings as s;"
            "names = [n for n in dir(s) if n.startswith('CELERY_')];"
            "print(json.dumps({n.removeprefix('CELERY_').lower(): getattr(s, n) for n in names}))"
        )
        self.celery = Celery("client", set_as_current=False)
        self.celery.conf.update(json.loads(given), task_default_queue="xdbrel")

    def manage(self, *arguments: str) -> str:
        return self.run(str(ROOT / "sample_project" / "manage.py"), *arguments)

    def python(self, script: str) -> str:
        return self.run("-c", f"import django; django.setup(); {script}")

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def worker(self, name: str = "worker"):
        """Return the context of a worker with one child, so that its processes are few."""
        log = self.folder / f"{name}.log"
        return running_worker(log, INCLUDED, concurrency=1, env=self.env)

    def send(self, task: str, *arguments: object):
        return self.celery.send_task(task, arguments)

    def close(self) -> None:
        self.celery.close()
        backend = self.celery.backend
        if self.env["SAMPLE_REDIS_URL"]:
            client = backend.client
            prefix = f"sample{self.env['SAMPLE_DB_SUFFIX']}*"
            for key in client.scan_iter(prefix):
                client.delete(key)
            client.close()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with the five databases, migrated and seeded."""
    project = Project(tmp_path_factory.mktemp("prepared"))
    project.manage("xdbrel_migrate")
    project.manage("seed")
    project.close()
    return project.folder


@pytest.fixture(
    params=[
        "files",
        pytest.param("redis", marks=pytest.mark.services("redis")),
    ]
)
def project(request, prepared, tmp_path):
    """A project whose databases are seeded, and whose queue is empty."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    project = Project(tmp_path, servers.REDIS_URL if request.param == "redis" else "")
    yield project
    project.close()


def eventually(seen, what):
    """Return the first true value of ``seen()``; fail after a while."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        value = seen()
        if value:
            return value
        time.sleep(0.05)
    return pytest.fail(f"{what} within {SECONDS} seconds")


def test_scan(project):
    """The worker scans the relation of a handle, and the result is JSON."""
    project.python(
        "from sample_project.shop.models import Order;"
        "Order.objects.create(order_number='LOST', customer_id=10**9, total=1)"
    )
    with project.worker() as worker:
        (found,) = worker.results([project.send("xdbrel.scan", "shop.Order.customer")], seconds=60)
    assert found.pop("seconds") > 0
    assert found.pop("strategy")
    assert found.pop("reason")
    assert found.pop("run")
    assert found == {
        "relation": "shop.Order.customer",
        "mode": "full",
        "status": "complete",
        "resumed": 0,
        "source_alias": "shop_db",
        "target_alias": "default",
        "orphans": 1,
        "distinct_keys": 1,
    }


def test_scan_all(project):
    """One task starts one task for each relation."""
    with project.worker() as worker:
        (handles,) = worker.results([project.send("xdbrel.scan_all")], seconds=60)
        eventually(lambda: scanned(project) == sorted(handles), "every relation is scanned")
    assert "shop.Profile.user" in handles
    assert len(handles) == 18


def scanned(project):
    return json.loads(
        project.python(
            "import json; from xdbrel.models import ScanRun;"
            "runs = ScanRun.objects.filter(status='complete');"
            "print(json.dumps(sorted(runs.values_list('relation', flat=True))))"
        )
    )


def test_relay(project):
    """A cascade whose process died at the target's commit is finished by the worker."""
    project.run(
        "-c",
        "import django, os; django.setup();"
        "from django.contrib.auth.models import User; from django.db import transaction;"
        "block = transaction.atomic(using='default'); block.__enter__();"
        "transaction.on_commit(lambda: os._exit(9), using='default');"
        "User.objects.get(username='ada').delete();"
        "block.__exit__(None, None, None)",
        status=9,
    )
    assert orders_of_nobody(project) == 1
    applied = 0
    with project.worker() as worker:

        def relayed():
            nonlocal applied
            (result,) = worker.results([project.send("xdbrel.relay")], seconds=SECONDS)
            applied += result["applied"]
            return orders_of_nobody(project) == 0

        eventually(relayed, "the relay finishes the cascade")
    # Posts, who edits them, comments, notes, orders, reviews, profile: one intent for each.
    assert applied == 7


def orders_of_nobody(project):
    return int(
        project.python(
            "from django.contrib.auth.models import User;"
            "from sample_project.shop.models import Order;"
            "users = set(User.objects.values_list('pk', flat=True));"
            "print(Order.objects.exclude(customer_id__in=users).count())"
        )
    )


def test_a_task_survives_the_process_that_runs_it(project):
    """A child that is killed leaves its task to the next (late ack, reject on worker lost)."""
    marker = project.folder / "first"
    with project.worker() as worker:
        task = project.send("tests.outlive", str(marker))
        eventually(marker.exists, "the task starts")
        victim = int(marker.read_text())
        os.kill(victim, signal.SIGKILL)
        (said,) = worker.results([task], seconds=SECONDS)
    assert said.endswith(f"after {victim}")
    assert not said.startswith(f"again in {victim},")


@pytest.mark.services("redis")
def test_a_task_survives_its_whole_worker(tmp_path):
    """With Redis, what a killed worker held goes to another one."""
    project = Project(tmp_path, servers.REDIS_URL)
    marker = tmp_path / "first"
    try:
        task = project.send("tests.outlive", str(marker))
        with project.worker("first") as worker:
            eventually(marker.exists, "the task starts")
            worker.kill()
        assert not task.ready()
        with project.worker("second") as worker:
            (said,) = worker.results([task], seconds=SECONDS)
        assert said.endswith(f"after {marker.read_text()}")
    finally:
        project.close()


def test_a_worker_that_ends_is_reported(project):
    """Waiting for results ends with the worker, and its log is shown."""
    with project.worker() as worker:
        eventually(lambda: " ready." in worker.log.read_text(), "the worker is ready")
        worker.kill()
        with pytest.raises(WorkerEnded, match=r"The worker ended with status -9\. The end of "):
            worker.results([project.send("xdbrel.relay")], seconds=SECONDS)
