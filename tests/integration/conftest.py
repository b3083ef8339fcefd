"""What several folders share: further aliases, and content types that differ by database."""

import pytest
from django.contrib.contenttypes.models import ContentType

from tests.aliases import aliases

__all__ = ["aliases"]

ROUTERS = "tests.integration.generic.routers_for_tests"
HOME = "xdbrel.routers.HomeRouter"


@pytest.fixture
def types_everywhere(tables_of_types, settings):
    settings.DATABASE_ROUTERS = [f"{ROUTERS}.TypesEverywhere", HOME]
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


@pytest.fixture
def types_in_shop(tables_of_types, settings):
    settings.DATABASE_ROUTERS = [f"{ROUTERS}.TypesInShop", HOME]
