"""manage.py xdbrel_migrate."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models.signals import pre_migrate

from xdbrel.fields import ThroughManager

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def run(*args, **options):
    """Return what the command writes: migrate's own words, progress."""
    out, err = io.StringIO(), io.StringIO()
    call_command(
        "xdbrel_migrate",
        *args,
        interactive=False,
        stdout=out,
        stderr=err,
        no_color=True,
        **options,
    )
    return out.getvalue(), err.getvalue()


@pytest.fixture
def migrated():
    """The aliases that migrate is run on, in turn."""
    aliases = []

    def note(using, app_config, **kwargs):
        if app_config.label == "auth":
            aliases.append(using)

    pre_migrate.connect(note)
    yield aliases
    pre_migrate.disconnect(note)


@pytest.fixture
def broken():
    """Migrating blog fails."""

    def fail(using, **kwargs):
        if using == "blog":
            raise ZeroDivisionError("no such luck")

    pre_migrate.connect(fail)
    yield
    pre_migrate.disconnect(fail)


def test_every_database_in_turn(migrated):
    """Each database is migrated, in the order of DATABASES, with progress on stderr."""
    out, err = run()
    assert migrated == ["default", "blog", "shop"]
    assert err.splitlines() == [
        "default: database 1 of 3.",
        "blog: database 2 of 3.",
        "shop: database 3 of 3.",
        "Migrated: default, blog, shop.",
    ]
    assert out.count("No migrations to apply.") == 3


def test_quiet():
    """With verbosity 0, nothing is said."""
    assert run(verbosity=0) == ("", "")


@pytest.mark.usefixtures("broken")
def test_stops_at_the_first_that_fails(migrated):
    """The error names the database, the cause, what is done and what is not."""
    with pytest.raises(CommandError) as caught:
        run()
    assert str(caught.value) == (
        "Migrating database 'blog' failed: ZeroDivisionError: no such luck\n"
        "Done: default. Not done: blog, shop.\n"
        'Once the cause is removed, run "manage.py xdbrel_migrate" again: what is done is not '
        "repeated."
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "shop" not in migrated


def test_error_of_migrate_itself():
    """An error of migrate's own is told like any other."""
    with pytest.raises(CommandError) as caught:
        run("no_such_app")
    assert str(caught.value).startswith(
        "Migrating database 'default' failed: CommandError: No installed app with label "
        "'no_such_app'."
    )
    assert "Done: none. Not done: default, blog, shop." in str(caught.value)


def test_app_and_migration(migrated):
    """An app and a migration are passed on to each database."""
    out, _ = run("sessions", "0001")
    assert out.count("Target specific migration: 0001_initial, from sessions") == 3
    assert migrated == ["default", "blog", "shop"]


def test_plan():
    """--plan shows every database's plan and says nothing of having migrated."""
    out, err = run("--plan")
    assert out.count("No planned migration operations.") == 3
    assert "Migrated" not in err


def test_check():
    """--check looks at every database and names those with unapplied migrations."""
    run("--check")
    recorded = "UPDATE django_migrations SET name = %s WHERE app = 'sessions' AND name = %s"
    for alias in ("blog", "shop"):
        with connections[alias].cursor() as cursor:
            cursor.execute(recorded, ["0001_other", "0001_initial"])
    try:
        with pytest.raises(CommandError, match=r"^Unapplied migrations in: blog, shop\.$"):
            run("--check")
    finally:
        for alias in ("blog", "shop"):
            with connections[alias].cursor() as cursor:
                cursor.execute(recorded, ["0001_initial", "0001_other"])


def test_left_out(settings, aliases, migrated):
    """Replicas, mirrors, empty aliases and second names are left out, and it is said why."""
    aliases.define("replica")
    aliases.define("mirror", TEST={"MIRROR": "blog"})
    aliases.define_like("again", "shop")
    aliases.define("nobody")
    aliases.empty("nothing")
    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"replica": "default"}}
    _, err = run()
    assert err.splitlines()[:5] == [
        "replica: left out, a replica or mirror of default.",
        "mirror: left out, a replica or mirror of blog.",
        "again: left out, the same database as shop.",
        "nobody: left out, no model may live there.",
        "nothing: left out, it names no database.",
    ]
    assert migrated == ["default", "blog", "shop"]


def test_nothing_to_migrate(settings, monkeypatch):
    """Where no model may live anywhere, that is an error."""
    # Fields of the tests' apps name a database themselves.
    monkeypatch.setattr(ThroughManager, "through_home", property(lambda self: None), False)

    class Nowhere:
        def allow_migrate(self, db, app_label, **hints):
            return False

    settings.DATABASE_ROUTERS = [Nowhere()]
    with pytest.raises(CommandError, match=r"^There is no database to migrate\.$"):
        run()


def test_checks_are_run(settings):
    """The system checks stop it, unless they are skipped."""
    settings.XDBREL = {**settings.XDBREL, "HOMESS": {}}
    with pytest.raises(CommandError, match=r"xdbrel\.E001"):
        run(skip_checks=False)
    run(skip_checks=True)
