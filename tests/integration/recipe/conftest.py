"""These tests are about the sample project's models, and need its settings."""

import threading

import pytest
from cachalot.api import LOCAL_STORAGE
from django.conf import settings
from django.core.cache import cache
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from redis import Redis

REASON = "needs the sample project: pytest --ds=tests.sample_settings tests/integration/recipe"


def pytest_pycollect_makemodule(module_path, parent):
    """Let a module skip itself, visibly, where the models that it imports are not installed."""
    if settings.SETTINGS_MODULE == "tests.sample_settings":
        return None
    return Skipped.from_parent(parent, path=module_path)


class Skipped(pytest.Module):
    def collect(self):
        pytest.skip(REASON, allow_module_level=True)


@pytest.fixture(autouse=True)
def uncached():
    """Count queries as they are: django-cachalot is installed, and answers none of them."""
    LOCAL_STORAGE.cachalot_enabled = False
    yield
    LOCAL_STORAGE.cachalot_enabled = True


@pytest.fixture
def cached(uncached):
    """Let django-cachalot answer."""
    clear()
    LOCAL_STORAGE.cachalot_enabled = True
    yield
    clear()


def clear():
    """Forget what this run has cached; others may use the same Redis."""
    configured = settings.CACHES["default"]
    if not configured["BACKEND"].endswith("RedisCache"):
        cache.clear()
        return
    with Redis.from_url(configured["LOCATION"]) as client:
        keys = list(client.scan_iter(f"{configured['KEY_PREFIX']}:*"))
        if keys:
            client.delete(*keys)


def elsewhere(ask):
    """Ask as another process does, which shares the cache and no transaction."""
    answers = []

    def work():
        try:
            answers.append(ask())
        finally:
            for connection in connections.all(initialized_only=True):
                # Django's own close() keeps a database in memory open.
                BaseDatabaseWrapper.close(connection)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return answers[0]
