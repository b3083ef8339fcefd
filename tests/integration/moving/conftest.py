"""Tables at both ends for models of every kind of relation, beside those of ``wagons``."""

import contextlib

import pytest
from django.apps import apps
from django.db import connections
from django.test import override_settings

from tests import settings as base
from xdbrel import placement, relations
from xdbrel.integrity.scan import scan

#: Where models stand besides their homes, so that they can be moved there and back.
MOVING = {
    **dict.fromkeys(["clubs.Club", "notes.Note", "notes.Reply", "notes.Essay"], "shop"),
    **dict.fromkeys(["climate.Trip", "climate.Outing", "climate.Stop"], "shop"),
    **dict.fromkeys(["clubs.Reader", "notes.Thing", "notes.SpecialThing"], "blog"),
    **dict.fromkeys(["climate.Weather", "climate.Region", "climate.Record"], "blog"),
    "clubs.Membership": "blog",
    "notes.Stranger": "blog",
}


def tables(label):
    """The model of a label, and those between it and others that stand beside it."""
    model = apps.get_model(label)
    between = [one.remote_field.through for one in model._meta.local_many_to_many]
    return [
        model,
        *(one for one in between if one._meta.auto_created and not placement.through_home(one)),
    ]


@pytest.fixture(scope="session")
def tables_at_both_ends(django_db_setup, django_db_blocker):
    places = [(one, alias) for label, alias in MOVING.items() for one in tables(label)]
    with django_db_blocker.unblock():
        for model, alias in places:
            with connections[alias].schema_editor() as editor:
                editor.execute(*editor.table_sql(model))
    yield places
    with django_db_blocker.unblock():
        for model, alias in reversed(places):
            with connections[alias].schema_editor() as editor:
                table = editor.quote_name(model._meta.db_table)
                editor.execute(editor.sql_delete_table % {"table": table})


@pytest.fixture
def homes(tables_at_both_ends, transactional_db):
    """Returns what lets the routers send models elsewhere, for good or for a block."""
    with contextlib.ExitStack() as until_the_end:

        @contextlib.contextmanager
        def send(**homes):
            named = {label.replace("_", "."): alias for label, alias in homes.items()}
            changed = {**base.XDBREL["HOMES"], **named}
            moving = {**base.XDBREL["MOVING"], **MOVING}
            for label, alias in named.items():
                if moving.get(label) == alias:
                    moving[label] = base.XDBREL["HOMES"].get(label) or base.XDBREL["HOMES"].get(
                        label.split(".")[0], "default"
                    )
            given = {**base.XDBREL, "HOMES": changed, "MOVING": moving}
            with override_settings(XDBREL=given):
                yield

        until_the_end.enter_context(send())
        yield send
    for model, alias in reversed(tables_at_both_ends):
        with connections[alias].cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {connections[alias].ops.quote_name(model._meta.db_table)}"
            )


@pytest.fixture
def dangling():
    """Returns what scans every relation of some apps and gives what dangles."""

    def found(*labels):
        runs = [
            scan(relation, fresh=True)
            for relation in relations.all_relations()
            if relation.source._meta.app_label in labels
            # These stand beside the rows in some tests, and in one home in others.
            and relation.target._meta.label_lower != "contenttypes.contenttype"
        ]
        return {run.relation: run.orphans for run in runs if run.orphans}

    return found
