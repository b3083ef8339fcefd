"""Triggers made for a test and gone after it, and SQL as another program would run it."""

import pytest
from django.db import connections

from xdbrel.cascade.triggers.captures import aliases
from xdbrel.cascade.triggers.install import install, remove
from xdbrel.models import CascadeIntent


@pytest.fixture
def capturing(settings):
    """Let ``XDBREL["CAPTURE"]`` be what is given, and install; nothing stands afterwards."""

    def begin(capture="triggers", using="default", **more):
        settings.XDBREL = {**settings.XDBREL, "CAPTURE": capture, **more}
        return install(using)

    yield begin
    for alias in aliases():
        remove(alias)


@pytest.fixture
def triggers(capturing):
    """Triggers for every relation to a target in ``default``."""
    return capturing()


@pytest.fixture
def standing_elsewhere(monkeypatch):
    """Let a model have another table, made by the test."""
    models = []

    def elsewhere(model, name):
        models.append(model)
        monkeypatch.setattr(model._meta, "db_table", name)
        forget_columns()

    def forget_columns():
        # Fields keep what they made of the table's name.
        for model in models:
            for field in model._meta.local_fields:
                vars(field).pop("cached_col", None)

    yield elsewhere
    monkeypatch.undo()
    forget_columns()


def run(sql, params=None, using="default"):
    """Run SQL past the ORM; return how many rows it met."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.rowcount


def table(model, using="default"):
    """Return the quoted name of a model's table."""
    return connections[using].ops.quote_name(model._meta.db_table)


def written(relation=None, using="default"):
    """Return the intents of a relation, of all relations where none is named, in order."""
    intents = CascadeIntent.objects.using(using).order_by("pk")
    return list(intents if relation is None else intents.filter(relation=relation))
