"""Checks of the many-to-many fields: xdbrel.E100 to xdbrel.E102."""

import pytest
from django.contrib.auth.models import User
from django.core.checks import Error
from django.db import models

from tests.apps.blog.models import Tag
from xdbrel import CrossDBForeignKey, CrossDBManyToManyField
from xdbrel.checks import homes, many_to_many


def found_by(check, registry):
    """What a check finds among the models that the test defines."""
    return check(app_configs=registry.get_app_configs())


@pytest.fixture
def note_of(blog_models):
    """Return a model with a field of these options."""

    def make(to=User, **options):
        class Note(models.Model):
            readers = CrossDBManyToManyField(to, related_name="+", **options)

            class Meta:
                app_label = "blog"

        return Note

    return make


def test_nothing_to_say(note_of, blog_models):
    note_of(through_home="shop")
    for check in (many_to_many.check_through_home, many_to_many.check_spanning_queries):
        assert found_by(check, blog_models) == []
    assert found_by(homes.check_plain_relations, blog_models) == []


def test_e100_unknown_alias(note_of, blog_models):
    note = note_of(through_home="nowhere")
    assert found_by(many_to_many.check_through_home, blog_models) == [
        Error(
            "blog.Note.readers has through_home='nowhere', which is not among DATABASES.",
            hint="Name the alias of a database, or leave out through_home.",
            obj=note._meta.get_field("readers"),
            id="xdbrel.E100",
        )
    ]


def test_e100_replica(note_of, blog_models, settings):
    settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"shop": "default"}}
    note = note_of(through_home="shop")
    assert found_by(many_to_many.check_through_home, blog_models) == [
        Error(
            "blog.Note.readers has through_home='shop', a replica of 'default': nothing is "
            "written there.",
            hint="Write through_home='default'.",
            obj=note._meta.get_field("readers"),
            id="xdbrel.E100",
        )
    ]


def test_e101(note_of, blog_models):
    note = note_of(through="blog.Reading", through_home="shop")

    class Reading(models.Model):
        note = models.ForeignKey("blog.Note", models.CASCADE, related_name="+")
        reader = CrossDBForeignKey(User, models.CASCADE, related_name="+")

        class Meta:
            app_label = "blog"

    assert found_by(many_to_many.check_through_home, blog_models) == [
        Error(
            "blog.Note.readers has through_home='shop', and its model in between, blog.Reading, "
            "is the project's own and lives in 'blog'.",
            hint="Leave out through_home, and let the routers say where blog.Reading lives.",
            obj=note._meta.get_field("readers"),
            id="xdbrel.E101",
        )
    ]


def test_e102(note_of, blog_models, settings):
    settings.XDBREL = {**settings.XDBREL, "SPANNING_QUERIES": False}
    note = note_of()
    assert found_by(many_to_many.check_spanning_queries, blog_models) == [
        Error(
            "blog.Note.readers is a many-to-many relation between databases, and "
            'XDBREL["SPANNING_QUERIES"] is False: its managers cannot read.',
            hint='Leave XDBREL["SPANNING_QUERIES"] at True, or give the models one home.',
            obj=note._meta.get_field("readers"),
            id="xdbrel.E102",
        )
    ]


def test_one_home_needs_no_spanning_queries(note_of, blog_models, settings):
    settings.XDBREL = {**settings.XDBREL, "SPANNING_QUERIES": False}
    note_of(to=Tag)
    assert found_by(many_to_many.check_spanning_queries, blog_models) == []
