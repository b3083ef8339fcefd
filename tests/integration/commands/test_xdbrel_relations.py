"""manage.py xdbrel_relations."""

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line

from xdbrel import relations


def run(*args):
    """Return what the command writes: data, prose."""
    out, err = io.StringIO(), io.StringIO()
    call_command("xdbrel_relations", *args, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


class Nowhere:
    """Lets people live nowhere."""

    def allow_migrate(self, db, app_label, **hints):
        return False if app_label == "people" else None


def test_json():
    """A list of objects on stdout, one for each relation, and nothing on stderr."""
    out, err = run("--format", "json")
    rows = {row["handle"]: row for row in json.loads(out)}
    assert list(rows) == [relation.handle for relation in relations.all_relations()]
    assert rows["blog.Visit.badge"] == {
        "handle": "blog.Visit.badge",
        "source": "blog.Visit",
        "target": "people.Badge",
        "source_home": "blog",
        "target_home": "default",
        "policy": "CASCADE",
        "crosses": True,
        "verify": False,
        "dangling": "raise",
        "to_field": "number",
        "error": None,
    }
    assert rows["blog.Strict.person"]["verify"] is True
    assert rows["blog.Lenient.author"]["dangling"] == "none"
    assert rows["blog.Branch.parent"]["crosses"] is False
    assert err == ""


def test_table():
    """Columns are aligned; options are named where they are not the usual ones."""
    out, err = run()
    lines = out.splitlines()
    assert re.sub(" {2,}", "|", lines[0]) == (
        "relation|target|source home|target home|crosses|policy|options"
    )
    by_handle = {line.split()[0]: line for line in lines[1:]}
    start = lines[0].index("target")
    for handle, line in by_handle.items():
        assert line[start:].split()[0] == relations.get(handle).target._meta.label
    assert by_handle["blog.Visit.badge"].split()[1:] == [
        "people.Badge",
        "blog",
        "default",
        "yes",
        "CASCADE",
        "to_field=number",
    ]
    assert by_handle["blog.Branch.parent"].split()[4] == "no"
    assert by_handle["blog.Lenient.author"].endswith("dangling=none")
    assert by_handle["blog.Strict.person"].endswith("verify")
    assert by_handle["blog.Visit.country"].endswith("CASCADE")
    assert err == ""


def test_home_that_nobody_knows(settings):
    """One unknown home hides no other relation; it is named, and the status is 1."""
    settings.DATABASE_ROUTERS = [Nowhere(), "xdbrel.routers.HomeRouter"]
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("xdbrel_relations", "--format", "json", stdout=out)
    assert caught.value.returncode == 1
    assert "blog.Strict.person" in str(caught.value)
    assert "blog.Post.author" not in str(caught.value)
    rows = {row["handle"]: row for row in json.loads(out.getvalue())}
    broken = rows["blog.Strict.person"]
    assert (broken["source_home"], broken["target_home"]) == ("blog", None)
    assert broken["crosses"] is None
    assert broken["error"].startswith("The home of people.Person is not known: no router names")
    assert rows["blog.Post.author"]["error"] is None
    assert len(rows) == len(relations.all_relations())


def test_home_that_nobody_knows_in_the_table(settings):
    """The table has the error in the row of its relation."""
    settings.DATABASE_ROUTERS = [Nowhere(), "xdbrel.routers.HomeRouter"]
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"^A home is not known for: .*blog\.Strict\.person"):
        call_command("xdbrel_relations", stdout=out)
    (line,) = [line for line in out.getvalue().splitlines() if line.startswith("blog.Strict.")]
    assert line.split()[1:5] == ["people.Person", "blog", "?", "?"]
    assert "The home of people.Person is not known" in line


def test_no_system_checks(settings, capsys):
    """The list is there to find out what a check complains about."""
    settings.XDBREL = {**settings.XDBREL, "HOMESS": {}}
    execute_from_command_line(["manage.py", "xdbrel_relations"])
    assert "blog.Post.author" in capsys.readouterr().out


def test_no_relations(monkeypatch):
    """Nothing to list is said on stderr; JSON is an empty list."""
    monkeypatch.setattr(relations, "_fields", lambda: iter(()))
    assert run() == ("", "No installed model has a cross-database relation.\n")
    assert run("--format", "json") == ("[]\n", "")


def test_unknown_format():
    """A format that is none is a usage error."""
    with pytest.raises(CommandError, match="invalid choice: 'xml'"):
        run("--format", "xml")
