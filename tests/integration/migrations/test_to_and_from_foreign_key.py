"""makemigrations and migrate from Django's fields to xdbrel's and back again.

The constraint goes and comes; the column, its type, its data and its index stay.
"""

import pytest

from tests.integration.migrations.project import Project

pytestmark = pytest.mark.django_db(databases="__all__")

MODELS = """
import uuid
from django.db import models
import xdbrel

class Target(models.Model):
    code = models.CharField(max_length=20, unique=True)

class Token(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

class Source(models.Model):
    plain = {fk}(Target, models.CASCADE, related_name="a"{options})
    coded = {fk}(Target, models.CASCADE, to_field="code", related_name="b"{options})
    token = {one}(Token, models.SET_NULL, null=True{options})
    parent = {fk}("self", models.CASCADE, null=True{options})
    title = models.CharField(max_length=20)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plain", "title"], name="once")]
        indexes = [models.Index(fields=["coded", "title"], name="by_code")]
"""

INSERT = """
import uuid
from moving.models import Source, Target, Token
target = Target.objects.create(code="x'1")
first = Source.objects.create(plain=target, coded=target, title="first",
                              token=Token.objects.create(id=uuid.UUID(int=7)))
Source.objects.create(plain=target, coded=target, title="second", parent=first)
"""

READ = """
from moving.models import Source
first, second = Source.objects.order_by("pk")
print(first.plain.code, first.coded.pk == first.plain.pk, first.token.pk.int, second.parent.title)
"""


def models(kind, options=""):
    names = {
        "django": {"fk": "models.ForeignKey", "one": "models.OneToOneField"},
        "xdbrel": {"fk": "xdbrel.CrossDBForeignKey", "one": "xdbrel.CrossDBOneToOneField"},
    }[kind]
    return MODELS.format(**names, options=options)


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path, {"default": "blog"}, {"moving": models("django")})
    project.manage("makemigrations", "moving")
    project.manage("migrate", "moving")
    yield project
    project.manage("migrate", "moving", "zero")


def test_there_and_back(project):
    project.manage(script=INSERT)
    before = project.describe("moving_source")
    assert set(before["foreign_keys"]) == {"plain_id", "coded_id", "token_id", "parent_id"}
    assert len(before["rows"]) == 2

    project.write_models("moving", models("xdbrel"))
    project.manage("makemigrations", "moving")
    written = project.migration("moving", 2)
    assert written.count("migrations.AlterField(") == 4
    assert "xdbrel.CrossDBForeignKey(on_delete=" in written
    assert "xdbrel.CrossDBOneToOneField(null=True, on_delete=" in written
    assert "import xdbrel\n" in written
    assert "db_constraint" not in written
    project.manage("makemigrations", "--check", "--dry-run")
    project.manage("migrate", "moving")
    between = project.describe("moving_source")
    assert between["foreign_keys"] == {}
    for same in ("columns", "unique", "indexed", "rows"):
        assert between[same] == before[same], same
    assert project.manage(script=READ) == "x'1 True 7 first\n"

    project.write_models("moving", models("django"))
    project.manage("makemigrations", "moving")
    assert "xdbrel" not in project.migration("moving", 3)
    project.manage("migrate", "moving")
    assert project.describe("moving_source") == before

    # Backwards through the history as well.
    project.manage("migrate", "moving", "0002")
    assert project.describe("moving_source") == between
    project.manage("migrate", "moving", "0001")
    assert project.describe("moving_source") == before


def test_verify_and_dangling_are_written_and_cost_nothing(project):
    project.write_models("moving", models("xdbrel"))
    project.manage("makemigrations", "moving")
    project.write_models("moving", models("xdbrel", ', verify=True, dangling="none"'))
    project.manage("makemigrations", "moving")
    written = project.migration("moving", 3)
    assert written.count("dangling='none', ") == 4
    assert written.count("verify=True)") == 4
    project.manage("makemigrations", "--check", "--dry-run")
    plan = project.manage("sqlmigrate", "moving", "0003")
    statements = [line for line in plan.splitlines() if line and not line.startswith("--")]
    assert [line for line in statements if line not in ("BEGIN;", "COMMIT;")] == []
    project.manage("migrate", "moving")


def test_a_relation_that_crosses(tmp_path):
    """Each table is made in its home, with an index and without a constraint."""
    target = "from django.db import models\nclass Target(models.Model):\n    pass\n"
    source = (
        "from django.db import models\nimport xdbrel\n"
        "class Source(models.Model):\n"
        "    target = xdbrel.CrossDBForeignKey('near.Target', models.CASCADE)\n"
        "    one = xdbrel.CrossDBOneToOneField('near.Target', models.PROTECT, related_name='+')\n"
    )
    project = Project(
        tmp_path,
        {"default": "default", "far": "blog"},
        {"near": target, "far": source},
        homes={"far": "far"},
    )
    project.manage("makemigrations", "near", "far")
    pairs = [(alias, app) for alias in ("default", "far") for app in ("near", "far")]
    project.manage_all(*(("migrate", app, "--database", alias) for alias, app in pairs))
    try:
        assert "near_target" in project.tables("default")
        assert "far_source" not in project.tables("default")
        assert "far_source" in project.tables("far")
        assert "near_target" not in project.tables("far")
        found = project.describe("far_source", using="far")
        assert found["foreign_keys"] == {}
        assert {"target_id", "one_id"} <= set(found["indexed"])
        assert ["one_id"] in found["unique"]
    finally:
        project.manage_all(
            *(("migrate", app, "zero", "--database", alias) for alias, app in reversed(pairs))
        )


def test_a_swapped_user_model(tmp_path):
    """The migration names the setting and depends on the app that it names."""
    accounts = (
        "from django.contrib.auth.models import AbstractUser\nclass Account(AbstractUser):\n"
        "    pass\n"
    )
    notes = (
        "from django.conf import settings\nfrom django.db import models\nimport xdbrel\n"
        "class Note(models.Model):\n"
        "    owner = xdbrel.CrossDBForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)\n"
    )
    project = Project(
        tmp_path,
        {"default": "default", "far": "blog"},
        {"accounts": accounts, "notes": notes},
        homes={"notes": "far"},
        settings='AUTH_USER_MODEL = "accounts.Account"\n'
        'INSTALLED_APPS += ["django.contrib.auth", "django.contrib.contenttypes"]\n',
    )
    project.manage("makemigrations", "accounts", "notes")
    written = project.migration("notes", 1)
    assert "migrations.swappable_dependency(settings.AUTH_USER_MODEL)" in written
    assert "xdbrel.CrossDBForeignKey(" in written
    assert "to=settings.AUTH_USER_MODEL" in written
    project.manage(
        script="from notes.models import Note\nfrom accounts.models import Account\n"
        "assert Note(owner=Account(pk=1)).owner_id == 1\n"
        "assert Account.note_set.rel.related_model is Note"
    )
