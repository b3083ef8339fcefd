"""Checks of relations over several columns: xdbrel.E120 to xdbrel.E124."""

import pytest
from django.core.checks import Error, Warning
from django.db import models

from xdbrel import CrossDBCompositeForeignKey
from xdbrel.checks import composite, fields


class Meta:
    app_label = "blog"


@pytest.fixture
def models_of(blog_models):
    """Define a target, ``Area``, with or without a composite key, and a source, ``Walk``."""

    def define(relation, *, pk=None, columns=None, bases=(models.Model,)):
        members = {"x": models.IntegerField(), "y": models.IntegerField(), "Meta": Meta}
        if pk is not None:
            members["pk"] = models.CompositePrimaryKey(*pk)
        type("Area", (models.Model,), {**members, "__module__": __name__})
        columns = columns or {"x": models.IntegerField(db_index=True), "y": models.IntegerField()}
        return type(
            "Walk",
            bases,
            {**columns, "area": relation, "__module__": __name__, "Meta": Meta},
        )._meta.get_field("area")

    define.apps = blog_models
    return define


def relation(policy=models.CASCADE, from_fields=("x", "y"), to_fields=None):
    return CrossDBCompositeForeignKey(
        "blog.Area", policy, from_fields=from_fields, to_fields=to_fields, related_name="+"
    )


def found_by(check, define):
    return check(app_configs=define.apps.get_app_configs())


EVERY = [
    composite.check_composite_target,
    composite.check_composite_columns,
    composite.check_composite_policy,
]


def test_nothing_to_say(models_of):
    field = models_of(relation(), pk=("x", "y"))
    assert [found for check in EVERY for found in found_by(check, models_of)] == []
    # Django's fields.E347 refuses such a target to its own fields; the registry has no app.
    assert [found.id for found in field.check() if found.id != "fields.E300"] == []


def test_e120_no_key(models_of):
    field = models_of(relation())
    assert found_by(composite.check_composite_target, models_of) == [
        Error(
            "blog.Walk.area names no to_fields, and blog.Area has no CompositePrimaryKey.",
            hint="Name the target's fields that are unique together in to_fields.",
            obj=field,
            id="xdbrel.E120",
        )
    ]
    # Others do not stumble over it.
    assert found_by(fields.check_indexes, models_of) == []


def test_e120_another_number_of_columns(models_of):
    columns = {name: models.IntegerField() for name in "xyz"}
    field = models_of(relation(from_fields=("x", "y", "z")), pk=("x", "y"), columns=columns)
    assert found_by(composite.check_composite_target, models_of) == [
        Error(
            "blog.Walk.area has 3 from_fields, and the primary key of blog.Area has 2 columns.",
            hint="Let from_fields be as many, in the order of the primary key.",
            obj=field,
            id="xdbrel.E120",
        )
    ]


def test_e121_no_such_columns(models_of):
    field = models_of(relation(from_fields=("x", "z")), pk=("x", "y"))
    assert found_by(composite.check_composite_columns, models_of) == [
        Error(
            "blog.Walk.area: 'z' in from_fields are no columns of the table of blog.Walk.",
            hint="Name fields that the model itself declares, with a column each.",
            obj=field,
            id="xdbrel.E121",
        )
    ]


def test_e121_a_parents_columns(models_of):
    parent = type(
        "Step",
        (models.Model,),
        {"x": models.IntegerField(), "__module__": __name__, "Meta": Meta},
    )
    field = models_of(
        relation(), pk=("x", "y"), columns={"y": models.IntegerField()}, bases=(parent,)
    )
    (found,) = found_by(composite.check_composite_columns, models_of)
    assert found.msg == (
        "blog.Walk.area: 'x' in from_fields are no columns of the table of blog.Walk."
    )
    assert found.obj is field


def test_e122_a_targets_parents_columns(blog_models):
    class Place(models.Model):
        x = models.IntegerField()
        y = models.IntegerField()

        class Meta:
            app_label = "blog"
            unique_together = ("x", "y")

    class Town(Place):
        class Meta:
            app_label = "blog"

    class Walk(models.Model):
        x = models.IntegerField()
        y = models.IntegerField()
        town = CrossDBCompositeForeignKey(
            Town, models.CASCADE, from_fields=("x", "y"), to_fields=("x", "y")
        )

        class Meta:
            app_label = "blog"

    assert composite.check_composite_target(app_configs=blog_models.get_app_configs()) == [
        Error(
            "blog.Walk.town: 'x', 'y' of blog.Town are no columns of its own table.",
            hint="Point the relation at the model that declares these fields.",
            obj=Walk._meta.get_field("town"),
            id="xdbrel.E122",
        )
    ]


def test_e123_nothing_to_clear(models_of):
    field = models_of(relation(models.SET_NULL), pk=("x", "y"))
    assert found_by(composite.check_composite_policy, models_of) == [
        Error(
            "blog.Walk.area has on_delete=SET_NULL, and none of its from_fields may be NULL.",
            hint="Set null=True on one of them, or choose another on_delete.",
            obj=field,
            id="xdbrel.E123",
        )
    ]


def test_e123_one_is_enough(models_of):
    columns = {"x": models.IntegerField(), "y": models.IntegerField(null=True)}
    models_of(relation(models.SET_NULL), pk=("x", "y"), columns=columns)
    assert found_by(composite.check_composite_policy, models_of) == []


@pytest.mark.parametrize(
    ("policy", "name"), [(models.SET_DEFAULT, "SET_DEFAULT"), (models.SET((1, 2)), "SET()")]
)
def test_e124_no_one_value(models_of, policy, name):
    field = models_of(relation(policy), pk=("x", "y"))
    assert found_by(composite.check_composite_policy, models_of) == [
        Error(
            f"blog.Walk.area has on_delete={name}, and a relation over several columns has no "
            "one value to set.",
            hint="Use SET_NULL, or a policy that deletes or refuses.",
            obj=field,
            id="xdbrel.E124",
        )
    ]


def test_w034_of_several_columns(models_of, settings):
    """An index that begins with any of the columns will do."""
    settings.XDBREL = {**settings.XDBREL, "HOMES": {"blog": "blog", "blog.Area": "default"}}
    columns = {"x": models.IntegerField(), "y": models.IntegerField()}
    field = models_of(relation(), pk=("x", "y"), columns=columns)
    assert found_by(fields.check_indexes, models_of) == [
        Warning(
            "blog.Walk.area has no index that begins with one of 'x', 'y': every cascade, "
            "reverse look-up and scan reads the whole table.",
            hint="Add models.Index(fields=[…]) of these columns to Meta.indexes.",
            obj=field,
            id="xdbrel.W034",
        )
    ]
