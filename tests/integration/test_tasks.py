"""The Celery tasks, and the worker's app, without a worker: see tests/services for those."""

import json
from contextlib import ExitStack
from datetime import timedelta

import pytest
from celery import Celery, current_app
from celery.exceptions import Retry
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connections, transaction

from tests.apps.blog.models import Post
from tests.apps.shop.models import Order
from worker import celery as worker_app
from worker import config
from worker.app import defaults
from xdbrel import relations, tasks
from xdbrel.cascade import clock
from xdbrel.conf import Settings
from xdbrel.exceptions import UnknownRelation
from xdbrel.integrity import sharing
from xdbrel.integrity.exceptions import NotConfirmed
from xdbrel.models import CascadeIntent, RepairRun, ScanRange, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

TASKS = [
    tasks.relay,
    tasks.prune,
    tasks.scan,
    tasks.scan_range,
    tasks.scan_all,
    tasks.resume_scans,
    tasks.confirm,
]


@pytest.fixture
def app():
    """A project's own Celery app, with a broker in memory that keeps what is sent."""
    before = current_app._get_current_object()
    app = Celery("project", broker="memory://", set_as_current=True)
    app.conf.task_default_queue = "of this test"
    yield app
    app.close()
    before.set_current()


def sent(app):
    """Return (task, arguments) of every message in the queue."""
    found = []
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(app.conf.task_default_queue)
        while len(queue):
            message = queue.get(block=False)
            assert message.content_type == "application/json"
            arguments, _, _ = json.loads(message.body)
            found.append((message.headers["task"], arguments))
            message.ack()
        queue.close()
    return found


class Outage:
    """A database that fails some statements and then answers again."""

    def __init__(self, error, statements):
        self.error = error
        self.left = statements

    def __call__(self, execute, sql, params, many, context):
        if self.left:
            self.left -= 1
            raise self.error
        return execute(sql, params, many, context)


def test_scan():
    """The task returns what the service returns, as JSON carries it."""
    Order.objects.create(customer_id=10**6)
    found = tasks.scan("shop.Order.customer")
    assert json.loads(json.dumps(found)) == found
    run = ScanRun.objects.get()
    assert (found["orphans"], found["distinct_keys"]) == (run.orphans, run.distinct_keys) == (1, 1)


def test_scan_of_an_unknown_relation():
    """A handle that there is not is an error of the task, and is not tried again."""
    result = tasks.scan.apply(("shop.Order.nobody",))
    assert isinstance(result.result, UnknownRelation)
    assert "'shop.Order.nobody'" in str(result.result)


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_relay():
    """The task finishes what a delete has left, for one database or for all."""
    Post.objects.create(title="Left", author_id=10**6)
    CascadeIntent.objects.create(
        relation="blog.Post.author", source_alias="blog", keys=[10**6], attempts=1
    )
    assert tasks.relay(using="blog")["applied"] == 0
    found = tasks.relay()
    assert json.loads(json.dumps(found)) == found
    assert (found["applied"], found["failed"]) == (1, 0)
    assert not Post.objects.exists()


def test_relay_tells_what_is_left(settings, caplog):
    """A call that succeeds while the backlog grows says so, and warns when it is late."""
    settings.XDBREL = {**settings.XDBREL, "MAX_BACKLOG_AGE": 300.0}
    now = clock.read("default")
    CascadeIntent.objects.create(
        relation="blog.Post.author",
        source_alias="blog",
        keys=[10**6],
        created_at=now - timedelta(seconds=200),
        available_at=now + timedelta(hours=1),
    )
    found = tasks.relay()
    assert json.loads(json.dumps(found)) == found
    assert (found["applied"], found["failed"], found["unreachable"]) == (0, 0, [])
    assert (found["backlog"]["depth"], found["backlog"]["late"]) == (1, False)
    assert 200 <= found["backlog"]["oldest"] < 260
    assert "backlog_late" not in {getattr(record, "action", "") for record in caplog.records}

    CascadeIntent.objects.update(created_at=now - timedelta(seconds=400))
    assert tasks.relay(using="default")["backlog"]["late"] is True
    (record,) = [one for one in caplog.records if getattr(one, "action", "") == "backlog_late"]
    assert record.levelname == "WARNING"
    assert (record.relation, record.alias, record.depth) == ("blog.Post.author", "default", 1)
    assert record.oldest >= 400


def test_relay_of_a_database_that_does_not_answer():
    """It is in the result, as is what waits in the others; the task itself succeeds."""

    def away(execute, sql, params, many, context):
        raise OperationalError("gone away")

    with connections["default"].execute_wrapper(away):
        found = tasks.relay()
    assert found["unreachable"] == ["default"]
    assert found["backlog"]["unreachable"] == {"default": "OperationalError: gone away"}


def test_repair():
    """Who asks for it is on record; a task that is run again goes on, or finds nothing left."""
    Post.objects.create(title="x", author_id=10**6)
    tasks.scan("blog.Post.author")
    found = tasks.repair.apply(("blog.Post.author", "delete"), task_id="one").get()
    assert json.loads(json.dumps(found)) == found
    assert (found["rows"], found["counts"]) == (1, {"blog.Post": 1})
    assert RepairRun.objects.get().actor.startswith("task one on ")
    again = tasks.repair.apply(("blog.Post.author", "delete"), {"actor": "ada"}).get()
    assert (again["rows"], RepairRun.objects.last().actor) == (0, "ada")


def test_repair_with_a_mapping():
    """JSON has pairs for it: its objects would make texts of all keys."""
    new = User.objects.create(pk=1, username="ada").pk
    Post.objects.create(title="x", author_id=10**6)
    tasks.scan("blog.Post.author")
    tasks.repair.apply(("blog.Post.author", "repoint"), {"mapping": [[10**6, new]]}).get()
    assert Post.objects.get().author_id == new


def test_repair_waits_for_the_second_look(settings, monkeypatch):
    """Findings that are not confirmed yet are a reason to try again, not to fail."""
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 3_600}
    Post.objects.create(title="x", author_id=10**6)
    tasks.scan("blog.Post.author")
    tried = []

    def retry(*args, **kwargs):
        tried.append(kwargs["exc"])
        return Retry()

    monkeypatch.setattr(tasks.repair, "retry", retry)
    tasks.repair.apply(("blog.Post.author", "delete"))
    assert [type(error) for error in tried] == [NotConfirmed]
    assert Post.objects.exists()


def test_prune():
    """Of one database or of all; what is recent is kept."""
    for using, days in (("default", 30), ("blog", 30), ("blog", 1)):
        CascadeIntent.objects.using(using).create(
            relation="blog.Post.author",
            keys=[10**6],
            status="confirmed",
            applied_at=clock.read(using) - timedelta(days=days),
        )
    assert tasks.prune(using="default")["intents"] == {"default": 1}
    found = tasks.prune()
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "dry_run": False,
        "intents": {"default": 0, "blog": 1, "shop": 0},
        "unreachable": {},
        "history": {
            "dry_run": False,
            "runs": 0,
            "findings": 0,
            "repairs": 0,
            "unreachable": "",
        },
    }
    assert tasks.prune(using="blog")["history"] is None
    assert CascadeIntent.objects.using("blog").count() == 1


def test_scan_all(app):
    """Each relation is a task of its own, sent to the project's own queue."""
    handles = tasks.scan_all()
    assert handles == [relation.handle for relation in relations.all_relations()]
    assert sent(app) == [("xdbrel.scan", [handle, "auto"]) for handle in handles]


def test_a_large_scan_is_handed_out(app, settings, monkeypatch):
    """A message for each range; the tasks that take them end the run; what idles is resent."""
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 0.0}
    monkeypatch.setattr(sharing, "number_of_ranges", lambda *ends: 3)
    Order.objects.bulk_create([Order(customer_id=10**6 + number) for number in range(90)])
    found = tasks.scan("shop.Order.customer", strategy="merge")
    assert (found["status"], found["orphans"]) == ("running", 0)
    ranges = ScanRange.objects.count()
    assert sent(app) == [("xdbrel.scan_range", [found["run"]])] * ranges
    assert tasks.scan("shop.Order.customer") == {
        "relation": "shop.Order.customer",
        "run": found["run"],
        "status": "being scanned",
    }
    assert tasks.resume_scans() == {found["run"]: ranges}
    assert sent(app) == [("xdbrel.scan_range", [found["run"]])] * ranges
    share = tasks.scan_range(found["run"])
    assert json.loads(json.dumps(share)) == {**share, "failed": {}}
    assert (share["status"], share["complete"], share["left"]) == ("complete", ranges, False)
    assert tasks.scan_range(found["run"]) is None
    assert tasks.resume_scans() == {}
    (confirmed,) = tasks.confirm()
    assert (confirmed["confirmed"], confirmed["orphans"]) == (True, 90)
    assert sent(app) == []


def test_a_worker_that_ends_hands_on(app, monkeypatch):
    """What it gave back is for another one."""
    monkeypatch.setattr(sharing, "number_of_ranges", lambda *ends: 3)
    Order.objects.bulk_create([Order(customer_id=10**6 + number) for number in range(90)])
    found = tasks.scan("shop.Order.customer", strategy="merge")
    sent(app)
    tasks._end()
    try:
        assert tasks.is_ending()
        share = tasks.scan_range(found["run"])
    finally:
        tasks._begin()
    assert (share["status"], share["left"]) == ("running", True)
    assert sent(app) == [("xdbrel.scan_range", [found["run"]])]


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_send_on_commit(app):
    """A task that belongs to a transaction is sent when the right one commits."""
    with transaction.atomic(using="shop"):
        transaction.on_commit(lambda: tasks.scan.delay("shop.Order.customer"), using="shop")
        with transaction.atomic(using="default"):
            User.objects.create(username="ada")
        assert sent(app) == []
    assert sent(app) == [("xdbrel.scan", ["shop.Order.customer"])]


@pytest.mark.django_db(databases="__all__", transaction=True)
@pytest.mark.parametrize("error", [OperationalError("gone away"), InterfaceError("closed")])
def test_an_outage_is_tried_again(error):
    """A database that does not answer for a while delays the task, and no more."""
    outage = Outage(error, statements=2)
    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(outage))
        result = tasks.scan.apply(("shop.Order.customer",))
    assert outage.left == 0
    assert result.get()["orphans"] == 0


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_tasks_lose_nothing(task):
    """Whatever app runs them: acknowledged when done, back in the queue when lost, tried again."""
    assert task.acks_late is True
    assert task.reject_on_worker_lost is True
    assert task.autoretry_for == (OperationalError, InterfaceError)
    assert task.retry_jitter is True


class TestWorkerApp:
    """``celery -A worker``, configured by Django's settings and its own defaults."""

    def test_defaults(self):
        conf = worker_app.conf
        assert conf.task_default_queue == "xdbrel"
        assert conf.accept_content == conf.result_accept_content == ["json"]
        assert (conf.task_serializer, conf.result_serializer) == ("json", "json")
        assert conf.task_acks_late is True
        assert conf.task_reject_on_worker_lost is True
        assert conf.broker_connection_retry_on_startup is True

    def test_time_limits_stay_below_the_visibility_timeout(self):
        """A task that still runs must not be handed to somebody else."""
        conf = worker_app.conf
        assert conf.task_soft_time_limit < conf.task_time_limit < config.VISIBILITY_TIMEOUT

    def test_the_schedule(self):
        entries = worker_app.conf.beat_schedule
        assert {entry["task"]: entry["schedule"] for entry in entries.values()} == {
            "xdbrel.relay": Settings.RELAY_INTERVAL_SECONDS.default,
            "xdbrel.prune": Settings.PRUNE_INTERVAL_SECONDS.default,
            "xdbrel.scan_all": Settings.SCAN_INTERVAL_SECONDS.default,
            "xdbrel.resume_scans": Settings.RESUME_INTERVAL_SECONDS.default,
            "xdbrel.confirm": Settings.CONFIRM_INTERVAL_SECONDS.default,
        }
        for entry in entries.values():
            assert entry["options"] == {"expires": entry["schedule"]}

    def test_the_schedule_names_tasks_that_there_are(self):
        worker_app.loader.import_default_modules()
        for entry in worker_app.conf.beat_schedule.values():
            assert entry["task"] in worker_app.tasks

    def test_a_project_overrides(self, settings):
        """What Django's settings say comes before the worker's defaults."""
        settings.CELERY_TASK_DEFAULT_QUEUE = "ours"
        settings.XDBREL = {**settings.XDBREL, "RELAY_INTERVAL_SECONDS": 1.5}
        app = Celery("like the worker's", set_as_current=False)
        app.config_from_object("django.conf:settings", namespace="CELERY")
        app.add_defaults(defaults)
        assert app.conf.task_default_queue == "ours"
        assert app.conf.task_acks_late is True
        assert app.conf.beat_schedule["xdbrel-relay"]["schedule"] == 1.5
        app.close()
