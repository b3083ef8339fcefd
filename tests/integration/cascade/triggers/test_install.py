"""Triggers made, left, replaced and removed; drift both ways; the command that says so."""

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections, models

from tests.apps.people.models import Badge, Country
from tests.integration.cascade.triggers.conftest import run, table, written
from xdbrel import relations
from xdbrel.cascade.triggers import captures, drift
from xdbrel.cascade.triggers.install import State, install, remove
from xdbrel.checks import triggers as checks
from xdbrel.models import CascadeIntent
from xdbrel.relations import all_relations

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

VENDOR = connections["default"].vendor
POSTGRESQL = VENDOR == "postgresql"
EVERY = ["default", "blog", "shop"]
ONE = ["blog.Visit.badge"]


def states(found):
    return {state.state for state in served(found)}


def served(found):
    """Leave out the relations over several columns, of which a trigger writes no key down."""
    return [
        state
        for state in found
        if not (state.state == "unsupported" and relations.get(state.relations[0]).is_composite)
    ]


def command(*args, **options):
    """Run the command; return what it wrote and the status that it left with."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command("xdbrel_triggers", *args, stdout=out, stderr=err, **options)
    except CommandError as error:
        status = error.returncode
        err.write(str(error))
    return out.getvalue(), err.getvalue(), status


def standing(using="default"):
    return captures_backend(using).standing(connections[using])


def captures_backend(using):
    from xdbrel.cascade.triggers.backends import backend_of

    return backend_of(using)


def drop(one, using="default"):
    for statement in one.drop:
        run(statement, using=using)


def test_installing_twice_changes_nothing(capturing):
    first = capturing()
    assert states(first) == {"installed"}
    before = standing()
    assert states(install("default")) == {"current"}
    assert standing() == before
    assert len(served(first)) == len(before)


def test_nothing_stands_by_default(settings):
    """Capture is the ORM's alone unless the settings say otherwise."""
    assert install("default") == []
    assert standing() == []
    assert drift.check("default") == []


def test_what_stands_is_clean(triggers):
    found = drift.check("default")
    assert states(found) == {"current"}
    assert not any(state.is_finding for state in served(found))


def test_remove(triggers):
    """Everything of xdbrel's goes, and nothing of anybody else's."""
    mine = f"CREATE TRIGGER xdbrel_mine AFTER INSERT ON {table(Badge)} "
    if POSTGRESQL:
        run("CREATE FUNCTION xdbrel_mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")
        mine += "EXECUTE FUNCTION xdbrel_mine()"
    else:
        mine += "FOR EACH ROW BEGIN DELETE FROM xdbrel_pausedrelation; END"
    run(mine)
    try:
        number = len(standing())
        removed = remove("default")
        assert states(removed) == {"removed"}
        assert len(removed) == number
        assert standing() == []
        assert remove("default") == []
        if POSTGRESQL:
            with connections["default"].cursor() as cursor:
                cursor.execute("SELECT proname FROM pg_proc WHERE proname LIKE 'xdbrel%'")
                assert cursor.fetchall() == [("xdbrel_mine",)]
    finally:
        run("DROP FUNCTION xdbrel_mine CASCADE" if POSTGRESQL else "DROP TRIGGER xdbrel_mine")
    Badge.objects.create(number=1)
    run(f"DELETE FROM {table(Badge)}")
    assert written() == []


def test_a_missing_trigger_is_found(capturing):
    capturing([*ONE, "blog.Visit.country"])
    gone = next(one for one in standing() if "badge" in one.name)
    drop(gone)
    (found,) = [state for state in drift.check("default") if state.is_finding]
    assert found == State(
        "default",
        "missing",
        gone.table,
        gone.name,
        tuple(ONE),
        "what is deleted here is not captured",
    )
    assert states(install("default")) == {"current", "installed"}
    assert states(drift.check("default")) == {"current"}


@pytest.mark.skipif(not POSTGRESQL, reason="only PostgreSQL's triggers can be disabled")
def test_a_disabled_trigger_is_found(capturing):
    """It is enabled again by installing."""
    capturing(ONE)
    one = standing()[0]
    run(f"ALTER TABLE {one.table} DISABLE TRIGGER {one.name}")
    assert [s.trigger for s in drift.check("default") if s.state == "disabled"] == [one.name]
    assert [s.trigger for s in install("default") if s.state == "replaced"] == [one.name]
    assert states(drift.check("default")) == {"current"}


def test_an_outdated_trigger_is_replaced(capturing, settings, monkeypatch):
    """Another version, or another set of relations, makes another trigger."""
    capturing(["blog.Post.author"])
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": ["blog.Post.author", "shop.Order.customer"]}
    assert states(drift.check("default")) == {"outdated"}
    assert states(install("default")) == {"replaced"}
    User.objects.create(username="ada")
    run(f"DELETE FROM {table(User)}")
    assert len(written()) == 2
    monkeypatch.setattr("xdbrel.cascade.triggers.backends.VERSION", "next")
    assert states(drift.check("default")) == {"outdated"}


def test_a_stray_trigger_is_found_and_removed(capturing, settings):
    """A relation that is not captured any more leaves a trigger without a relation."""
    capturing([*ONE, "blog.Visit.country"])
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": ONE}
    stray = {s.table for s in drift.check("default") if s.state == "stray"}
    assert len(stray) == 1
    assert table(Country).strip('`"') in stray.pop()
    assert states(install("default")) == {"current", "removed"}
    assert states(drift.check("default")) == {"current"}
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": "orm"}
    assert states(drift.check("default")) == {"stray"}
    assert states(install("default")) == {"removed"}


def test_where_no_intents_stand(capturing, aliases):
    """A replica is a state, and no failure."""
    capturing(ONE)
    replica = aliases.define("replica", TEST={"MIRROR": "default"})
    (found,) = install(replica)
    assert (found.state, found.is_finding) == ("not allowed here", False)
    assert drift.check(replica) == remove(replica) == [found]


def test_a_key_that_no_trigger_can_write(capturing, monkeypatch):
    """It is said of its relation; the others are captured."""
    monkeypatch.setattr(
        captures, "_KINDS", [kind for kind in captures._KINDS if kind[0] != "integer"]
    )
    found = capturing([*ONE, "blog.Visit.country"])
    (refused,) = [state for state in found if state.state == "unsupported"]
    assert refused.relations == tuple(ONE)
    assert refused.detail == (
        "keys of a IntegerField cannot be written by a trigger in this database"
    )
    assert refused.is_finding
    assert refused in drift.check("default")


def test_without_the_table_of_intents(capturing):
    """There is nothing to write to: nothing is installed, and it is said how to go on."""
    with moved_away(CascadeIntent):
        (found,) = capturing(ONE)
    assert found.state == "broken"
    assert found.detail == (
        'there is no such table; run "manage.py migrate xdbrel --database=default"'
    )


class moved_away:
    """The table of a model has another name for a while."""

    def __init__(self, model):
        quote = connections["default"].ops.quote_name
        self.names = quote(model._meta.db_table), quote(model._meta.db_table + "_away")

    def __enter__(self):
        run("ALTER TABLE {} RENAME TO {}".format(*self.names))

    def __exit__(self, *args):
        run("ALTER TABLE {1} RENAME TO {0}".format(*self.names))


def test_a_target_that_is_not_migrated(capturing):
    """Nothing is deleted from a table that is not there."""
    with moved_away(Badge):
        (found,) = capturing(ONE)
    assert (found.state, found.is_finding) == ("no table", False)


def test_names():
    """Names are short enough everywhere, and differ where tables or columns do."""
    relations = tuple(relation.handle for relation in all_relations())
    long = captures.Capture("t" * 70, "c", "integer", None, relations)
    other = captures.Capture("t" * 70, "d", "integer", None, relations)
    assert len(long.name("truncate")) <= 63
    assert long.name("delete") != other.name("delete")
    odd = captures.Capture('aside"."Größe %s', "group by", "integer", None, relations)
    assert odd.name("update").startswith("xdbrel_update_aside_gr_e_s_group_by_")


def test_command(settings):
    """install, check and remove say what stands, one line each, and leave with 0."""
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": ONE}
    try:
        out, err, status = command("check")
        assert status == 1
        assert out.count("missing") == len(out.splitlines()) - 1
        assert "amiss." in err
        out, _, status = command("install")
        assert status == 0
        assert out.splitlines()[0].split() == [
            "database", "state", "table", "trigger", "relations",
        ]  # fmt: skip
        assert out.count("installed") == len(out.splitlines()) - 1
        out, _, status = command("check", format="json")
        assert status == 0
        rows = json.loads(out)["triggers"]
        assert {row["state"] for row in rows} == {"current"}
        assert {row["database"] for row in rows} == {"default"}
        assert rows[0]["relations"] == ONE
    finally:
        out, _, status = command("remove", database="default")
    assert status == 0
    assert out.count("removed") == len(rows)
    out, err, status = command("remove")
    assert (out, status) == ("", 0)
    assert err == "No trigger stands, and no relation asks for one.\n"


def test_command_and_an_unknown_database():
    out, err, status = command("check", database="nowhere")
    assert (out, status) == ("", 2)
    assert err == "There is no database 'nowhere'; there are: default, blog, shop."


def test_command_says_what_no_trigger_sees(capturing):
    """Each kind of database has its own blind spots."""
    capturing(ONE)
    _, err, status = command("check")
    assert status == 0
    expected = {
        "postgresql": "",
        "mysql": "default: TRUNCATE fires no trigger in MariaDB: a scan finds what it leaves.\n",
        "sqlite": "default: REPLACE INTO fires no delete trigger in SQLite (but for PRAGMA "
        "recursive_triggers): a scan finds what it leaves.\n",
    }
    assert err == expected[VENDOR]


def test_w070_drift(capturing, settings):
    """Missing and outdated triggers are one warning for a database."""
    capturing(ONE)
    assert checks.check_triggers(databases=EVERY) == []
    drop(standing()[0])
    (message,) = checks.check_triggers(databases=EVERY)
    assert message.id == "xdbrel.W070"
    assert message.msg == (
        "Triggers in 'default' are missing, disabled or outdated, and what they are to capture "
        "is lost until a scan finds it: blog.Visit.badge."
    )
    assert message.hint == 'Run "manage.py xdbrel_triggers install --database=default".'
    assert checks.check_triggers(databases=["blog"]) == []


def test_w071_stray(capturing, settings):
    """What nobody asks for is said as well."""
    capturing(ONE)
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": "orm"}
    (message,) = checks.check_triggers(databases=EVERY)
    assert message.id == "xdbrel.W071"
    assert message.msg.startswith(
        "Triggers in 'default' write intents that no relation asks for: xdbrel_delete_people_badge"
    )


def test_w072_without_a_column(capturing):
    """A table of intents that triggers cannot write to."""
    capturing(ONE)
    intents = table(CascadeIntent)
    column = connections["default"].ops.quote_name("deletion")
    away = connections["default"].ops.quote_name("deletion_away")
    if VENDOR == "sqlite":
        # SQLite renames in triggers too, and refuses to drop: only another table shows it.
        remove("default")
    run(f"ALTER TABLE {intents} RENAME COLUMN {column} TO {away}")
    try:
        found = {message.id: message for message in checks.check_triggers(databases=EVERY)}
    finally:
        run(f"ALTER TABLE {intents} RENAME COLUMN {away} TO {column}")
    assert found["xdbrel.W072"].msg == (
        "Triggers in 'default' cannot write intents to xdbrel_cascadeintent: it has no column "
        "deletion."
    )


def test_w073_unsupported(capturing, monkeypatch):
    """A key that no trigger can write."""
    monkeypatch.setattr(captures, "_KINDS", [("text", (models.CharField,))])
    capturing(ONE)
    (message,) = checks.check_triggers(databases=EVERY)
    assert message.id == "xdbrel.W073"
    assert message.msg == (
        "blog.Visit.badge cannot be captured by a trigger in 'default': keys of a IntegerField "
        "cannot be written by a trigger in this database."
    )
