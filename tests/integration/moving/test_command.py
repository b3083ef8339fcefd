"""manage.py xdbrel_move: output, exit status, options."""

import json

import pytest

from tests.apps.wagons.models import Depot, Wagon
from tests.integration.integrity.test_commands import Terminal, run
from xdbrel.management.commands import xdbrel_move

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


def moved(*arguments, stderr=None):
    return run(xdbrel_move, *arguments, stderr=stderr)


def test_text():
    """What was moved, table by table."""
    Depot.objects.create(code="1")
    status, out, err = moved("wagons.Depot", "--to", "blog", "--dry-run")
    assert (status, out, err) == (
        0,
        "Would move 1 rows from default to blog\n  wagons.Depot: 1\n",
        "",
    )
    assert Depot.objects.using("default").count() == 1
    status, out, err = moved("wagons.Depot", "--to", "blog")
    assert (status, err) == (0, "")
    first, second, note = out.splitlines()
    assert first.startswith("Moved 1 rows from default to blog (move ")
    assert second.startswith("  wagons.Depot: 1, checksum ")
    assert note.startswith("The routers still send wagons.Depot to 'default'")
    assert Depot.objects.using("blog").count() == 1


def test_json():
    """All of the result, and nothing else on standard output."""
    Wagon.objects.create(number="1")
    status, out, _ = moved("wagons.Wagon", "--to", "blog", "--keep-source", "--format", "json")
    result = json.loads(out)
    assert status == 0
    assert result["status"] == "kept"
    assert result["counts"] == {"wagons.Wagon": 1, "wagons.Tanker": 0, "wagons.Wagon_tags": 0}
    assert set(result["checksums"]) == set(result["counts"])
    assert result["left_crossing"] == ["wagons.Ride.wagon"]
    status, out, _ = moved("wagons.Wagon", "--abandon", "--dry-run")
    assert out.startswith("Would take back 1 rows from blog (move ")
    status, out, _ = moved("wagons.Wagon", "--abandon")
    assert out.startswith("Took back 1 rows from blog (move ")


def test_collisions():
    """What is in the way exits with 1, in a dry run as well."""
    Depot.objects.create(pk=1, code="1")
    Depot.objects.using("blog").create(pk=1, code="2")
    status, out, _ = moved("wagons.Depot", "--to", "blog", "--dry-run")
    assert status == 1
    assert out.endswith(
        "In the way:\n  wagons.Depot: rows of key 1 have the same primary key in 'blog'\n"
    )
    status, out, err = moved("wagons.Depot", "--to", "blog")
    assert (status, out) == (1, "")
    assert "nothing was written" in err
    status, out, _ = moved("wagons.Depot", "--to", "blog", "--renumber")
    assert "1 rows of wagons.Depot were given new keys" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wagons.Nothing", "--to", "blog"], "There is no model 'wagons.Nothing'."),
        (["wagons.Depot"], "Say where the rows go: --to ALIAS."),
        (["wagons.Depot", "--to", "nowhere"], "there is no database 'nowhere'"),
        (["wagons.Depot", "--to", "blog", "--from", "nowhere"], "There is no database 'nowhere'."),
        (["wagons.Depot", "--to", "default"], "The routers send it there already"),
        (["wagons.Depot", "--to", "blog", "--where", "code"], "Not LOOKUP=VALUE: 'code'."),
        (["wagons.Depot", "--to", "blog", "--where", "no=1"], "--where no=1: Cannot resolve"),
        (
            ["wagons.Depot", "wagons.Tag", "--to", "blog", "--where", "code=1"],
            "--where is for a single MODEL.",
        ),
        (["wagons.Depot", "--resume"], "no unfinished move stands in database 'default'"),
        (["wagons.Depot", "--abandon"], "no unfinished move stands in database 'default'"),
        (["wagons.Depot", "--to", "blog", "--along", "x"], "there is no model 'x'"),
    ],
)
def test_usage(arguments, message):
    """A wrong call exits with 2 and says what is wrong."""
    status, out, err = moved(*arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_where_and_resume():
    """A part of the rows; an unfinished move is gone on with as it was begun."""
    for code in ("a1", "a2", "b1"):
        Depot.objects.create(code=code)
    status, _, _ = moved(
        "wagons.Depot", "--to", "blog", "--where", "code__startswith=a", "--keep-source"
    )
    assert status == 0
    status, _, err = moved("wagons.Depot", "--to", "blog")
    assert status == 1
    assert "is not finished" in err
    status, out, _ = moved("wagons.Depot", "--resume")
    assert status == 0
    assert out.startswith("Moved 2 rows")
    assert Depot.objects.using("default").get().code == "b1"


def test_progress():
    """Somebody who watches sees how far it is."""
    Depot.objects.create(code="1")
    terminal = Terminal()
    moved("wagons.Depot", "--to", "blog", stderr=terminal)
    shown = terminal.getvalue()
    for step in ("copy", "verify", "remove"):
        assert f"{step} wagons.Depot: 1 rows" in shown
