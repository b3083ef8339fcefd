"""Checks of generic relations: xdbrel.E110, and those of Django's that find ours."""

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.checks import Error, run_checks
from django.db import models

from xdbrel import CrossDBForeignKey, CrossDBGenericForeignKey, CrossDBGenericRelation
from xdbrel.checks import contrib, generic


def found_by(check, registry):
    """What a check finds among the models that the test defines."""
    return check(app_configs=registry.get_app_configs())


def note(field):
    class Jotting(models.Model):
        content_type = CrossDBForeignKey(ContentType, models.CASCADE, related_name="+")
        object_id = models.PositiveIntegerField()
        about = field

        class Meta:
            app_label = "blog"

    class Subject(models.Model):
        jottings = CrossDBGenericRelation(Jotting)

        class Meta:
            app_label = "blog"

    return Subject


def test_e110_plain_other_side(blog_models):
    """Neither reading nor deleting leads from one database to the other."""
    model = note(GenericForeignKey())
    assert found_by(generic.check_other_side, blog_models) == [
        Error(
            "blog.Subject.jottings is the other side of blog.Jotting.about, a plain "
            "GenericForeignKey, which looks in its own database and names content types as the "
            "target's database does. Deletes are not followed to another one.",
            hint="Declare CrossDBGenericForeignKey in its place, or GenericRelation here.",
            obj=model._meta.get_field("jottings"),
            id="xdbrel.E110",
        )
    ]


def test_both_sides(blog_models):
    """Fields of xdbrel's are right wherever content types are."""
    note(CrossDBGenericForeignKey())
    assert found_by(generic.check_other_side, blog_models) == []
    assert found_by(contrib.check_generic_relations, blog_models) == []


def test_a_wrong_name(blog_models):
    """What Django's checks say of a GenericForeignKey is said once, on every Django."""
    note(CrossDBGenericForeignKey(fk_field="nothing"))
    found = [
        one.id
        for one in run_checks(app_configs=list(blog_models.get_app_configs()))
        if "nothing" in one.msg
    ]
    assert found == ["contenttypes.E001"]
