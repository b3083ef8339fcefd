"""What the worker's beat schedule sends, where ``default`` names no database."""

import pytest
from celery import Celery, current_app
from django.db import connections

import worker.schedule
from tests.multidb.emptied.conftest import ALIASES
from tests.multidb.emptied.shop.models import Order
from xdbrel import relations
from xdbrel.models import CascadeIntent, Heartbeat, ScanRun

pytestmark = pytest.mark.django_db(databases=ALIASES, transaction=True)


@pytest.fixture
def app():
    """A project's own Celery app, which runs what is sent at once."""
    before = current_app._get_current_object()
    app = Celery("shop", broker="memory://localhost", set_as_current=True)
    app.autodiscover_tasks(["xdbrel"], force=True)
    app.conf.task_always_eager = True
    app.conf.task_eager_propagates = True
    yield app
    app.close()
    before.set_current()


def test_every_task_of_the_schedule(app, fred, order):
    Order.objects.create(customer_id=fred.pk + 1)
    with connections["users"].cursor() as cursor:
        cursor.execute("DELETE FROM auth_user WHERE id = %s", [fred.pk])
    CascadeIntent.objects.using("users").create(
        relation="shop.Order.customer", source_alias="customers", keys=[fred.pk]
    )
    entries = worker.schedule.defaults()["beat_schedule"].values()
    found = {task: app.tasks[task].apply().get() for task in [one["task"] for one in entries]}
    handles = [relation.handle for relation in relations.all_relations()]
    assert "shop.Order.customer" in handles
    assert found["xdbrel.scan_all"] == handles
    assert [one.customer_id for one in Order.objects.all()] == [fred.pk + 1]
    assert sorted(run.relation for run in ScanRun.objects.using("customers")) == handles
    assert Heartbeat.objects.using("customers").exists()
    assert not Heartbeat.objects.using("users").exists()
