"""xdbrel_scan and xdbrel_repair: what goes to which stream, and the exit status."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.utils import timezone

from tests.apps.archive.models import Entry, Shelf
from tests.apps.blog.models import Post
from xdbrel.integrity.confirm import confirm
from xdbrel.management.commands import xdbrel_repair, xdbrel_scan
from xdbrel.models import RepairRun, ScanLease, ScanRun
from xdbrel.relations import all_relations

pytestmark = pytest.mark.django_db(databases="__all__")

RELATION = "archive.Entry.shelf"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(module, *arguments, stderr=None):
    """Run a command as manage.py does; return exit status, stdout and stderr."""
    out, err = io.StringIO(), stderr or io.StringIO()
    command = module.Command(stdout=out, stderr=err)
    command.requires_system_checks = []
    status = 0
    name = module.__name__.rpartition(".")[2]
    try:
        # connections.close_all() at the end is for processes, not for a test's transaction.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("django.core.management.base.connections.close_all", lambda: None)
            command.run_from_argv(["manage.py", name, *arguments, "--no-color"])
    except SystemExit as error:
        status = error.code
    return status, out.getvalue(), err.getvalue()


def test_json():
    """Standard output is a list of results and nothing else; findings exit with 1."""
    Shelf.objects.create(number=1)
    Entry.objects.bulk_create([Entry(shelf_id=key) for key in (1, 2, 2, 3)])
    status, out, err = run(xdbrel_scan, RELATION, "--format", "json")
    (result,) = json.loads(out)
    assert isinstance(result.pop("seconds"), float)
    assert result.pop("reason")
    assert result == {
        "relation": RELATION,
        "run": ScanRun.objects.get().pk,
        "mode": "full",
        "status": "complete",
        "resumed": 0,
        "source_alias": "blog",
        "target_alias": "default",
        "strategy": "gaps",
        "orphans": 3,
        "distinct_keys": 2,
    }
    assert (status, err) == (1, "")


def test_all_relations():
    """Without a name every relation is scanned; a clean scan exits with 0."""
    status, out, err = run(xdbrel_scan, "--format", "json")
    assert [result["relation"] for result in json.loads(out)] == [
        relation.handle for relation in all_relations()
    ]
    assert (status, err) == (0, "")


def test_text():
    """People get a table, with a line for the whole."""
    Entry.objects.bulk_create([Entry(shelf_id=key) for key in range(1200)])
    status, out, err = run(xdbrel_scan, RELATION, "archive.Entry.topic")
    head, first, second, last = out.splitlines()
    assert head.split("  ")[0] == "RELATION"
    assert "SOURCES IN  TARGETS IN  STRATEGY  ORPHANS" in head
    assert first.split()[:6] == [RELATION, "blog", "default", "gaps", "1,200", "1,200"]
    assert second.split()[:6] == ["archive.Entry.topic", "blog", "default", "push", "0", "0"]
    assert len(head) == len(first) == len(second)
    assert last == "1,200 orphans in 1 of 2 relations"
    assert (status, err) == (1, "")


def test_text_when_clean():
    status, out, _ = run(xdbrel_scan, RELATION)
    assert out.splitlines()[-1] == "No orphans in 1 relations"
    assert status == 0


def test_strategy():
    status, out, _ = run(xdbrel_scan, RELATION, "--strategy", "merge", "--format", "json")
    assert json.loads(out)[0]["strategy"] == "merge"
    assert status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["archive.Entry.shlf"],
            "CommandError: There is no cross-database relation 'archive.Entry.shlf'. Did you "
            "mean archive.Entry.shelf",
        ),
        (
            [RELATION, "--strategy", "gap"],
            "CommandError: There is no scan strategy 'gap'. Did you mean gaps? Known are bitmap, "
            "gaps, merge, push.\n",
        ),
        (
            ["archive.Entry.topic", "--strategy", "gaps"],
            "CommandError: archive.Entry.topic: strategy 'gaps' needs integer keys, and "
            "archive.Topic.slug is not one. Use 'push', or name none.\n",
        ),
    ],
)
def test_usage_errors(arguments, message):
    """What cannot be done exits with 2, says why on standard error, and scans nothing."""
    status, out, err = run(xdbrel_scan, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(message)
    assert not ScanRun.objects.exists()


@pytest.mark.parametrize("module", [xdbrel_scan, xdbrel_repair])
def test_unknown_options(module, capsys):
    """argparse exits with 2 as well."""
    status, _, _ = run(module, RELATION, "--format", "xml")
    assert status == 2
    assert "invalid choice: 'xml'" in capsys.readouterr().err


def test_unknown_relation_among_others_scans_nothing():
    """A misspelt name is found out before the first scan."""
    status, _, _ = run(xdbrel_scan, RELATION, "archive.Entry.nothing")
    assert status == 2
    assert not ScanRun.objects.exists()


def test_progress_on_a_terminal():
    """Progress goes to standard error, and only to a terminal."""
    Entry.objects.create(shelf_id=1)
    status, out, err = run(xdbrel_scan, RELATION, "--format", "json", stderr=Terminal())
    assert status == 1
    assert json.loads(out)
    assert err.endswith("keys looked at, 1 orphaned\n")
    assert err.startswith(f"\r{RELATION}: ")


def test_call_command():
    """call_command() returns whatever was found: the exit status is for processes."""
    Entry.objects.create(shelf_id=1)
    out = io.StringIO()
    call_command("xdbrel_scan", RELATION, format="json", stdout=out)
    assert json.loads(out.getvalue())[0]["orphans"] == 1
    with pytest.raises(CommandError) as raised:
        call_command("xdbrel_scan", "a.B.c")
    assert raised.value.returncode == 2


def scanned():
    Entry.objects.bulk_create([Entry(shelf_id=key) for key in (1, 1, 2)])
    call_command("xdbrel_scan", RELATION, stdout=OutputWrapper(io.StringIO()))
    return ScanRun.objects.get().pk


def test_repair_json():
    run_id = scanned()
    status, out, err = run(xdbrel_repair, RELATION, "--policy", "set_null", "--format", "json")
    result = json.loads(out)
    assert isinstance(result.pop("seconds"), float)
    record = RepairRun.objects.get()
    assert result == {
        "relation": RELATION,
        "policy": "set_null",
        "dry_run": False,
        "run": run_id,
        "repair": record.pk,
        "token": record.options["repair"],
        "source_alias": "blog",
        "target_alias": "default",
        "keys": 2,
        "healed": 0,
        "left": 0,
        "rows": 3,
        "counts": {"archive.Entry": 3},
        "stopped": False,
        "resumed": False,
    }
    assert (status, err) == (0, "")
    assert not Entry.objects.exclude(shelf=None).exists()


@pytest.mark.parametrize(
    ("arguments", "line", "status"),
    [
        (["delete"], "3 rows with 2 keys deleted in blog", 0),
        (["set_null"], "3 rows with 2 keys set to null in blog", 0),
        (["report"], "3 rows with 2 keys orphaned in blog", 1),
        (["delete", "--dry-run"], "3 rows with 2 keys would be deleted in blog", 1),
        (["set_null", "--dry-run"], "3 rows with 2 keys would be set to null in blog", 1),
    ],
)
def test_repair_text(arguments, line, status):
    """People read what was done or would be; orphans that are left exit with 1."""
    run_id = scanned()
    answer, out, err = run(xdbrel_repair, RELATION, "--policy", *arguments)
    assert out.splitlines()[0] == f"{RELATION}: {line} (run {run_id})"
    assert (answer, err) == (status, "")


def test_repair_tells_what_healed():
    scanned()
    confirm(ScanRun.objects.get())
    Shelf.objects.create(number=1)
    _, out, _ = run(xdbrel_repair, RELATION, "--policy", "delete")
    assert out.splitlines()[1:] == [
        "1 keys have a target in default again",
        "  archive.Entry: 1",
    ]


def test_repair_without_scan():
    status, out, err = run(xdbrel_repair, RELATION, "--policy", "delete")
    assert (status, out) == (2, "")
    assert err == (
        f"CommandError: {RELATION} has no complete scan in database 'default', so there are "
        f'no findings to repair. Run "manage.py xdbrel_scan {RELATION}" first.\n'
    )


def test_repair_of_unknown_relation():
    status, _, err = run(xdbrel_repair, "archive.Entry.shelv", "--policy", "delete")
    assert status == 2
    assert "Did you mean archive.Entry.shelf" in err


def test_repair_that_is_not_possible():
    Post.objects.create(title="x", author_id=1)
    status, _, err = run(xdbrel_repair, "blog.Post.author", "--policy", "set_null")
    assert status == 2
    assert err.startswith("CommandError: blog.Post.author: policy 'set_null' is not possible")


def test_incremental():
    """What has changed is looked at where that is known, and all of it where it is not."""
    Entry.objects.create(shelf_id=1)
    assert json.loads(run(xdbrel_scan, RELATION, "--incremental", "--format", "json")[1])[0][
        "reason"
    ].endswith("; full, since there is no complete scan to build on")
    modes = [
        json.loads(run(xdbrel_scan, RELATION, flag, "--format", "json")[1])[0]["mode"]
        for flag in ("--auto", "--full")
    ]
    assert modes[1] == "full"


def test_sample():
    """An estimate has its bounds, and findings of no run."""
    Shelf.objects.create(number=1)
    Entry.objects.bulk_create([Entry(shelf_id=key % 2) for key in range(10)])
    status, out, _ = run(xdbrel_scan, RELATION, "--sample", "10")
    head, line = out.splitlines()
    assert head.split() == [
        *("RELATION", "SOURCES", "IN", "TARGETS", "IN"),
        *("SAMPLED", "ORPHANED", "SHARE", "BOUNDS"),
    ]
    assert line.split() == [
        *(RELATION, "blog", "default", "10", "5", "50.000%"),
        *("23.659%", "to", "76.341%"),
    ]
    assert status == 1


def test_confirm(settings):
    """The second look says what it found, or what it waits for."""
    Entry.objects.create(shelf_id=1)
    assert run(xdbrel_scan, RELATION, "--confirm")[0] == 2
    run_id = scanned_once()
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 3600.0}
    status, out, _ = run(xdbrel_scan, RELATION, "--confirm")
    assert out.startswith(f"{RELATION}: run {run_id} is not confirmed: its time has not come, ")
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 0.0}
    status, out, _ = run(xdbrel_scan, RELATION, "--confirm")
    assert out == (
        f"{RELATION}: run {run_id} is confirmed, 1 orphans with 1 keys; 0 keys had healed\n"
    )
    assert status == 1


def scanned_once():
    call_command("xdbrel_scan", RELATION, stdout=OutputWrapper(io.StringIO()))
    return ScanRun.objects.get().pk


def test_being_scanned():
    """Who comes second is told so, and exits with 2."""
    scanned_once()
    ScanLease.objects.create(
        relation=RELATION,
        run=ScanRun.objects.get(),
        claimed_by="elsewhere:7:x",
        until=timezone.now() + timedelta(minutes=5),
    )
    status, out, err = run(xdbrel_scan, RELATION)
    assert (status, out) == (2, "")
    assert f"{RELATION} is being scanned by process 7 on elsewhere (run " in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-load", "2"], "not a number from 0.001 to 1: '2'"),
        (["--keys-per-second", "0"], "not a whole number of 1 or more: '0'"),
        (["--sample", "x"], "not a whole number of 1 or more: 'x'"),
        (["--full", "--incremental"], "not allowed with argument"),
    ],
)
def test_options_that_make_no_sense(arguments, message, capsys):
    assert run(xdbrel_scan, RELATION, *arguments)[0] == 2
    assert message in capsys.readouterr().err
