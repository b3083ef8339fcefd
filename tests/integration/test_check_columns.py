"""Checks of what the databases hold: xdbrel.E060 to xdbrel.E062."""

import io
from contextlib import ExitStack

import pytest
from django.apps import apps
from django.core.checks import Error, Warning, run_checks
from django.core.management import call_command
from django.db import connections, models
from django.test.utils import CaptureQueriesContext, isolate_apps

from tests.apps.blog.models import Visit
from tests.apps.people.models import Badge, Country
from xdbrel.checks import columns
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

EVERY = ["default", "blog", "shop"]


@pytest.fixture
def another_table(monkeypatch):
    """Let a model have a table with a column of another type than its field's."""
    made = []

    def make(alias, model, column, field):
        with isolate_apps("tests.apps.blog"):
            meta = type("Meta", (), {"app_label": "blog", "db_table": f"odd_{len(made)}"})
            odd = type("Odd", (models.Model,), {column: field, "__module__": "odd", "Meta": meta})
        with connections[alias].schema_editor() as editor:
            editor.create_model(odd)
        made.append((alias, odd))
        monkeypatch.setattr(model._meta, "db_table", odd._meta.db_table)

    yield make
    for alias, odd in made:
        with connections[alias].schema_editor() as editor:
            editor.delete_model(odd)


def test_databases_as_migrated():
    """Migrated databases hear nothing, whatever the kinds of databases."""
    assert run_checks(tags=["database"], databases=EVERY) == []


def test_command():
    """The databases that are looked at are those that the command names."""
    err = io.StringIO()
    call_command("check", databases=EVERY, stderr=err, stdout=io.StringIO())
    assert err.getvalue() == ""


@pytest.mark.parametrize("databases", [None, [], ["blog"], ["default"]])
def test_no_connection_without_databases(databases):
    """Nothing is asked of a database that is not among those to look at."""
    with ExitStack() as stack:
        asked = [
            stack.enter_context(CaptureQueriesContext(connections[alias]))
            for alias in EVERY
            if alias not in (databases or ())
        ]
        columns.check_column_types(databases=databases)
        columns.check_recorded_tables(databases=databases)
    assert [len(queries) for queries in asked] == [0] * len(asked)


def test_e060_another_type(another_table):
    """A key column of another type than the key."""
    another_table("blog", Visit, "badge_id", models.CharField(max_length=20))
    found = columns.check_column_types(databases=EVERY)
    assert [message.id for message in found] == ["xdbrel.E060"]
    assert found[0].obj is Visit._meta.get_field("badge")
    assert found[0].msg.startswith("blog.Visit.badge: the key column is text")
    assert found[0].msg.endswith("bytes in 'default'. No comparison of the two is reliable.")
    assert "in 'blog', and its target's is an integer of" in found[0].msg
    assert found[0].hint == "Migrate the key column to the target's type."
    assert isinstance(found[0], Error)


def test_e060_uuid_as_text(another_table):
    """A database without a type for UUIDs keeps them as text: that is the same type."""
    another_table("blog", Visit, "device_id", models.CharField(max_length=32))
    assert columns.check_column_types(databases=EVERY) == []


def test_w061_narrower_integer(another_table):
    """A target whose keys outgrow the key column."""
    if connections["default"].vendor == "sqlite" or connections["blog"].vendor == "sqlite":
        pytest.skip("SQLite keeps every integer in as many bytes as it takes.")
    another_table("default", Badge, "number", models.BigIntegerField())
    assert columns.check_column_types(databases=EVERY) == [
        Warning(
            "blog.Visit.badge: the key column is an integer of 4 bytes in 'blog', and its "
            "target's is an integer of 8 bytes in 'default'. Some targets' keys do not fit.",
            hint="Migrate the narrower column to the wider type.",
            obj=Visit._meta.get_field("badge"),
            id="xdbrel.W061",
        )
    ]


def test_w061_wider_integer(another_table):
    """A key column that was widened alone."""
    if connections["blog"].vendor == "sqlite":
        pytest.skip("SQLite keeps every integer in as many bytes as it takes.")
    another_table("blog", Visit, "badge_id", models.BigIntegerField())
    (message,) = columns.check_column_types(databases=EVERY)
    assert message.id == "xdbrel.W061"
    assert message.msg.endswith(
        "an integer of 4 bytes in 'default'. It may hold keys that no target can have."
    )


def test_w061_shorter_text(another_table):
    """A target whose keys are longer than the key column."""
    if "sqlite" in (connections["default"].vendor, connections["blog"].vendor):
        pytest.skip("SQLite declares a length and does not keep to it.")
    another_table("blog", Visit, "country_id", models.CharField(max_length=1))
    (message,) = columns.check_column_types(databases=EVERY)
    assert message.msg == (
        "blog.Visit.country: the key column is text of 1 characters in 'blog', and its target's "
        "is text of 2 characters in 'default'. Some targets' keys do not fit."
    )


def test_w061_longer_text(another_table):
    """A key column that is longer than the keys does no harm."""
    another_table("blog", Visit, "country_id", models.CharField(max_length=9))
    assert columns.check_column_types(databases=EVERY) == []


def test_types_of_targets_not_migrated():
    """A table that is not there yet has no columns to compare."""
    table = Country._meta.db_table
    Country._meta.db_table = "not_there_yet"
    try:
        assert columns.check_column_types(databases=EVERY) == []
    finally:
        Country._meta.db_table = table


def test_only_the_apps_asked_for(another_table):
    """A check of some apps looks at their relations alone."""
    another_table("blog", Visit, "badge_id", models.CharField(max_length=20))
    shop = [apps.get_app_config("shop")]
    assert columns.check_column_types(app_configs=shop, databases=EVERY) == []


def test_e062_recorded_without_table(monkeypatch):
    """An alias that was migrated before it was a home has no table, and migrate thinks it has."""
    monkeypatch.setattr(CascadeIntent._meta, "db_table", "not_there")
    found = columns.check_recorded_tables(databases=["default"])
    assert found == [
        Error(
            "The migrations of xdbrel are recorded as applied in 'default', and its tables are "
            "not there: a router kept them off when they were.",
            hint='Run "manage.py migrate xdbrel zero --fake --database=default", then '
            '"manage.py migrate xdbrel --database=default".',
            id="xdbrel.E062",
        )
    ]


def test_e062_not_migrated_yet(monkeypatch):
    """A database that is not migrated yet will get its tables."""
    monkeypatch.setattr(CascadeIntent._meta, "db_table", "not_there")
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE django_migrations SET app = 'away' WHERE app = 'xdbrel'")
    try:
        assert columns.check_recorded_tables(databases=["default"]) == []
    finally:
        with connections["default"].cursor() as cursor:
            cursor.execute("UPDATE django_migrations SET app = 'xdbrel' WHERE app = 'away'")
