"""manage.py xdbrel_prune."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.utils import timezone

from xdbrel import relations
from xdbrel.cascade import clock
from xdbrel.integrity.repair import repair
from xdbrel.integrity.scan import scan
from xdbrel.models import CascadeIntent, RepairRun, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")


NO_HISTORY = "Deleted 0 old scans with 0 findings and 0 old repairs.\n"


def run(*arguments):
    """Run the command; return exit status, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command("xdbrel_prune", *arguments, stdout=out, stderr=err)
    except SystemExit as error:
        status = error.code
    return status, out.getvalue(), err.getvalue()


@pytest.fixture
def finished():
    """Three intents that were finished two days ago in default, and one in blog."""
    for using, number in (("default", 3), ("blog", 1)):
        moment = clock.read(using) - timedelta(days=2)
        for _ in range(number):
            CascadeIntent.objects.using(using).create(
                relation="blog.Post.author", keys=[1], status="confirmed", applied_at=moment
            )


def left():
    return [CascadeIntent.objects.using(alias).count() for alias in ("default", "blog")]


def test_text(finished):
    """The settings keep intents for a week; a number of days comes before them."""
    assert run() == (
        0,
        "Deleted 0 finished intents in default.\n"
        "Deleted 0 finished intents in blog.\n"
        "Deleted 0 finished intents in shop.\n" + NO_HISTORY,
        "",
    )
    assert run("--older-than", "1.5")[1] == (
        "Deleted 3 finished intents in default.\n"
        "Deleted 1 finished intents in blog.\n"
        "Deleted 0 finished intents in shop.\n" + NO_HISTORY
    )
    assert left() == [0, 0]


def test_dry_run(finished):
    status, out, _ = run("--older-than", "1", "--dry-run", "--database", "default")
    assert status == 0
    assert out == (
        "Would delete 3 finished intents in default.\n"
        "Would delete 0 old scans with 0 findings and 0 old repairs.\n"
    )
    assert left() == [3, 1]


def test_database(finished):
    assert run("--older-than", "0", "--database", "blog")[1] == (
        "Deleted 1 finished intents in blog.\n"
    )
    assert left() == [3, 0]


def test_json(finished):
    status, out, err = run("--older-than", "1", "--format", "json")
    assert json.loads(out) == {
        "dry_run": False,
        "intents": {"default": 3, "blog": 1, "shop": 0},
        "unreachable": {},
        "history": {
            "dry_run": False,
            "runs": 0,
            "findings": 0,
            "repairs": 0,
            "unreachable": "",
        },
    }
    assert (status, err) == (0, "")


def test_a_database_that_does_not_answer(finished):
    """It is named with its error, and the exit status is 1; the others are pruned."""

    def away(execute, sql, params, many, context):
        raise OperationalError("gone away")

    with connections["default"].execute_wrapper(away):
        status, out, _ = run("--older-than", "1")
    assert out == (
        "Deleted 1 finished intents in blog.\n"
        "Deleted 0 finished intents in shop.\n"
        "default did not answer: OperationalError: gone away\n"
        "The history could not be pruned: OperationalError: gone away\n"
    )
    assert status == 1
    assert left() == [3, 0]


def test_history():
    """Old scans and repairs go, by an age of their own; the last complete scan stays."""
    old = timezone.now() - timedelta(days=60)
    for _ in range(2):
        scan(relations.get("blog.Post.author"))
        repair(relations.get("blog.Post.author"), "report")
    ScanRun.objects.update(started_at=old)
    RepairRun.objects.update(started_at=old)
    assert run()[1].endswith(NO_HISTORY)
    _, out, _ = run("--history-older-than", "30", "--database", "default")
    assert out.endswith("Deleted 1 old scans with 0 findings and 2 old repairs.\n")
    assert (ScanRun.objects.count(), RepairRun.objects.count()) == (1, 0)


def test_an_unknown_database():
    assert run("--database", "nowhere") == (
        2,
        "",
        "There is no database 'nowhere'; there are: default, blog, shop.\n",
    )


@pytest.mark.parametrize("days", ["-1", "many", "nan", "1e9"])
def test_what_is_no_number_of_days(finished, days):
    with pytest.raises(CommandError) as caught:
        run(f"--older-than={days}")
    assert str(caught.value) == (
        f"Error: argument --older-than: not a number of days from 0 to 100,000: {days!r}"
    )
    assert left() == [3, 1]
