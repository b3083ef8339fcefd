"""The schema editor asked by hand, as a migration's ``RunPython`` may."""

import pytest
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.db import connections, models

from tests.apps.blog.models import Tag

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)


class Label(models.Model):
    class Meta:
        app_label = "blog"
        apps = Apps()


def made(target, **options):
    """A field of no model yet, as the editor takes it."""
    field = models.ForeignKey(target, models.CASCADE, null=True, related_name="+", **options)
    field.set_attributes_from_name("extra")
    return field


def foreign_keys():
    connection = connections["blog"]
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Label._meta.db_table)
    return [one["foreign_key"] for one in found.values() if one["foreign_key"]]


@pytest.mark.parametrize("named", [False, True], ids=["by position", "by name"])
@pytest.mark.parametrize(("target", "expected"), [(User, []), (Tag, [("blog_tag", "id")])])
def test_field_without_a_model(target, expected, named):
    """Where its target lives elsewhere it has no constraint, neither added nor altered."""
    first, second = made(target, db_index=False), made(target)
    with connections["blog"].schema_editor() as editor:
        editor.create_model(Label)
    try:
        with connections["blog"].schema_editor() as editor:
            editor.add_field(Label, first)
        assert foreign_keys() == expected
        with connections["blog"].schema_editor() as editor:
            if named:
                editor.alter_field(Label, old_field=first, new_field=second)
            else:
                editor.alter_field(Label, first, second)
        assert foreign_keys() == expected
        assert (first.db_constraint, second.db_constraint) == (True, True)
    finally:
        with connections["blog"].schema_editor() as editor:
            editor.delete_model(Label)
