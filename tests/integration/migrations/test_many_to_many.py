"""makemigrations and migrate for many-to-many fields: there, back, and into another home."""

import pytest

from tests.integration.migrations.project import Project

pytestmark = pytest.mark.django_db(databases="__all__")

MODELS = """
from django.db import models
import xdbrel

class Target(models.Model):
    name = models.CharField(max_length=20)

class Source(models.Model):
    targets = {many}(Target, related_name="sources")
    others = {many}("self")
"""

INSERT = """
from moving.models import Source, Target
first, second = Source.objects.create(), Source.objects.create()
first.targets.set([Target.objects.create(name=name) for name in "ab"])
first.others.add(second)
"""

TABLE = "moving_source_targets"


def models(kind):
    many = {"django": "models.ManyToManyField", "xdbrel": "xdbrel.CrossDBManyToManyField"}[kind]
    return MODELS.format(many=many)


def write_and_migrate(project, kind):
    project.write_models("moving", models(kind))
    project.manage_all(
        ("makemigrations", "moving"),
        ("makemigrations", "--check", "--dry-run"),
        ("migrate", "moving"),
    )


def test_there_and_back(tmp_path):
    """The constraints go and come; tables, columns, rows and uniqueness stay."""
    project = Project(tmp_path, {"default": "blog"}, {"moving": models("django")})
    write_and_migrate(project, "django")
    try:
        project.manage(script=INSERT)
        before = project.describe(TABLE)
        assert set(before["foreign_keys"]) == {"source_id", "target_id"}
        assert len(before["rows"]) == 2

        write_and_migrate(project, "xdbrel")
        written = project.migration("moving", 2)
        assert written.count("migrations.AlterField(") == 2
        assert (
            "xdbrel.CrossDBManyToManyField(related_name='sources', to='moving.target')" in written
        )
        between = project.describe(TABLE)
        assert between["foreign_keys"] == {}
        for same in ("columns", "unique", "indexed", "rows"):
            assert between[same] == before[same], same

        write_and_migrate(project, "django")
        assert project.describe(TABLE) == before
        # Backwards through the history as well.
        project.manage_all(("migrate", "moving", "0002"), ("migrate", "moving", "0001"))
        assert project.describe(TABLE) == before
    finally:
        project.manage("migrate", "moving", "zero")


HOMES = {"near": "default", "far": "far"}
NEAR = "from django.db import models\nclass Target(models.Model):\n    pass\n"
FAR = """
from django.db import models
import xdbrel

class Source(models.Model):
    targets = xdbrel.CrossDBManyToManyField("near.Target"{options})
"""


ALIASES = ("default", "far", "third")


def everywhere(*commands):
    """Return migrate commands for each database."""
    return [("migrate", *command, "--database", alias) for command in commands for alias in ALIASES]


def test_a_home_for_the_rows_in_between(tmp_path):
    """The table is made where the field says, and nowhere else, whatever the routers say."""
    project = Project(
        tmp_path,
        {"default": "default", "far": "blog", "third": "shop"},
        {"near": NEAR, "far": FAR.format(options=', through_home="third"')},
        homes=HOMES,
    )
    project.manage_all(
        ("makemigrations", "near", "far"),
        ("makemigrations", "--check", "--dry-run"),
        *everywhere(["near"], ["far"]),
    )
    try:
        written = project.migration("far", 1)
        assert "name='Source_targets'" in written
        assert "xdbrel.fields.ThroughManager('third')" in written
        assert "through='far.Source_targets', through_home='third'" in written
        assert "auto_created" not in written.replace("auto_created=True, primary_key", "")
        assert project.manage(script=WHERE) == "third far_source_targets\n"
        described = project.describe("far_source_targets", using="third")
        assert described["foreign_keys"] == {}
        assert ["source_id", "target_id"] in described["unique"]
        assert {"source_id", "target_id"} <= set(described["indexed"])
        project.manage(script=USE)

        # What becomes of the field becomes of its table, forwards and backwards.
        renamed = FAR.format(options=', through_home="third", db_table="far_links"')
        project.write_models("far", renamed)
        project.manage_all(("makemigrations", "far"), *everywhere(["far"]))
        assert "AlterModelTable" in project.migration("far", 2)
        assert project.manage(script=WHERE) == "third far_links\n"
        project.write_models(
            "far", "from django.db import models\nclass Source(models.Model):\n    pass\n"
        )
        project.manage_all(("makemigrations", "far"), *everywhere(["far"]))
        assert "DeleteModel" in project.migration("far", 3)
        assert project.manage(script=WHERE) == ""
        project.manage_all(*everywhere(["far", "0001"]))
        assert project.manage(script=WHERE) == "third far_source_targets\n"
    finally:
        project.manage_all(*everywhere(["far", "zero"], ["near", "zero"]))


def test_another_home_for_rows_that_there_are(tmp_path):
    """As the documentation says it: the rows are copied, and the migration can be undone."""
    project = Project(
        tmp_path,
        {"default": "default", "far": "blog", "third": "shop"},
        {"near": NEAR, "far": FAR.format(options="")},
        homes=HOMES,
    )
    project.manage_all(("makemigrations", "near", "far"), *everywhere(["near"], ["far"]))
    try:
        project.manage(script=LINK)
        project.write_models("far", FAR.format(options=', through_home="third"'))
        project.manage("makemigrations", "far")
        (file,) = (tmp_path / "far" / "migrations").glob("0002_*.py")
        written = file.read_text()
        start = written.index("        migrations.AlterField(")
        altered = written[start : written.rindex("    ]")]
        added = altered.replace("AlterField", "AddField")
        removed = (
            "        migrations.SeparateDatabaseAndState(state_operations=["
            'migrations.RemoveField("source", "targets")]),\n'
        )
        operations = "    operations = [\n"
        written = written.replace(altered, added).replace(operations, operations + removed)
        file.write_text(written)
        project.manage_all(
            ("makemigrations", "--check", "--dry-run"),
            *everywhere(["far"]),
            *everywhere(["far", "0001"]),
            *everywhere(["far"]),
        )
        project.manage(script=COPY)
    finally:
        project.manage_all(*everywhere(["far", "zero"], ["near", "zero"]))


#: Where a table in between stands, and its name.
WHERE = """
from django.db import connections
for alias in connections:
    for table in connections[alias].introspection.table_names():
        if table in ("far_source_targets", "far_links"):
            print(alias, table)
"""

LINK = """
from far.models import Source
from near.models import Target
Source.objects.create().targets.set([Target.objects.create(), Target.objects.create()])
"""

COPY = """
from far.models import Source
between = Source.targets.through
source = Source.objects.get()
assert source.targets.count() == 0
rows = between.objects.using("far").values("source_id", "target_id")
between.objects.using("third").bulk_create((between(**row) for row in rows), batch_size=1)
assert source.targets.count() == 2
assert between.objects.using("third").count() == 2
"""

USE = """
from far.models import Source
from near.models import Target
from xdbrel import relations
source, target = Source.objects.create(), Target.objects.create()
source.targets.add(target)
assert source.targets.get() == target and target.source_set.get() == source
assert Source.targets.through.objects.get()._state.db == "third"
homes = [one.source_home for one in relations.all_relations()]
assert homes == ["third", "third"], homes
"""
