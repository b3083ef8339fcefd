"""Adding, changing and removing the field: nothing happens to the table."""

import pytest
from django.db import connections, migrations, models
from django.db.migrations.state import ProjectState

from tests.apps.climate.models import Region, Trip
from xdbrel import CrossDBCompositeForeignKey

pytestmark = pytest.mark.django_db(databases="__all__")


def relation(**options):
    return CrossDBCompositeForeignKey(
        "climate.Area",
        models.CASCADE,
        from_fields=("x", "y"),
        related_name="walks",
        **options,
    )


FIELDS = [("x", models.IntegerField()), ("y", models.IntegerField())]
MODELS = [
    migrations.CreateModel(
        "Area", [("pk", models.CompositePrimaryKey("x", "y")), *FIELDS], options={"managed": True}
    ),
    migrations.CreateModel("Walk", [("id", models.AutoField(primary_key=True)), *FIELDS]),
]
CHANGES = [
    migrations.AddField("Walk", "area", relation()),
    migrations.AlterField("Walk", "area", relation(dangling="none", verify=True)),
    migrations.RenameField("Walk", "area", "place"),
    migrations.RemoveField("Walk", "place"),
]


# SQLite's editor is for nobody who has a transaction open.
@pytest.mark.django_db(databases="__all__", transaction=True)
@pytest.mark.parametrize("alias", ["default", "blog"])
def test_operations(alias):
    """Forwards and backwards, on any kind of database, without a statement."""
    state = ProjectState()
    for operation in MODELS:
        operation.state_forwards("climate", state)
    for operation in CHANGES:
        after = state.clone()
        operation.state_forwards("climate", after)
        with connections[alias].schema_editor(collect_sql=True, atomic=False) as editor:
            operation.database_forwards("climate", editor, state, after)
            operation.database_backwards("climate", editor, after, state)
        assert editor.collected_sql == [], operation
        state = after


def test_renamed_columns():
    """A relation follows the names of its columns, on both sides."""
    state = ProjectState()
    unique = models.UniqueConstraint(fields=["x", "y"], name="area_key")
    area = [("id", models.AutoField(primary_key=True)), *FIELDS]
    for operation in (
        migrations.CreateModel("Area", area, options={"constraints": [unique]}),
        MODELS[1],
        migrations.AddField("Walk", "area", relation(to_fields=("x", "y"))),
        migrations.RenameField("Walk", "x", "u"),
        migrations.RenameField("Area", "y", "v"),
    ):
        operation.state_forwards("climate", state)
    field = state.models["climate", "walk"].fields["area"]
    assert (field.from_fields, field.to_fields) == (("u", "y"), ("x", "v"))
    assert field.deconstruct()[3]["to_fields"] == ("x", "v")


def test_models_of_a_migration():
    """The historical models have the relation and its key."""
    state = ProjectState.from_apps(Trip._meta.apps)
    trip, region = (state.apps.get_model("climate", name) for name in ("Trip", "Region"))
    Region.objects.create(country="DE", number=7)
    row = trip.objects.using("blog").create(country="DE", region_number=7)
    assert row.region_key == ("DE", 7)
    assert isinstance(row.region, region)
