"""Checks of models that their homes part: xdbrel.E020 to xdbrel.W024."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.checks import Error, Warning
from django.db import models

from tests.apps.blog.models import Tag
from tests.apps.people.models import Person
from xdbrel import CrossDBForeignKey
from xdbrel.checks import homes


def found_by(check, registry):
    """What a check finds among the models that the test defines."""
    return check(app_configs=registry.get_app_configs())


def test_e020_foreign_key(blog_models):
    """A plain foreign key to another home."""

    class Note(models.Model):
        author = models.ForeignKey(User, models.CASCADE, related_name="+")
        tag = models.ForeignKey(Tag, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    assert found_by(homes.check_plain_relations, blog_models) == [
        Error(
            "blog.Note.author is a plain ForeignKey from 'blog' to auth.User in 'default'.",
            hint="Declare it as xdbrel.CrossDBForeignKey, name 'blog.Note.author' in "
            'XDBREL["ADOPT"] if the app is not yours, or give both models one home in '
            'XDBREL["HOMES"].',
            obj=Note._meta.get_field("author"),
            id="xdbrel.E020",
        )
    ]


def test_e020_one_to_one(blog_models):
    """A plain one-to-one field to another home."""

    class Note(models.Model):
        author = models.OneToOneField(User, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    (message,) = found_by(homes.check_plain_relations, blog_models)
    assert message.msg == (
        "blog.Note.author is a plain OneToOneField from 'blog' to auth.User in 'default'."
    )
    assert message.hint.startswith("Declare it as xdbrel.CrossDBOneToOneField, name ")


def test_e020_declared(blog_models):
    """A cross-database field is what is asked for; Django's own is right inside a home."""

    class Note(models.Model):
        author = CrossDBForeignKey(User, models.CASCADE, related_name="+")
        tag = models.ForeignKey(Tag, models.CASCADE, related_name="+")
        parent = models.ForeignKey("self", models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    class NoteProxy(Note):
        class Meta:
            app_label = "blog"
            proxy = True

    assert found_by(homes.check_plain_relations, blog_models) == []


def test_e020_stickiness(blog_models, settings):
    """Where Django stays with the source, and the target may live there, nothing is parted."""

    class OnlyBlog:
        def db_for_write(self, model, **hints):
            return "blog" if model._meta.app_label == "blog" else None

    settings.DATABASE_ROUTERS = [OnlyBlog()]

    class Note(models.Model):
        author = models.ForeignKey(User, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    assert found_by(homes.check_plain_relations, blog_models) == []


def test_e020_home_unknown(blog_models, settings):
    """A home that is not known is another check's."""

    class NoGroups:
        def allow_migrate(self, db, app_label, model_name=None, **hints):
            return False if model_name == "group" else None

    settings.DATABASE_ROUTERS = [NoGroups(), "xdbrel.routers.HomeRouter"]

    class Note(models.Model):
        group = models.ForeignKey(Group, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    assert found_by(homes.check_plain_relations, blog_models) == []


def test_e021_many_to_many(blog_models):
    """A many-to-many relation whose tables are in two databases."""

    class Note(models.Model):
        readers = models.ManyToManyField(User, related_name="+")
        tags = models.ManyToManyField(Tag, related_name="+")

        class Meta:
            app_label = "blog"

    assert found_by(homes.check_plain_relations, blog_models) == [
        Error(
            "blog.Note.readers is a many-to-many relation whose tables are in several "
            "databases: blog.Note in 'blog', blog.Note_readers in 'blog', auth.User in "
            "'default'.",
            hint="Declare it as xdbrel.CrossDBManyToManyField, name 'blog.Note.readers' in "
            'XDBREL["ADOPT"] if the app is not yours, or give its models one home in '
            'XDBREL["HOMES"].',
            obj=Note._meta.get_field("readers"),
            id="xdbrel.E021",
        )
    ]


def test_e021_through_with_cross_database_field(blog_models):
    """A model in between does not make the relation itself work."""

    class Note(models.Model):
        readers = models.ManyToManyField(User, through="blog.Reading", related_name="+")

        class Meta:
            app_label = "blog"

    class Reading(models.Model):
        note = models.ForeignKey(Note, models.CASCADE, related_name="+")
        reader = CrossDBForeignKey(User, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    assert [m.id for m in found_by(homes.check_plain_relations, blog_models)] == ["xdbrel.E021"]


def test_e021_is_not_said_twice(blog_models):
    """What is said of the model in between is not said of the relation again."""

    class Note(models.Model):
        readers = models.ManyToManyField(User, through="blog.Reading", related_name="+")

        class Meta:
            app_label = "blog"

    class Reading(models.Model):
        note = models.ForeignKey(Note, models.CASCADE, related_name="+")
        reader = models.ForeignKey(User, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    assert [m.id for m in found_by(homes.check_plain_relations, blog_models)] == ["xdbrel.E020"]


def test_e022_parents(blog_models):
    """A multi-table child in another home than its parent; said once."""

    class Author(Person):
        class Meta:
            app_label = "blog"

    assert found_by(homes.check_parents, blog_models) == [
        Error(
            "blog.Author lives in 'blog' and its parent people.Person in 'default': every "
            "query of it joins the two.",
            hint='To keep the inheritance, give both models one home in XDBREL["HOMES"]; or '
            "point at the parent by a CrossDBOneToOneField in place of inheriting from it.",
            obj=Author,
            id="xdbrel.E022",
        )
    ]
    assert found_by(homes.check_plain_relations, blog_models) == []


def test_e022_proxy(blog_models):
    """A proxy in another app shows its model's rows: nothing is parted."""

    class AuthorProxy(Person):
        class Meta:
            app_label = "blog"
            proxy = True

    assert found_by(homes.check_parents, blog_models) == []


def test_e022_entry_of_a_parent(settings):
    """A parent's own entry tears it from its children."""
    settings.XDBREL = {"HOMES": {"blog": "blog", "shop": "shop", "blog.Strict": "shop"}}
    found = homes.check_parents()
    assert [(message.id, message.obj._meta.label) for message in found] == [
        ("xdbrel.E022", "blog.StrictChild")
    ]


def test_e023_no_database(settings, aliases):
    """With an empty default, every app needs a home."""
    aliases.empty("default")
    homed = {label: "shop" for label in apps.app_configs if label not in ("admin", "people")}
    settings.XDBREL = {"HOMES": homed, "INTEGRITY_DATABASE": "shop"}
    found = homes.check_homeless()
    assert [message.hint for message in found] == [
        f'Give the app {app!r} a home in XDBREL["HOMES"].' for app in ("admin", "people")
    ]
    assert found[0] == Error(
        "No database may hold admin.LogEntry: no router names one, and none may be migrated to.",
        hint="Give the app 'admin' a home in XDBREL[\"HOMES\"].",
        id="xdbrel.E023",
    )
    assert "people.Badge, people.Bookmark, people.Country" in found[1].msg
    assert found[1].msg.count(",") >= 4
    assert " more: no router names one" in found[1].msg


@pytest.mark.parametrize(
    "ordering",
    [["author__username"], ["-author__username"], [models.F("author__username").desc()]],
)
def test_w024_ordering(blog_models, ordering):
    """An ordering that joins a table of another database, however it is written."""

    class Note(models.Model):
        author = CrossDBForeignKey(User, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    Note._meta.ordering = ordering
    assert found_by(homes.check_ordering, blog_models) == [
        Warning(
            "blog.Note is ordered by 'author__username', which joins auth.User of another "
            "database along blog.Note.author, in every query that names no order.",
            hint="Order by columns of blog.Note itself in Meta.ordering.",
            obj=Note,
            id="xdbrel.W024",
        )
    ]


@pytest.mark.parametrize(
    "ordering",
    [
        ["author_id"],
        ["author"],  # auth.User has no ordering of its own: this is the key's.
        ["author__pk"],
        ["?"],
        ["title", "-pk"],
        [models.F("title").asc(), models.functions.Lower("title")],
        ["tag__name"],
        ["no_field__at_all"],
    ],
)
def test_w024_no_join(blog_models, ordering):
    """Ordering by the key, or inside the home, joins nothing of another database."""

    class Note(models.Model):
        author = CrossDBForeignKey(User, models.CASCADE, related_name="+")
        tag = models.ForeignKey(Tag, models.CASCADE, related_name="+")
        title = models.CharField(max_length=10)

        class Meta:
            app_label = "blog"

    Note._meta.ordering = ordering
    assert found_by(homes.check_ordering, blog_models) == []


def test_w024_by_the_order_of_another_model(blog_models):
    """Ordering by a relation is ordering by its target's ordering, which may join."""

    class Note(models.Model):
        author = CrossDBForeignKey(User, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"
            ordering = ["author__username"]

    class Remark(models.Model):
        note = models.ForeignKey(Note, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"
            ordering = ["note"]

    found = found_by(homes.check_ordering, blog_models)
    assert [message.obj for message in found] == [Note, Remark]


def test_w024_endless_ordering(blog_models):
    """An ordering that comes back to itself ends here, too."""

    class Node(models.Model):
        parent = models.ForeignKey("self", models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"
            ordering = ["parent"]

    assert found_by(homes.check_ordering, blog_models) == []
