"""Checks of the cross-database fields: xdbrel.E030 to xdbrel.W035."""

import pytest
from django.contrib.auth.models import User
from django.core.checks import Error, Warning
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBOneToOneField
from xdbrel.checks import fields
from xdbrel.indexes import PartialIndex


def found_by(check, registry):
    """What a check finds among the models that the test defines."""
    return check(app_configs=registry.get_app_configs())


def model_with(field, **meta):
    """A model of the app blog with the given field, ``author``."""
    options = type("Meta", (), {"app_label": "blog", **meta})
    return type(
        "Note", (models.Model,), {"author": field, "__module__": __name__, "Meta": options}
    )


def found_by_django(model):
    """What Django's own checks find, but that User is not in the test's registry."""
    return [message for message in model.check() if message.id != "fields.E300"]


needs_database_level = pytest.mark.skipif(
    not hasattr(models, "DB_CASCADE"), reason="This Django has no database-level on_delete."
)


@needs_database_level
@pytest.mark.parametrize("name", ["CASCADE", "SET_NULL"])
def test_e030_database_level(blog_models, name):
    """No constraint is there for the database to act by."""
    policy = getattr(models, f"DB_{name}")
    note = model_with(CrossDBForeignKey(User, policy, null=True, related_name="+"))
    assert found_by(fields.check_on_delete, blog_models) == [
        Error(
            f"blog.Note.author leaves on_delete=DB_{name} to the database, where no constraint "
            f"holds it: deleting a target would leave its sources dangling.",
            hint=f"Write on_delete=models.{name}.",
            obj=note._meta.get_field("author"),
            id="xdbrel.E030",
        )
    ]


def test_e030_policies_of_django(blog_models):
    """Every other policy is carried out by xdbrel."""
    model_with(CrossDBForeignKey(User, models.CASCADE, related_name="+"))
    assert found_by(fields.check_on_delete, blog_models) == []


class Only:
    """Lets one app live at ``places`` and says nothing else."""

    def __init__(self, app_label, *places):
        self.app_label, self.places = app_label, places

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return db in self.places if app_label == self.app_label else None


def test_e031_no_home(settings):
    """A target that no database may hold; one message for each model."""
    settings.DATABASE_ROUTERS = [Only("auth"), "xdbrel.routers.HomeRouter"]
    found = [m for m in fields.check_known_homes() if m.obj is User]
    (message,) = found
    assert message.id == "xdbrel.E031"
    assert message.msg.startswith("The home of auth.User is not known, and blog.")
    assert message.msg.endswith("needs it: no router names its database, and none may hold it.")
    assert message.hint == (
        'Name it in XDBREL["HOMES"] and use xdbrel.routers.HomeRouter, or answer in a router\'s '
        "db_for_write()."
    )


def test_e031_ambiguous(blog_models, settings):
    """A source that several databases may hold, default not among them."""
    settings.DATABASE_ROUTERS = [Only("blog", "blog", "shop")]
    note = model_with(CrossDBForeignKey(User, models.CASCADE, related_name="+"))
    assert found_by(fields.check_known_homes, blog_models) == [
        Error(
            "The home of blog.Note is not known, and blog.Note.author needs it: no router names "
            "its database, and 'blog', 'shop' may hold it.",
            hint='Name it in XDBREL["HOMES"] and use xdbrel.routers.HomeRouter, or answer in a '
            "router's db_for_write().",
            obj=note,
            id="xdbrel.E031",
        )
    ]
    # What is not known is said once.
    for check in (fields.check_own_tables, fields.check_stickiness, fields.check_indexes):
        assert found_by(check, blog_models) == []


NO_TABLE_HINT = (
    "Answer allow_migrate('{0}', \"xdbrel\") with True, as xdbrel.routers.HomeRouter does, and "
    'run "manage.py xdbrel_migrate".'
)


def test_e032_intents(blog_models, settings):
    """xdbrel's tables must be where deletes write their intents."""
    settings.DATABASE_ROUTERS = [Only("xdbrel", "blog", "shop"), "xdbrel.routers.HomeRouter"]
    settings.XDBREL = {**settings.XDBREL, "INTEGRITY_DATABASE": "shop"}
    model_with(CrossDBForeignKey(User, models.CASCADE, related_name="+"))
    assert found_by(fields.check_own_tables, blog_models) == [
        Error(
            "xdbrel's tables may not be migrated to 'default', and deleting targets of "
            "blog.Note.author writes intents there.",
            hint=NO_TABLE_HINT.format("default"),
            id="xdbrel.E032",
        )
    ]


def test_e032_nothing_to_write(blog_models, settings):
    """A relation that does nothing on deletion writes no intents."""
    settings.DATABASE_ROUTERS = [Only("xdbrel", "blog", "shop"), "xdbrel.routers.HomeRouter"]
    settings.XDBREL = {**settings.XDBREL, "INTEGRITY_DATABASE": "shop"}
    model_with(CrossDBForeignKey(User, models.DO_NOTHING, related_name="+"))
    assert found_by(fields.check_own_tables, blog_models) == []


@pytest.mark.parametrize("alias", ["default", "blog"])
def test_e032_keys_that_change(blog_models, settings, alias):
    """Keys that sources follow are noted at both ends: the change here, the receipt there."""
    allowed = {"default", "blog", "shop"} - {alias}
    settings.DATABASE_ROUTERS = [Only("xdbrel", *allowed), "xdbrel.routers.HomeRouter"]
    settings.XDBREL = {**settings.XDBREL, "INTEGRITY_DATABASE": "shop"}
    model_with(
        CrossDBForeignKey(User, models.DO_NOTHING, on_update=models.CASCADE, related_name="+")
    )
    assert found_by(fields.check_own_tables, blog_models) == [
        Error(
            f"xdbrel's tables may not be migrated to '{alias}', and keys that change across "
            f"blog.Note.author are noted there.",
            hint=NO_TABLE_HINT.format(alias),
            id="xdbrel.E032",
        )
    ]


def test_e032_scan_runs(blog_models, settings):
    """xdbrel's tables must be where scan runs are kept."""
    settings.DATABASE_ROUTERS = [Only("xdbrel", "blog"), "xdbrel.routers.HomeRouter"]
    assert found_by(fields.check_own_tables, blog_models) == [
        Error(
            "xdbrel's tables may not be migrated to 'default', and "
            'XDBREL["INTEGRITY_DATABASE"] keeps scan runs there.',
            hint=NO_TABLE_HINT.format("default"),
            id="xdbrel.E032",
        )
    ]


class DocumentedRouter:
    """Routes auth the way of Django's documentation, and leaves all others where they may be."""

    def db_for_read(self, model, **hints):
        return "shop" if model._meta.app_label == "auth" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return db == "shop" if app_label == "auth" else None


def test_e033_read_elsewhere(blog_models, settings):
    """A silent router and two possible homes: related rows are read from the wrong one."""
    settings.DATABASE_ROUTERS = [DocumentedRouter()]
    note = model_with(CrossDBForeignKey(User, models.CASCADE, related_name="+"))
    assert found_by(fields.check_stickiness, blog_models) == [
        Error(
            "blog.Note is written to 'default', but across blog.Note.author it is read from "
            "'shop': no router names its database, and it may be migrated to both.",
            hint="Name its home in a router's db_for_read() and db_for_write(), or answer "
            "allow_migrate() with False for it in 'shop'.",
            obj=note,
            id="xdbrel.E033",
        )
    ]


def test_e033_said_once(blog_models, settings):
    """A model with two relations to one home is named once."""
    settings.DATABASE_ROUTERS = [DocumentedRouter()]

    class Letter(models.Model):
        sender = CrossDBForeignKey(User, models.CASCADE, related_name="+")
        reader = CrossDBForeignKey(User, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    (message,) = found_by(fields.check_stickiness, blog_models)
    assert message.obj is Letter


def test_e033_kept_off(blog_models, settings):
    """With allow_migrate() answered, the rule of placement finds the home."""
    settings.DATABASE_ROUTERS = [DocumentedRouter(), Only("blog", "default")]
    model_with(CrossDBForeignKey(User, models.CASCADE, related_name="+"))
    assert found_by(fields.check_stickiness, blog_models) == []


def test_w034_no_index(blog_models):
    """Scans and cascades find sources by their key."""
    note = model_with(CrossDBForeignKey(User, models.CASCADE, db_index=False, related_name="+"))
    assert found_by(fields.check_indexes, blog_models) == [
        Warning(
            "blog.Note.author has no index that begins with 'author_id': every cascade, reverse "
            "look-up and scan reads the whole table.",
            hint="Leave out db_index=False, or begin an index in Meta.indexes with it.",
            obj=note._meta.get_field("author"),
            id="xdbrel.W034",
        )
    ]


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"indexes": [models.Index(fields=["author", "id"], name="i")]}, []),
        ({"indexes": [models.Index(fields=["-author"], name="i")]}, []),
        ({"indexes": [models.Index(fields=["id", "author"], name="i")]}, ["xdbrel.W034"]),
        ({"unique_together": [("author", "id")]}, []),
        ({"constraints": [models.UniqueConstraint(fields=["author", "id"], name="u")]}, []),
        (
            {
                "constraints": [
                    models.UniqueConstraint(
                        fields=["author"], name="u", condition=models.Q(author__gt=1)
                    )
                ]
            },
            ["xdbrel.W034"],
        ),
        (
            {"indexes": [PartialIndex(fields=["author"], name="i", where=models.Q(id=1))]},
            ["xdbrel.W034"],
        ),
    ],
)
def test_w034_other_indexes(blog_models, meta, expected):
    """Any index or constraint over all rows that begins with the key will do."""
    model_with(CrossDBForeignKey(User, models.CASCADE, db_index=False, related_name="+"), **meta)
    assert [message.id for message in found_by(fields.check_indexes, blog_models)] == expected


def test_w034_one_to_one(blog_models):
    """A unique key has an index."""
    model_with(CrossDBOneToOneField(User, models.CASCADE, related_name="+"))
    assert found_by(fields.check_indexes, blog_models) == []


def test_w034_same_home(blog_models):
    """Within one home, the index is the project's own affair."""
    model_with(CrossDBForeignKey("self", models.CASCADE, db_index=False, related_name="+"))
    assert found_by(fields.check_indexes, blog_models) == []


def test_set_null_without_null(blog_models):
    """Django's own check says it, once, also where the relation crosses."""
    note = model_with(CrossDBForeignKey(User, models.SET_NULL, related_name="+"))
    field = note._meta.get_field("author")
    assert field.remote_field.on_delete is not models.SET_NULL
    assert [(message.id, message.msg) for message in found_by_django(note)] == [
        ("fields.E320", "Field specifies on_delete=SET_NULL, but cannot be null.")
    ]
    for check in (fields.check_on_delete, fields.check_known_homes, fields.check_indexes):
        assert found_by(check, blog_models) == []


def test_set_default_without_default(blog_models):
    """Django's own check says it of the default, too."""
    note = model_with(CrossDBForeignKey(User, models.SET_DEFAULT, related_name="+"))
    assert [message.id for message in found_by_django(note)] == ["fields.E321"]


def test_w035_masked_for_good(blog_models):
    """Nothing ever takes the mask off."""
    note = model_with(CrossDBForeignKey(User, models.DO_NOTHING, masked=True, related_name="+"))
    assert found_by(fields.check_masked, blog_models) == [
        Warning(
            "blog.Note.author has masked=True and on_delete=DO_NOTHING: the sources of a deleted "
            "target stay hidden for good.",
            hint="Leave out masked=True, or let on_delete say what becomes of the sources.",
            obj=note._meta.get_field("author"),
            id="xdbrel.W035",
        )
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"on_delete": models.DO_NOTHING},
        {"on_delete": models.CASCADE, "masked": True},
        {"on_delete": models.SET_NULL, "masked": True, "null": True},
    ],
)
def test_w035_masked_for_a_while(blog_models, options):
    """A cascade comes, or nothing is masked."""
    model_with(CrossDBForeignKey(User, related_name="+", **options))
    assert found_by(fields.check_masked, blog_models) == []
