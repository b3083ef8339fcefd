from collections.abc import Iterator

import pytest
from django.apps.registry import Apps
from django.test.utils import isolate_apps


@pytest.fixture
def blog_models() -> Iterator[Apps]:
    """A registry of its own for the models that a test defines in the app blog."""
    with isolate_apps("tests.apps.blog") as registry:
        yield registry
