"""Triggers and migrations: the operation, and xdbrel's own tables coming and going."""

import pytest
from django.db import connections

from tests.integration.migrations.project import Project

pytestmark = pytest.mark.django_db(databases="__all__")

MODELS = """
from django.db import models
import xdbrel

class Target(models.Model):
    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=20, default="")

class Other(models.Model):
    pass
"""
SOURCES = """
from django.db import models
import xdbrel

class Source(models.Model):
    target = xdbrel.CrossDBForeignKey(
        "targets.Target", models.CASCADE, to_field="code", on_update=models.CASCADE
    )
    other = xdbrel.CrossDBForeignKey("targets.Other", models.CASCADE)
"""
INSTALL = """
from django.db import migrations
from xdbrel.operations import InstallTriggers

class Migration(migrations.Migration):
    dependencies = [("xdbrel", "0001_initial"), ("targets", "0001_initial"),
                    ("sources", "0001_initial")]
    operations = [InstallTriggers()]
"""
STANDING = """
from django.db import connection
from xdbrel.cascade.triggers.backends import backend_of
print(sorted({{one.name.rsplit("_", 1)[0] for one in
              backend_of("{alias}").standing(__import__("django").db.connections["{alias}"])}}))
"""
#: Deletes with SQL and prints how many intents there are then.
DELETE = """
from django.db import connection
from targets.models import Target
from xdbrel.models import CascadeIntent
Target.objects.create(code="x")
with connection.cursor() as cursor:
    cursor.execute("DELETE FROM targets_target")
print([(i.relation, i.keys) for i in CascadeIntent.objects.all()])
CascadeIntent.objects.all().delete()
"""
#: The same where xdbrel has no tables.
BARE_DELETE = """
from django.db import connection
from targets.models import Target
Target.objects.create(code="x")
with connection.cursor() as cursor:
    cursor.execute("DELETE FROM targets_target")
print(Target.objects.count())
"""

ALIASES = ("default", "blog")
POSTGRESQL = connections["default"].vendor == "postgresql"
ALL = ["delete", "truncate", "update"] if POSTGRESQL else ["delete", "update"]
STANDS = repr(sorted(f"xdbrel_{event}_targets_target_code" for event in ALL))


@pytest.fixture
def project(tmp_path):
    project = Project(
        tmp_path,
        dict(zip(ALIASES, ALIASES, strict=True)),
        {"targets": MODELS, "sources": SOURCES},
        homes={"sources": "blog"},
        settings='\nimport os\nXDBREL["CAPTURE"] = os.environ.get("TEST_CAPTURE", "").split() or '
        '"orm"\n',
    )
    project.manage("makemigrations", "targets", "sources")
    yield project
    # The test run's own databases are as the other tests expect them.
    project.manage_all(
        *(
            ("migrate", *what, f"--database={alias}")
            for alias in ALIASES
            for what in (("sources", "zero"), ("targets", "zero"), ("xdbrel",))
        )
    )


def migrate(project):
    project.manage_all(*(("migrate", f"--database={alias}") for alias in ALIASES))


def standing(project, alias="default"):
    return project.manage(script=STANDING.format(alias=alias)).strip().splitlines()[-1]


def test_operation(project, monkeypatch):
    """Forwards it installs where the targets are, backwards it removes."""
    monkeypatch.setenv("TEST_CAPTURE", "sources.Source.target")
    (project.directory / "targets" / "migrations" / "0002_triggers.py").write_text(INSTALL)
    migrate(project)
    assert standing(project) == STANDS
    assert standing(project, "blog") == "[]"
    assert project.manage(script=DELETE).strip() == "[('sources.Source.target', ['x'])]"
    out = project.manage("xdbrel_triggers", "check")
    assert out.count(" current ") == len(ALL)
    project.manage("migrate", "targets", "0001", "--database=default")
    # What the settings ask for is there after every migrate.
    assert standing(project) == STANDS
    monkeypatch.delenv("TEST_CAPTURE")
    migrate(project)
    assert standing(project) == "[]"


def test_migrating_installs(project, monkeypatch):
    """What the settings ask for stands after migrate, without any operation."""
    monkeypatch.setenv("TEST_CAPTURE", "sources.Source.target")
    migrate(project)
    assert standing(project) == STANDS
    # SQLite makes the table anew here, and its triggers go with the old one.
    project.write_models("targets", MODELS.replace("max_length=20, d", "max_length=30, d"))
    project.manage("makemigrations", "targets")
    migrate(project)
    assert standing(project) == STANDS
    assert project.manage(script=DELETE).strip() == "[('sources.Source.target', ['x'])]"


def test_xdbrel_migrated_away(project, monkeypatch):
    """No trigger stays behind that would fail every delete, nor a migration."""
    monkeypatch.setenv("TEST_CAPTURE", "sources.Source.target")
    migrate(project)
    project.manage("migrate", "xdbrel", "zero", "--database=default")
    assert standing(project) == "[]"
    assert project.manage(script=BARE_DELETE).strip() == "0"
    project.write_models("targets", MODELS.replace("max_length=20, d", "max_length=30, d"))
    project.manage("makemigrations", "targets")
    project.manage("migrate", "targets", "--database=default")
    project.manage("migrate", "xdbrel", "--database=default")
    assert standing(project) == STANDS
