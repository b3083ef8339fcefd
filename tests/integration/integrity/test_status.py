"""xdbrel_status: last scans, orphans then and now, what waits, and the exit status."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connections
from django.utils import timezone

from tests.apps.blog.models import Post
from tests.integration.integrity.test_commands import run
from xdbrel import relations
from xdbrel.cascade import clock
from xdbrel.integrity import heartbeats
from xdbrel.integrity.repair import repair
from xdbrel.integrity.scan import scan
from xdbrel.integrity.status import status
from xdbrel.management.commands import xdbrel_status
from xdbrel.models import CascadeIntent, Heartbeat, RepairRun, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

HANDLE = "blog.Post.author"
GONE = 10**6


def scanned(orphans):
    """Scan with so many orphans."""
    Post.objects.all().delete()
    Post.objects.bulk_create([Post(title="x", author_id=GONE + n) for n in range(orphans)])
    return scan(relations.get(HANDLE))


def one():
    return status([HANDLE]).relations[0]


def test_never_scanned():
    found = one()
    assert (found.full, found.orphans, found.direction) == (None, None, "")
    assert found.problems == ["was never scanned to the end"]


def test_orphans_then_and_now():
    """What was found, what is left after repairs, and where it goes."""
    for orphans in (1, 2, 3, 4, 5, 6):
        scanned(orphans)
    found = one()
    assert (found.orphans_before, found.orphans, found.direction) == (5, 6, "up")
    assert found.trend == [2, 3, 4, 5, 6]
    repair(relations.get(HANDLE), "delete", max_rows=2)
    repair(relations.get(HANDLE), "report")
    repair(relations.get(HANDLE), "quarantine", dry_run=True)
    found = one()
    assert (found.repaired, found.orphans, found.direction) == (2, 4, "down")
    assert found.repairs == {"stopped": 1, "complete": 2}
    assert (found.last_repair.policy, found.last_repair.dry_run) == ("quarantine", True)
    assert found.problems == ["has 4 orphans"]
    scanned(0)
    assert (one().orphans, one().problems) == (0, [])


def test_runs():
    """The last complete run of each kind, and the last of all, whatever came of it."""
    result = scanned(1)
    now = timezone.now()
    ScanRun.objects.update(started_at=now - timedelta(seconds=10))
    for mode, state, ago in (
        ("incremental", "complete", 1),
        ("sample", "complete", 0),
        ("full", "failed", 0),
    ):
        last = ScanRun.objects.create(
            relation=HANDLE,
            source_alias="blog",
            target_alias="default",
            mode=mode,
            status=state,
            started_at=now - timedelta(seconds=ago),
            last_error="OperationalError: away" if state == "failed" else "",
        )
    found = one()
    assert (found.full.run, found.full.orphans) == (result.run_id, 1)
    assert (found.incremental.mode, found.last.run) == ("incremental", last.pk)
    assert (found.orphans, found.orphans_before) == (0, 1)
    assert found.scans == {"complete": 3, "failed": 1}
    assert found.problems == [f"run {last.pk} failed: OperationalError: away"]


def test_backlog_and_repairs_that_failed():
    scanned(0)
    late = clock.read("default") - timedelta(days=1)
    CascadeIntent.objects.create(relation=HANDLE, keys=[1], created_at=late)
    CascadeIntent.objects.create(relation=HANDLE, keys=[2], status="set_aside")
    RepairRun.objects.create(
        relation=HANDLE, policy="delete", status="failed", last_error="ProtectedError: no"
    )
    found = one()
    assert (found.backlog.depth, found.backlog.set_aside) == (1, 1)
    pk = RepairRun.objects.get().pk
    assert found.problems == [
        f"repair {pk} failed: ProtectedError: no",
        "1 intents wait, and are late",
        "1 intents were set aside",
    ]


def test_a_database_that_does_not_answer():
    def away(execute, sql, params, many, context):
        raise OperationalError("gone away")

    with connections["shop"].execute_wrapper(away):
        report = status()
    assert report.problems["shop"] == ["cannot be asked: OperationalError: gone away"]


def test_how_many_queries(django_assert_num_queries):
    """It does not matter how many relations and how many runs there are."""
    scanned(1)
    for _ in range(3):
        scan(relations.get("shop.Order.customer"))
    repair(relations.get(HANDLE), "report")
    connections["default"].ensure_connection()
    numbers = set()
    for handles in ([HANDLE], []):
        with connections["default"].execute_wrapper(counter := Counter()):
            status(handles)
        numbers.add(counter.statements)
    assert numbers == {max(numbers)}
    assert max(numbers) <= 12


class Counter:
    statements = 0

    def __call__(self, execute, sql, params, many, context):
        self.statements += 1
        return execute(sql, params, many, context)


def test_json():
    """Everything that the text says and more, times in ISO format."""
    scanned(2)
    Heartbeat.objects.create(work="relay", ran_at=timezone.now(), worker="w:1")
    code, out, _ = run(xdbrel_status, HANDLE, "--format", "json")
    report = json.loads(out)
    (found,) = report["relations"]
    assert (code, report["clean"]) == (1, False)
    assert (found["relation"], found["orphans"]) == (HANDLE, 2)
    assert (found["source_alias"], found["target_alias"]) == ("blog", "default")
    assert found["full"]["started_at"] == ScanRun.objects.get().started_at.isoformat()
    assert found["problems"] == ["has 2 orphans"]
    assert report["heartbeats"][0]["worker"] == "w:1"


def test_text():
    scanned(2)
    User.objects.create(pk=GONE, username="back")
    now = timezone.now()
    for work in heartbeats.WORKS:
        Heartbeat.objects.create(work=work, ran_at=now - timedelta(seconds=500), worker="w:1")
    scan(relations.get(HANDLE))
    code, out, _ = run(xdbrel_status, HANDLE)
    header, line, *rest = out.splitlines()
    assert header.split("  ")[0] == "RELATION"
    handle, seconds, *others = line.split()
    assert (handle, int(seconds) < 60) == (HANDLE, True)
    assert others == ["s", "ago", "never", "2", "1", "down", "0"]
    assert rest == [
        *(f"{work}: last done 8 min ago by w:1" for work in sorted(heartbeats.WORKS)),
        f"{HANDLE}: has 1 orphans",
    ]
    assert code == 1
    scanned(0)
    code, out, _ = run(xdbrel_status, HANDLE)
    assert code == 0


def test_workers():
    """Work that no worker does any more is a problem; where none ever ran, a warning."""
    scanned(0)
    report = status([HANDLE])
    assert report.clean
    assert report.warnings == [
        "No worker has run yet: is there one, or something else that does its work?"
    ]
    ran_at = timezone.now()
    for work in heartbeats.WORKS:
        Heartbeat.objects.create(work=work, ran_at=ran_at)
    report = status([HANDLE])
    assert (report.clean, report.warnings) == (True, [])
    ran_at -= timedelta(days=30)
    Heartbeat.objects.filter(work="relay").update(ran_at=ran_at)
    Heartbeat.objects.filter(work="prune").delete()
    assert status([HANDLE]).problems == {
        "workers": [
            f"nobody has done 'relay' since {ran_at:%Y-%m-%d %H:%M}",
            "nobody has done 'prune' ever",
        ]
    }


def test_unknown_relation():
    code, _, err = run(xdbrel_status, "blog.Post.autor")
    assert code == 2
    assert "Did you mean blog.Post.author" in err
