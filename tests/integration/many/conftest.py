import pytest

from tests.apps.clubs.models import Club, Reader


@pytest.fixture
def readers(db_all):
    return [Reader.objects.create(slug=slug) for slug in ("ada", "bob", "cyd")]


@pytest.fixture
def club(db_all):
    return Club.objects.create(name="chess")


@pytest.fixture
def db_all(request):
    """Every database, as the tests of this folder mark themselves."""
    request.getfixturevalue("db")
