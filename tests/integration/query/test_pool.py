"""Queries that span over connections that come out of psycopg's pool."""

from copy import deepcopy

import pytest
from django.db import connections

from tests.apps.library.models import Author, Book
from xdbrel.query import shipment

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


@pytest.fixture(params=["default", "blog"], scope="module")
def pooled(request, django_db_setup):
    """An alias of the same database as one of the homes, with a pool of one connection."""
    if connections[request.param].vendor != "postgresql":
        pytest.skip("only Django's PostgreSQL has pools")
    name = f"pooled_{request.param}"
    settings = deepcopy(connections[request.param].settings_dict)
    settings["OPTIONS"] = {**settings["OPTIONS"], "pool": {"min_size": 1, "max_size": 1}}
    connections.settings[name] = settings
    yield connections[name]
    connections[name].close()
    connections[name].close_pool()
    del connections[name], connections.settings[name]


@pytest.mark.parametrize("rows", [0, 2_000], ids=["table", "array"])
def test_nothing_is_left_on_a_connection_that_goes_back(pooled, rows, monkeypatch):
    monkeypatch.setattr(shipment, "ARRAY_ROWS", rows)
    ada = Author.objects.create(name="Ada")
    Book.objects.create(title="Notes", author=ada)
    here = pooled.settings_dict["NAME"]
    if here == connections["default"].settings_dict["NAME"]:
        query = Author.objects.using(pooled.alias).filter(books__title="Notes").values_list("name")
    else:
        query = (
            Book.objects.using(pooled.alias).order_by("author__name").values_list("author__name")
        )
    for _ in range(3):
        assert list(query.all()) == [("Ada",)]
        with pooled.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_class WHERE relname LIKE 'xdbrel\\_%%' AND relkind = 'r' "
                "AND relpersistence = 't'"
            )
            assert cursor.fetchone() == (0,)
        # Back into the pool, and out of it for the next round.
        pooled.close()
