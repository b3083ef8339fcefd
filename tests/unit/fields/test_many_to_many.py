"""The many-to-many field and the model that it makes."""

import copy
import pickle

import pytest
from django.contrib.auth.models import User
from django.db import models, router
from django.db.migrations.state import ModelState, ProjectState
from django.test.utils import isolate_apps

from tests.apps.clubs.models import Club, Reader
from xdbrel import CrossDBForeignKey, CrossDBManyToManyField, placement, relations
from xdbrel.fields import ThroughManager
from xdbrel.routers import HomeRouter


def test_the_automatic_model_is_that_of_django():
    """Changing the field is no matter of names: only the constraints differ."""

    def shape(many):
        with isolate_apps("tests.apps.blog"):

            class Note(models.Model):
                readers = many(User, related_name="+")
                others = many("self")

                class Meta:
                    app_label = "blog"

        for field in Note._meta.local_many_to_many:
            through = field.remote_field.through
            meta = through._meta
            yield (
                meta.label,
                meta.db_table,
                meta.unique_together,
                meta.auto_created is Note,
                str(meta.verbose_name),
                str(meta.verbose_name_plural),
                through.__module__,
                [
                    (key.name, key.column, key.db_index, getattr(key.remote_field, "model", None))
                    for key in meta.local_fields
                    if getattr(key.remote_field, "model", None) is not Note
                ],
            )

    assert list(shape(CrossDBManyToManyField)) == list(shape(models.ManyToManyField))


def test_its_keys_are_relations():
    for name in ("readers", "patrons", "guests"):
        through = getattr(Club, name).through
        for key in ("club", "reader"):
            field = through._meta.get_field(key)
            assert isinstance(field, CrossDBForeignKey)
            assert field.policy is models.CASCADE
            assert not field.db_constraint
            assert field.verify == (name == "guests")
            assert relations.get(f"clubs.Club_{name}.{key}").field is field


def test_homes():
    assert placement.home(Club.readers.through) == "blog"
    assert placement.home(Club.patrons.through) == "shop"
    assert placement.home(Reader.likes.through) == "default"
    assert placement.candidates(Club.patrons.through) == ["shop"]
    assert router.allow_migrate_model("shop", Club.patrons.through)
    assert not router.allow_migrate_model("blog", Club.patrons.through)
    assert relations.between(Club, Reader)


def test_a_home_of_nothing_else_has_our_tables_too(settings):
    """Rows in between may be set aside, which is noted beside them."""
    settings.XDBREL = {"HOMES": {"clubs": "default"}}
    assert HomeRouter().allow_migrate("shop", "xdbrel")
    assert not HomeRouter().allow_migrate("blog", "xdbrel")


class OnlyNamed:
    """Names two models one by one, and knows of no other."""

    homes = {"clubs.club": "blog", "clubs.reader": "default"}

    def db_for_read(self, model, **hints):
        return self.homes.get(model._meta.label_lower)

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        home = self.homes.get(f"{app_label}.{model_name}")
        return None if home is None else db == home


def test_a_router_that_names_models_one_by_one(settings):
    settings.DATABASE_ROUTERS = [OnlyNamed()]
    assert placement.home(Club.readers.through) == "blog"
    assert placement.home(Club.patrons.through) == "shop"
    assert placement.may_live(Club.readers.through, "blog")
    assert not placement.may_live(Club.readers.through, "default")
    assert Club.readers.through.objects.db == "blog"
    assert Club.patrons.through.objects.db == "shop"
    club, reader = Club(pk=1), Reader(pk=1, slug="x")
    club._state.db, reader._state.db = "blog", "default"
    assert club.readers.all().db == "default"
    assert reader.clubs.all().db == "blog"


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({}, {}),
        ({"db_constraint": True}, {}),
        ({"verify": True, "blank": True}, {"verify": True, "blank": True}),
        ({"through_home": "shop"}, {"through_home": "shop"}),
    ],
)
def test_deconstruct(options, written):
    field = CrossDBManyToManyField("auth.User", **options)
    _, path, args, kwargs = field.deconstruct()
    assert path == "xdbrel.CrossDBManyToManyField"
    assert args == []
    assert kwargs.pop("to") == User._meta.label_lower
    assert kwargs == written
    assert {"verify", "through_home"} <= set(field.non_db_attrs)
    copied = field.clone()
    assert (copied.verify, copied.through_home) == (field.verify, field.through_home)


def test_a_state_has_the_model_in_between_only_where_it_has_a_home_of_its_own():
    from django.apps import apps

    state = ProjectState.from_apps(apps)
    of_clubs = {name for app, name in state.models if app == "clubs"}
    assert of_clubs == {
        "reader",
        "topic",
        "club",
        "membership",
        "club_patrons",
        "club_friends",
    }
    between = state.models["clubs", "club_patrons"]
    assert between.options["unique_together"] == {("club", "reader")}
    assert {"auto_created", "verbose_name"}.isdisjoint(between.options)
    assert between.managers == [("objects", ThroughManager("shop"))]
    model = state.apps.get_model("clubs", "club_patrons")
    assert placement.home(model) == "shop"
    assert model.objects.db == "shop"
    assert state.apps.get_model("clubs", "Club").patrons.through is model
    automatic = state.apps.get_model("clubs", "Club").readers.through
    assert placement.asked_about(automatic) is state.apps.get_model("clubs", "Club")
    assert isinstance(ModelState.from_model(Club), ModelState)


def test_copies():
    field = Club._meta.get_field("patrons")
    assert pickle.loads(pickle.dumps(field)) is field
    assert copy.deepcopy(field).through_home == "shop"


def test_an_abstract_base():
    with isolate_apps("tests.apps.blog"):

        class Read(models.Model):
            readers = CrossDBManyToManyField(User, related_name="+", through_home="shop")

            class Meta:
                abstract = True
                app_label = "blog"

        class Note(Read):
            class Meta:
                app_label = "blog"

    assert Note.readers.through._meta.label == "blog.Note_readers"
    assert placement.home(Note.readers.through) == "shop"
