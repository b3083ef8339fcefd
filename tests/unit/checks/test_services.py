"""Checks of django-cachalot and Celery: xdbrel.W050 to xdbrel.W053."""

import sys

import pytest
from celery import Celery, current_app
from django.apps import apps
from django.core.checks import Warning, registry

from xdbrel.checks import services

LOCMEM = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
REDIS = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache"}}


@pytest.fixture
def cachalot(monkeypatch):
    """django-cachalot counts as installed; nothing of it is loaded."""
    known = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name == "cachalot" or known(name))


@pytest.fixture
def celery_app():
    """A project's own Celery app, current for one test."""
    before = current_app._get_current_object()
    app = Celery("project")
    app.set_current()
    yield app
    before.set_current()
    app.close()


@pytest.fixture
def no_celery_app():
    """Celery is there, and the project has made no app."""
    before = current_app._get_current_object()
    Celery("default", set_as_current=False).set_current()
    yield
    before.set_current()


UNCACHED = Warning(
    "django-cachalot caches xdbrel's own tables, which change with every delete.",
    hint='Add "xdbrel" to CACHALOT_UNCACHABLE_APPS.',
    id="xdbrel.W050",
)


@pytest.mark.usefixtures("cachalot")
class TestUncachedTables:
    def test_w050_cached(self):
        """By default, cachalot caches every table."""
        assert services.check_uncached_tables() == [UNCACHED]

    def test_w050_app_left_out(self, settings):
        """What the hint says is enough."""
        settings.CACHALOT_UNCACHABLE_APPS = ["xdbrel"]
        assert services.check_uncached_tables() == []

    def test_w050_tables_left_out(self, settings):
        """Every table by itself is as good, all but one is not."""
        tables = [m._meta.db_table for m in apps.get_app_config("xdbrel").get_models()]
        settings.CACHALOT_UNCACHABLE_TABLES = tables
        assert services.check_uncached_tables() == []
        settings.CACHALOT_UNCACHABLE_TABLES = tables[1:]
        assert services.check_uncached_tables() == [UNCACHED]

    def test_w050_only_others(self, settings):
        """Where only others are cached, xdbrel is not."""
        settings.CACHALOT_ONLY_CACHABLE_APPS = ["auth"]
        assert services.check_uncached_tables() == []
        settings.CACHALOT_ONLY_CACHABLE_APPS = ["auth", "xdbrel"]
        assert services.check_uncached_tables() == [UNCACHED]

    def test_w050_switched_off(self, settings):
        """A cache that is switched off keeps nothing."""
        settings.CACHALOT_ENABLED = False
        assert services.check_uncached_tables() == []


def test_w050_not_installed():
    """Without cachalot, there is nothing to say."""
    assert not apps.is_installed("cachalot")
    assert services.check_uncached_tables() == []


@pytest.mark.usefixtures("cachalot", "no_celery_app")
class TestSharedCache:
    def test_w051_broker_in_the_settings(self, settings):
        """A worker deletes what another process has in its memory."""
        settings.CACHES = LOCMEM
        settings.CELERY_BROKER_URL = "redis://127.0.0.1:6379/0"
        assert services.check_shared_cache() == [
            Warning(
                "django-cachalot keeps its cache 'default' in the memory of each process: what "
                "a Celery worker deletes stays in the others'.",
                hint="Use a cache that processes share for 'default', as Redis, or set "
                "CACHALOT_ENABLED = False where there is none.",
                id="xdbrel.W051",
            )
        ]

    def test_w051_loaded_app(self, settings, celery_app):
        """A Celery app that the project has loaded means workers, unless all is eager."""
        settings.CACHES = LOCMEM
        assert [message.id for message in services.check_shared_cache()] == ["xdbrel.W051"]
        celery_app.conf.task_always_eager = True
        assert services.check_shared_cache() == []

    def test_w051_shared(self, settings):
        """A cache that processes share is right; so is a memory without workers."""
        settings.CACHES = REDIS
        settings.CELERY_BROKER_URL = "redis://127.0.0.1:6379/0"
        assert services.check_shared_cache() == []
        settings.CACHES = LOCMEM
        del settings.CELERY_BROKER_URL
        assert services.check_shared_cache() == []

    def test_w051_cache_of_its_own(self, settings):
        """What counts is the cache that cachalot uses."""
        settings.CACHES = {**REDIS, "local": LOCMEM["default"]}
        settings.CELERY_BROKER_URL = "redis://127.0.0.1:6379/0"
        settings.CACHALOT_CACHE = "local"
        (message,) = services.check_shared_cache()
        assert "keeps its cache 'local' in" in message.msg


RELAY = {"relay": {"task": "xdbrel.relay", "schedule": 5}}
SCAN = {"scan": {"task": "xdbrel.scan_all", "schedule": 86400}}

NO_RELAY = Warning(
    "Celery's beat schedule has no relay: cascades that a crash or an error cut short are never "
    "finished.",
    hint='Schedule the task "xdbrel.relay" every few seconds, or run "manage.py xdbrel_relay" as '
    "a service and silence this check.",
    id="xdbrel.W052",
)
NO_SCAN = Warning(
    "Celery's beat schedule has no scan: orphans that other programs leave are never found.",
    hint='Schedule the task "xdbrel.scan_all" daily, or run "manage.py xdbrel_scan" by cron and '
    "silence this check.",
    id="xdbrel.W053",
)


class TestSchedule:
    def test_w052_no_relay(self, celery_app):
        """Somebody has to finish what was cut short."""
        celery_app.conf.beat_schedule = SCAN
        assert services.check_schedule() == [NO_RELAY]

    def test_w053_no_scan(self, celery_app):
        """Somebody has to look for orphans."""
        celery_app.conf.beat_schedule = RELAY
        assert services.check_schedule() == [NO_SCAN]

    def test_w052_w053_empty(self, celery_app):
        """An empty schedule has neither."""
        celery_app.conf.beat_schedule = {}
        assert services.check_schedule() == [NO_RELAY, NO_SCAN]

    def test_schedule_of_the_worker(self, celery_app):
        """The schedule that xdbrel's own worker has is complete: the names are the tasks'."""
        from worker import schedule

        celery_app.conf.beat_schedule = schedule.defaults()["beat_schedule"]
        assert services.check_schedule() == []

    def test_scheduler_of_another_kind(self, celery_app):
        """What is scheduled in a database is not known here."""
        celery_app.conf.beat_schedule = {}
        celery_app.conf.beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
        assert services.check_schedule() == []

    def test_schedule_in_the_settings(self, settings, no_celery_app):
        """Without a loaded app, Django's settings may have the schedule."""
        assert services.check_schedule() == []
        settings.CELERY_BEAT_SCHEDULE = RELAY
        assert services.check_schedule() == [NO_SCAN]

    def test_without_celery(self, settings, monkeypatch):
        """Celery is not imported for being looked for."""
        monkeypatch.delitem(sys.modules, "celery")
        assert services.check_schedule() == []
        assert "celery" not in sys.modules

    def test_nothing_crosses(self, celery_app, settings):
        """In one database there is nothing to relay and nothing to scan."""
        # Fields of the tests' apps name this alias themselves.
        settings.XDBREL = {"HOMES": {}, "REPLICAS": {"shop": "default"}}
        celery_app.conf.beat_schedule = {}
        assert services.check_schedule() == []

    def test_only_at_deployment(self):
        """A developer's machine may do without."""
        assert services.check_schedule in registry.registry.deployment_checks
        assert services.check_schedule not in registry.registry.registered_checks
