"""The planner: statistics where the database has them."""

import pytest
from django.db import connections

from tests.apps.archive.models import Entry, Shelf
from xdbrel import relations
from xdbrel.integrity import ends, planner

pytestmark = pytest.mark.django_db(databases="__all__")


def test_row_estimate():
    """An estimate is a number or, where the database has none, None; never an error."""
    estimate = planner.row_estimate(Shelf, "default")
    if connections["default"].vendor == "sqlite":
        assert estimate is None
    else:
        assert estimate is None or estimate >= 0


def test_few_sources_among_very_many_targets(monkeypatch):
    """Where statistics say so, looking up a few sources beats listing all gaps."""
    vendors = {connections[alias].vendor for alias in ("default", "blog")}
    if vendors != {"postgresql"}:
        pytest.skip("only PostgreSQL analyzes inside of a transaction")
    Shelf.objects.bulk_create([Shelf(number=n) for n in range(200)])
    Entry.objects.create(shelf_id=3)
    for alias, model in (("default", Shelf), ("blog", Entry)):
        with connections[alias].cursor() as cursor:
            cursor.execute(f"ANALYZE {connections[alias].ops.quote_name(model._meta.db_table)}")
    assert planner.row_estimate(Shelf, "default") == 200
    source, target = ends.of(relations.get("archive.Entry.shelf"))
    assert planner.choose(source, target).strategy == "gaps"
    monkeypatch.setattr(planner, "PLENTY", 200)
    assert planner.choose(source, target).strategy == "merge"
    monkeypatch.setattr(planner, "RARE", 200)
    assert planner.choose(source, target).strategy == "gaps"
