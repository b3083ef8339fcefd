"""A scan: its run and findings, the second look, failures, caches, replicas."""

import json
from contextlib import contextmanager

import pytest
from django.db import DatabaseError, connections

from tests.apps.archive.models import Box, Entry, Shelf, Topic
from tests.apps.blog.models import Post, Visit
from tests.apps.people.models import Device
from xdbrel import compat, keys, relations, signals
from xdbrel.integrity.exceptions import UnknownStrategy, UnsuitableStrategy
from xdbrel.integrity.reading import ends, sources, targets
from xdbrel.integrity.scan import Progress, ScanResult, scan
from xdbrel.models import Orphan, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

RELATION = "archive.Entry.shelf"


def shelves(*numbers):
    Shelf.objects.bulk_create([Shelf(number=number) for number in numbers])


def entries(*numbers):
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in numbers])


def findings(result):
    return dict(Orphan.objects.filter(run_id=result.run_id).values_list("key", "sources"))


@contextmanager
def before(alias, part, act):
    """Call ``act`` once, right before the first statement on ``alias`` that holds ``part``."""
    done = []

    def wrapper(execute, sql, params, many, context):
        if part in sql and not done:
            done.append(sql)
            act()
        return execute(sql, params, many, context)

    with connections[alias].execute_wrapper(wrapper):
        yield done
    assert done, f"no statement on {alias} holds {part!r}"


def test_result_run_and_findings():
    """A scan returns, and records, how many rows hold which keys that no target has."""
    shelves(1, 2, 9)
    entries(1, 4, 4, 4, 7, None)
    result = scan(relations.get(RELATION))
    assert result == ScanResult(
        relation=RELATION,
        source_alias="blog",
        target_alias="default",
        strategy="gaps",
        orphans=4,
        distinct_keys=2,
        seconds=result.seconds,
        run_id=result.run_id,
        mode="full",
        reason=result.reason,
        status="complete",
        resumed=0,
    )
    assert result.reason
    assert 0 < result.seconds < 60
    assert findings(result) == {4: 3, 7: 1}
    run = ScanRun.objects.get(pk=result.run_id)
    assert run.status == ScanRun.Status.COMPLETE
    assert (run.relation, run.source_alias, run.target_alias) == (RELATION, "blog", "default")
    assert (run.strategy, run.orphans, run.distinct_keys) == ("gaps", 4, 2)
    assert run.seconds == result.seconds
    assert run.started_at <= run.finished_at
    assert run.last_error == ""


def test_as_dict():
    """What is handed out as JSON has these keys and no other."""
    entries(5)
    result = scan(relations.get(RELATION))
    assert json.loads(json.dumps(result.as_dict())) == {
        "relation": RELATION,
        "run": result.run_id,
        "mode": "full",
        "status": "complete",
        "source_alias": "blog",
        "target_alias": "default",
        "strategy": "gaps",
        "reason": result.reason,
        "orphans": 1,
        "distinct_keys": 1,
        "resumed": 0,
        "seconds": result.seconds,
    }


def test_clean_relation():
    """Without orphans the run is complete, without findings, and nothing is sent."""
    shelves(1)
    entries(1)
    sent = []
    signals.orphans_found.connect(lambda **kwargs: sent.append(kwargs), weak=False, dispatch_uid=1)
    try:
        result = scan(relations.get(RELATION))
    finally:
        signals.orphans_found.disconnect(dispatch_uid=1)
    assert (result.orphans, result.distinct_keys, findings(result)) == (0, 0, {})
    assert sent == []


def test_signal():
    """orphans_found tells relation, run and both numbers; a failing receiver harms nothing."""
    entries(3, 3)
    sent = []

    def receiver(**kwargs):
        sent.append(kwargs)
        raise RuntimeError("a receiver's own trouble")

    signals.orphans_found.connect(receiver, sender=Entry)
    try:
        result = scan(relations.get(RELATION))
    finally:
        signals.orphans_found.disconnect(receiver, sender=Entry)
    (kwargs,) = sent
    del kwargs["signal"]
    assert kwargs == {
        "sender": Entry,
        "relation": RELATION,
        "run": ScanRun.objects.get(pk=result.run_id),
        "orphans": 2,
        "distinct_keys": 1,
    }


def test_strategy_of_the_planner():
    """Integer keys are scanned by their gaps, all others by comparison or look-ups."""
    alike = ends.ordered_alike(*ends.of(relations.get("blog.Visit.device")))
    assert {
        handle: scan(relations.get(handle)).strategy
        for handle in (
            "blog.Post.author",
            "blog.Visit.member",
            "blog.Visit.badge",
            "archive.Entry.proxied",
            "blog.Visit.device",
            "blog.Visit.country",
            "archive.Entry.rate",
        )
    } == {
        "blog.Post.author": "gaps",
        "blog.Visit.member": "gaps",
        "blog.Visit.badge": "gaps",
        "archive.Entry.proxied": "gaps",
        "blog.Visit.device": "merge" if alike else "push",
        "blog.Visit.country": "push",
        "archive.Entry.rate": "push",
    }


def test_strategy_by_name():
    """A strategy that is named is taken."""
    entries(3)
    result = scan(relations.get(RELATION), strategy="merge")
    assert result.strategy == "merge"
    assert findings(result) == {3: 1}


def test_unknown_strategy():
    with pytest.raises(UnknownStrategy) as raised:
        scan(relations.get(RELATION), strategy="gap")
    assert str(raised.value) == (
        "There is no scan strategy 'gap'. Did you mean gaps? Known are bitmap, gaps, merge, push."
    )
    assert not ScanRun.objects.exists()


def test_unsuitable_strategy():
    with pytest.raises(UnsuitableStrategy) as raised:
        scan(relations.get("blog.Visit.device"), strategy="gaps")
    assert str(raised.value) == (
        "blog.Visit.device: strategy 'gaps' needs integer keys, and people.Device.id is not "
        "one. Use 'push', or name none."
    )
    assert not ScanRun.objects.exists()


@pytest.mark.parametrize("strategy", ["gaps", "bitmap", "merge", "push"])
def test_second_look(strategy):
    """A target inserted after its absence was read, with a source, is no orphan."""
    shelves(1, 10)
    entries(4)

    def insert():
        shelves(5)
        entries(5)

    with before("blog", Entry._meta.db_table, insert):
        result = scan(relations.get(RELATION), strategy=strategy)
    assert findings(result) == {4: 1}


def test_second_look_is_right_before_recording():
    """A target that comes after the sources were counted is seen as well."""
    shelves(1, 10)
    entries(4, 5)
    target = Shelf._meta.db_table
    seen = []

    def wrapper(execute, sql, params, many, context):
        seen.append(context["connection"].alias)
        if len(seen) > 1 and seen[-2] == "blog" and target in sql and len(seen) < 100:
            seen.extend([""] * 100)
            shelves(5)
        return execute(sql, params, many, context)

    with (
        connections["blog"].execute_wrapper(wrapper),
        connections["default"].execute_wrapper(wrapper),
    ):
        result = scan(relations.get(RELATION))
    assert len(seen) > 100
    assert findings(result) == {4: 1}


def test_row_deleted_between_windows(monkeypatch):
    """The gap that a window's first row leaves when it is deleted is probed as well.

    Where keys are thin, that is: the words of dense ones begin anywhere.
    """
    monkeypatch.setattr(targets, "SPAN", 1)
    monkeypatch.setattr(targets, "THIN", 0)
    monkeypatch.setattr(targets, "WINDOW", 3)
    monkeypatch.setattr(targets, "DENSE", 2)
    shelves(0, 1, 2, 3, 50, 51)
    entries(1, 3, 20, 50)
    statements = []

    def wrapper(execute, sql, params, many, context):
        if "LEAD(" in sql:
            statements.append(sql)
            if len(statements) == 2:
                compat.raw_delete(Shelf.objects.filter(number=3), "default")
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(wrapper):
        result = scan(relations.get(RELATION))
    assert findings(result) == {3: 1, 20: 1}


def test_statements_are_bounded(settings, monkeypatch):
    """However many gaps there are, no statement carries more than a chunk of keys."""
    monkeypatch.setattr(targets, "DENSE", 2)
    numbers = range(0, 600, 3)
    shelves(*numbers)
    entries(*range(600))
    longest = 0

    def wrapper(execute, sql, params, many, context):
        nonlocal longest
        if Entry._meta.db_table in sql:
            for param in params or ():
                if isinstance(param, list):
                    longest = max(longest, len(param))
                elif isinstance(param, str) and param.startswith("["):
                    longest = max(longest, len(json.loads(param)))
            longest = max(longest, len(params or ()))
        return execute(sql, params, many, context)

    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 40}
    with connections["blog"].execute_wrapper(wrapper):
        result = scan(relations.get(RELATION), strategy="gaps")
    assert result.distinct_keys == 400
    assert 0 < longest <= 40


def test_few_statements_for_many_gaps(django_assert_max_num_queries):
    """A thousand gaps are probed in a handful of statements on either side."""
    shelves(*(n for n in range(10_000) if n % 10))
    entries(5, 10, 10_001)
    relation = relations.get(RELATION)
    # Two for the gaps, two for what the column is; six for the horizon and the bound on
    # statements, whatever the size.
    with django_assert_max_num_queries(11, connection=connections["blog"]):
        result = scan(relation)
    assert findings(result) == {10: 1, 10_001: 1}


def test_progress():
    """Progress is told after every step, and ends with what was found."""
    shelves(1, 2, 3)
    entries(2, 7)
    steps = []
    scan(relations.get(RELATION), on_progress=steps.append)
    assert steps[-1] == Progress(RELATION, steps[-1].seen, 1)
    assert [step.distinct_keys for step in steps] == sorted(step.distinct_keys for step in steps)


@pytest.mark.parametrize("strategy", ["gaps", "bitmap", "merge", "push"])
def test_findings_are_recorded_as_they_come(settings, monkeypatch, strategy):
    """What was found before a failure stays, with a run that says that it failed."""
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 5}
    monkeypatch.setattr(sources, "PAGE", 5)
    entries(*range(20))
    steps = []

    def interrupt(progress):
        steps.append(progress)
        if progress.distinct_keys >= 10:
            raise KeyboardInterrupt("enough")

    with pytest.raises(KeyboardInterrupt):
        scan(relations.get(RELATION), strategy=strategy, on_progress=interrupt)
    run = ScanRun.objects.get()
    assert run.status == ScanRun.Status.FAILED
    assert run.last_error == "KeyboardInterrupt: enough"
    assert run.finished_at is not None
    assert run.findings.count() == steps[-1].distinct_keys
    assert 10 <= steps[-1].distinct_keys < 20


def test_failing_source_database():
    """An error of a database is recorded with the run, and raised."""

    def fail(execute, sql, params, many, context):
        if "xdbrel_key" in sql:
            raise DatabaseError("the disk is full")
        return execute(sql, params, many, context)

    shelves(1)
    with (
        connections["blog"].execute_wrapper(fail),
        pytest.raises(DatabaseError, match="the disk is full"),
    ):
        scan(relations.get(RELATION))
    run = ScanRun.objects.get()
    assert run.status == ScanRun.Status.FAILED
    assert run.last_error == "DatabaseError: the disk is full"


def test_keys_of_every_kind_are_recorded():
    """A finding's key is what JSON carries, and is read back as the key that it was."""
    device, other = Device(), Device()
    device.save()
    Visit.objects.create(device_id=device.pk)
    Visit.objects.create(device_id=other.pk)
    entries(2**62, -(2**62))
    Topic.objects.create(slug="here")
    Entry.objects.create(topic_id='a "quoted" \\ näme %s')
    Entry.objects.create(rate_id="1.50")
    Entry.objects.create(day_id="2024-02-29")
    expected = {
        "blog.Visit.device": [other.pk],
        RELATION: [-(2**62), 2**62],
        "archive.Entry.topic": ['a "quoted" \\ näme %s'],
    }
    for handle, wanted in expected.items():
        relation = relations.get(handle)
        found = keys.decode(findings(scan(relation)), relation.target_field)
        assert sorted(found) == wanted
    assert list(findings(scan(relations.get("archive.Entry.rate")))) == ["1.50"]
    assert list(findings(scan(relations.get("archive.Entry.day")))) == ["2024-02-29"]


def test_hidden_rows_count():
    """A default manager that hides targets does not make orphans of their sources."""
    Box.objects.create(number=3, lid=True)
    assert not Box.objects.exists()
    Entry.objects.create(box_id=3)
    assert scan(relations.get("archive.Entry.box")).orphans == 0


def test_runs_uncached(monkeypatch):
    """Every statement of a scan runs while caching is switched off."""
    inside = []

    @contextmanager
    def uncached():
        inside.append(True)
        try:
            yield
        finally:
            inside.pop()

    monkeypatch.setattr("xdbrel.integrity.scan.uncached", uncached)
    outside = []

    def wrapper(execute, sql, params, many, context):
        if not inside:
            outside.append(sql)
        return execute(sql, params, many, context)

    entries(1)
    with (
        connections["blog"].execute_wrapper(wrapper),
        connections["default"].execute_wrapper(wrapper),
    ):
        scan(relations.get(RELATION))
    assert outside == []


class ToReplica:
    """A router that reads from somewhere else than it writes."""

    def db_for_read(self, model, **hints):
        return "shop"


def test_never_reads_a_replica(settings):
    """Both ends are read where they are written, whatever the routers say of reading."""
    settings.DATABASE_ROUTERS = [ToReplica(), *settings.DATABASE_ROUTERS]
    asked = []

    def wrapper(execute, sql, params, many, context):
        asked.append(sql)
        return execute(sql, params, many, context)

    with connections["shop"].execute_wrapper(wrapper):
        result = scan(relations.get("blog.Post.author"))
    assert (result.source_alias, result.target_alias) == ("blog", "default")
    assert asked == []


def test_integrity_database(settings):
    """Runs and findings are kept in the database that the settings name."""
    settings.XDBREL = {**settings.XDBREL, "INTEGRITY_DATABASE": "shop"}
    Post.objects.create(title="x", author_id=5)
    result = scan(relations.get("blog.Post.author"))
    run = ScanRun.objects.using("shop").get(pk=result.run_id)
    assert list(run.findings.values_list("key", "sources")) == [(5, 1)]
    assert not ScanRun.objects.using("default").exists()
