"""Notes of workers, and what is said where there are none."""

import datetime

import pytest
from django.core import checks
from django.db import OperationalError, connections
from django.utils import timezone

from xdbrel.checks import workers
from xdbrel.integrity import heartbeats
from xdbrel.models import Heartbeat

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(heartbeats, "_noted", {})


def test_beat(settings, django_assert_num_queries):
    """A note is written once in a while, however often the work is done."""
    heartbeats.beat("relay")
    (row,) = Heartbeat.objects.all()
    assert row.work == "relay"
    assert row.worker.count(":") == 1
    with django_assert_num_queries(0, connection=connections["default"]):
        heartbeats.beat("relay")
    heartbeats.beat("scan")
    settings.XDBREL = {**settings.XDBREL, "HEARTBEAT_SECONDS": 0.0}
    heartbeats.beat("relay")
    assert heartbeats.last()["relay"].ran_at > row.ran_at
    assert set(heartbeats.last()) == {"relay", "scan"}


def test_database_that_does_not_answer(caplog):
    """... keeps nobody from working."""

    def away(execute, sql, params, many, context):
        raise OperationalError("gone away")

    with connections["default"].execute_wrapper(away):
        heartbeats.beat("relay")
    (record,) = [one for one in caplog.records if getattr(one, "action", "") == "heartbeat"]
    assert record.getMessage() == "That relay ran could not be noted in default: gone away"


def hear(work, seconds):
    ran_at = timezone.now() - datetime.timedelta(seconds=seconds)
    Heartbeat.objects.update_or_create(work=work, defaults={"ran_at": ran_at, "worker": "w:1"})


def test_silent():
    """Three intervals are allowed, and ten minutes at least."""
    assert [(one.work, one.ran_at) for one in heartbeats.silent()] == [
        ("relay", None),
        ("scan", None),
        ("resume", None),
        ("confirm", None),
        ("prune", None),
    ]
    for work, seconds in (
        ("relay", 590),
        ("scan", 3 * 3600 - 10),
        ("resume", 610),
        ("confirm", 0),
        ("prune", 3 * 3600 + 10),
    ):
        hear(work, seconds)
    resume, prune = heartbeats.silent()
    assert (resume.work, resume.allowed, resume.worker) == ("resume", 600.0, "w:1")
    assert (prune.work, prune.allowed) == ("prune", 10_800.0)
    assert prune.as_dict()["ran_at"] == prune.ran_at.isoformat()


class TestCheck:
    """xdbrel.W080, W081."""

    def found(self, databases=("default",)):
        return workers.check_heartbeats(databases=databases)

    def test_w080(self):
        (message,) = self.found()
        assert message.id == "xdbrel.W080"
        assert message.msg == (
            "No worker has ever run: relay, scan, resume, confirm and prune are not known to "
            "'default', where workers note what they do."
        )
        assert message.hint == (
            'Start "celery -A worker worker" and "celery -A worker beat" with the schedule of '
            "docs/worker.md, or run the commands by a timer and silence this check."
        )

    def test_w081(self):
        for work in heartbeats.WORKS:
            hear(work, 0)
        assert self.found() == []
        hear("relay", 7200)
        (message,) = self.found()
        assert message.id == "xdbrel.W081"
        assert message.msg.startswith("No worker has done relay since ")

    def test_looks_only_at_the_databases_named(self, django_assert_num_queries):
        with django_assert_num_queries(0, connection=connections["default"]):
            assert self.found(()) == []

    def test_is_one_of_deployment(self):
        registry = checks.registry.registry
        assert workers.check_heartbeats in registry.deployment_checks
        assert workers.check_heartbeats.tags == ("database",)
