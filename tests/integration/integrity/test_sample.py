"""Estimates: bounds that hold the truth, a constant number of statements, no findings."""

import math

import pytest
from django.db import connections

from tests.apps.archive.models import Entry, Shelf, Topic
from xdbrel import relations
from xdbrel.integrity.exceptions import CannotSample, NoScan
from xdbrel.integrity.reading import draws
from xdbrel.integrity.sample import sample, wilson
from xdbrel.integrity.scanning import findings
from xdbrel.models import Orphan, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

RELATION = "archive.Entry.shelf"


def fill(number):
    """A third of the sources are orphans."""
    Shelf.objects.bulk_create([Shelf(number=key) for key in (1, 2)])
    Entry.objects.bulk_create([Entry(shelf_id=key % 3) for key in range(number)])


@pytest.mark.parametrize("size", [50, 10_000])
def test_estimate(size, django_assert_max_num_queries):
    """From some rows or all of them; the run has no findings, and is nobody's to repair."""
    fill(3000)
    Entry.objects.filter(pk__in=list(Entry.objects.values_list("pk", flat=True)[:1000])).delete()
    relation = relations.get(RELATION)
    with django_assert_max_num_queries(40, connection=connections["blog"]):
        result = sample(relation, size, seed=7)
    assert result.sampled == min(size, 2000)
    assert result.low <= 1 / 3 <= result.high or result.sampled == 50
    assert 0 < result.share < 0.7
    if size == 10_000:
        assert result.orphaned == Entry.objects.filter(shelf_id=0).count()
    run = ScanRun.objects.get()
    assert (run.mode, run.status, run.orphans) == ("sample", "complete", 0)
    assert run.estimate["orphaned"] == result.orphaned
    assert not Orphan.objects.exists()
    with pytest.raises(NoScan):
        findings.latest(RELATION)


def test_empty():
    result = sample(relations.get(RELATION), 10)
    assert (result.sampled, result.share, result.low, result.high) == (0, 0.0, 0.0, 1.0)


def test_few_rows_among_many_numbers():
    """Where hardly a number has a row, the rows that follow are drawn."""
    fill(30)
    pk = Entry.objects.latest("pk").pk
    Entry.objects.create(pk=pk + 10**9, shelf_id=1)
    result = sample(relations.get(RELATION), 20, seed=1)
    assert result.sampled == 20


def test_primary_key_that_tells_nothing(monkeypatch):
    monkeypatch.setattr(draws, "_from_pages", lambda source, size: None)
    monkeypatch.setattr(Entry._meta, "pk", Topic._meta.pk)
    with pytest.raises(CannotSample) as raised:
        sample(relations.get(RELATION), 5)
    assert str(raised.value) == (
        "archive.Entry.shelf: rows of archive.Entry in database 'blog' cannot be drawn at "
        "random, since its primary key is neither an integer nor a UUID. Scan it without "
        "--sample."
    )


@pytest.mark.parametrize(
    ("hits", "number", "low", "high"),
    [(0, 100, 0.0, 0.0370), (100, 100, 0.9630, 1.0), (10, 100, 0.0552, 0.1744), (0, 0, 0.0, 1.0)],
)
def test_wilson(hits, number, low, high):
    """The bounds that textbooks print."""
    found = wilson(hits, number)
    assert math.isclose(found[0], low, abs_tol=5e-5)
    assert math.isclose(found[1], high, abs_tol=5e-5)
