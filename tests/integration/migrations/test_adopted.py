"""Migrations of an app that knows of one database only, where its relations are to cross."""

import pytest

from tests.integration.migrations.project import Project

pytestmark = pytest.mark.django_db(databases="__all__")

NEAR = "from django.db import models\nclass Target(models.Model):\n    pass\n"
FAR = """
from django.db import models

class Source(models.Model):
    target = models.ForeignKey("near.Target", models.CASCADE, null=True)
    beside = models.ForeignKey("self", models.CASCADE, null=True)
"""
MORE = FAR.replace(", null=True)\n    beside", ", null=True, db_index=False)\n    beside") + (
    '    one = models.OneToOneField("near.Target", models.PROTECT, related_name="+", null=True)\n'
)
# The second of them comes with a later migration.
SETTINGS = 'XDBREL["ADOPT"] = ["far.Source.target", "far.Source.one"]\n' + (
    'SILENCED_SYSTEM_CHECKS = ["xdbrel.E140"]\n'
)
WRITE = """
from far.models import Source
from near.models import Target
target = Target.objects.create()
source = Source.objects.create(target=target, one=target)
print(Source.objects.get(target__pk=target.pk).one == target, source._state.db)
"""


def test_no_constraint_towards_another_database(tmp_path):
    """In a table that is made, a column that is added, one that is altered."""
    project = Project(
        tmp_path,
        {"default": "default", "far": "blog"},
        {"near": NEAR, "far": FAR},
        homes={"far": "far"},
        settings=SETTINGS,
    )
    pairs = [("default", "near"), ("far", "far")]
    try:
        project.manage_all(
            ("makemigrations", "near", "far"),
            *(("migrate", app, "--database", alias) for alias, app in pairs),
        )
        made = project.describe("far_source", using="far")
        assert made["foreign_keys"] == {"beside_id": ["far_source", "id"]}

        project.write_models("far", MORE)
        project.manage_all(
            ("makemigrations", "far"),
            ("migrate", "far", "--database", "far"),
            ("makemigrations", "--check", "--dry-run"),
        )
        written = project.migration("far", 2)
        assert "model_name='source',\n            name='one'" in written
        assert "migrations.AlterField(" in written
        assert "xdbrel" not in written
        found = project.describe("far_source", using="far")
        assert found["foreign_keys"] == {"beside_id": ["far_source", "id"]}
        assert ["one_id"] in found["unique"]
        assert project.manage(script=WRITE) == "True far\n"
    finally:
        project.manage_all(
            *(("migrate", app, "zero", "--database", alias) for alias, app in reversed(pairs))
        )
