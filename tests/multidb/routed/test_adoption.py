"""Django's own ForeignKeys that XDBREL["ADOPT"] lets cross."""

import io
import pickle
import re

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections, models
from django.db.migrations.state import ModelState

from tests.multidb.routed.test_example import ALIASES
from xdbrel import CrossDBForeignKey, relations
from xdbrel.checks import adoption

pytestmark = pytest.mark.django_db(databases=ALIASES, transaction=True)

USER = LogEntry._meta.get_field("user")


def log_of(user, **given):
    return LogEntry.objects.create(user=user, action_flag=ADDITION, **given)


def test_it_is_a_relation_as_any_other():
    assert isinstance(USER, CrossDBForeignKey)
    handles = [one.handle for one in relations.all_relations()]
    assert handles[:3] == [
        "admin.LogEntry.content_type",
        "admin.LogEntry.user",
        "library.Book.lent_to",
    ]
    relation = relations.get("admin.LogEntry.user")
    assert (relation.source_home, relation.target_home) == ("primary", "auth_db")
    assert (relation.policy, relation.crosses) == ("CASCADE", True)


def test_migrations_do_not_learn_of_it():
    """They would be written into the app that declares the field."""
    name, path, args, kwargs = USER.deconstruct()
    assert (name, path, args) == ("user", "django.db.models.ForeignKey", [])
    assert kwargs == {
        "to": "auth.user",
        "on_delete": models.CASCADE,
        "verbose_name": "user",
    }
    copy = ModelState.from_model(LogEntry).fields["user"]
    assert copy.deconstruct()[1:] == USER.deconstruct()[1:]
    assert copy.policy is models.CASCADE
    call_command("makemigrations", check_changes=True, stdout=io.StringIO())


def test_what_was_declared_without_constraint_stays_so():
    field = type(USER)(User, models.CASCADE, db_constraint=False)
    assert field.deconstruct()[3]["db_constraint"] is False
    assert field.clone().deconstruct()[3]["db_constraint"] is False


def test_instances_are_pickled(boss):
    entry = log_of(boss)
    assert pickle.loads(pickle.dumps(entry)).user == boss


def test_dangling_keys_are_found_and_repaired(boss, fred):
    log_of(boss)
    log_of(fred)
    with connections["auth_db"].cursor() as cursor:
        cursor.execute("DELETE FROM auth_user WHERE id = %s", [fred.pk])
    found = io.StringIO()
    call_command("xdbrel_scan", "admin.LogEntry.user", stdout=found, stderr=found)
    assert "1 orphans in 1 of 1 relations" in found.getvalue()
    call_command("xdbrel_repair", "admin.LogEntry.user", policy="delete", stdout=found)
    assert [one.user for one in LogEntry.objects.all()] == [boss]


def test_w141_a_constraint_of_before(settings):
    """Where the log was beside the users once, its table has a constraint still."""
    assert adoption.check_constraints(databases=ALIASES) == []
    # As it is in auth_db, where the catch-all router lets its table be as well.
    settings.DATABASE_ROUTERS = [f"{__name__}.LogBesideUsers"]
    (message,) = adoption.check_constraints(databases=ALIASES)
    assert message.id == "xdbrel.W141"
    assert message.obj is USER
    assert re.fullmatch(
        r"admin\.LogEntry\.user crosses, and its column has the constraint \S+ in 'auth_db': rows "
        r"whose target is in 'primary' alone are refused\.",
        message.msg,
    )
    assert message.hint == (
        "Drop it, with a RunSQL in a migration of yours: the app 'admin' has none for it."
    )
    assert adoption.check_constraints(databases=["primary"]) == []


class LogBesideUsers:
    """The log is where users were before they moved."""

    def db_for_read(self, model, **hints):
        return "auth_db" if model is LogEntry or model is ContentType else "primary"

    db_for_write = db_for_read
