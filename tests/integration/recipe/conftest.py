"""These tests are about the sample project's models, and need its settings."""

import pytest
from cachalot.api import LOCAL_STORAGE
from django.conf import settings
from django.core.cache import cache

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
    cache.clear()
    LOCAL_STORAGE.cachalot_enabled = True
    yield
    cache.clear()
