"""How the fields are declared, taken apart, copied and checked; no database is asked."""

import copy
import pickle

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connections, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.operations import AlterField
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.test.utils import isolate_apps

import xdbrel
from tests.apps.blog.models import Article, Desk, Essay, Lenient, Letter, Post, Signature, Strict
from tests.apps.people.models import Person
from xdbrel.fields import CrossDBForeignKey, CrossDBOneToOneField

FIELDS = [
    (CrossDBForeignKey, "xdbrel.CrossDBForeignKey"),
    (CrossDBOneToOneField, "xdbrel.CrossDBOneToOneField"),
]


@pytest.mark.parametrize(("field_class", "path"), FIELDS)
def test_deconstruct_names_the_public_path(field_class, path):
    """Migrations keep this path for ever."""
    assert field_class("auth.User", models.CASCADE).deconstruct() == (
        None,
        path,
        [],
        {"to": "auth.user", "on_delete": models.CASCADE},
    )
    assert getattr(xdbrel, path.partition(".")[2]) is field_class


@pytest.mark.parametrize(("field_class", "path"), FIELDS)
def test_deconstruct_keeps_every_option(field_class, path):
    options = {
        "on_delete": models.SET_NULL,
        "null": True,
        "blank": True,
        "related_name": "things",
        "related_query_name": "thing",
        "limit_choices_to": {"is_active": True},
        "to_field": "username",
        "db_column": "owner",
        "db_index": False,
        "default": 1,
        "verify": True,
        "dangling": "none",
        "on_update": models.CASCADE,
        "masked": True,
    }
    _, found, args, kwargs = field_class("auth.User", **options).deconstruct()
    assert (found, args) == (path, [])
    assert kwargs == {**options, "to": "auth.user"}
    again = field_class(*args, **kwargs)
    assert again.deconstruct() == (None, found, args, kwargs)
    assert (again.verify, again.dangling) == (True, "none")
    assert (again.on_update, again.masked) == (models.CASCADE, True)


@pytest.mark.parametrize(("field_class", "path"), FIELDS)
@pytest.mark.parametrize("wrong", [models.SET_NULL, "CASCADE", None])
def test_on_update_is_one_of_three(field_class, path, wrong):
    with pytest.raises(ValueError) as caught:
        field_class("auth.User", models.CASCADE, on_update=wrong)
    assert str(caught.value) == (
        f"{field_class.__name__}: on_update must be models.PROTECT, models.CASCADE or "
        f"models.DO_NOTHING, not {wrong!r}."
    )


@pytest.mark.parametrize(("field_class", "path"), FIELDS)
@pytest.mark.parametrize(
    "options", [{"on_update": models.DO_NOTHING}, {"on_update": models.CASCADE}, {"masked": True}]
)
def test_options_are_seen_by_makemigrations_and_touch_no_table(field_class, path, options):
    """An AlterField each way that runs no SQL."""

    def state(**given):
        field = field_class("auth.User", models.CASCADE, related_name="+", **given)
        project = ProjectState()
        for name, fields in (("auth.User", []), ("blog.Note", [("author", field)])):
            app, model = name.split(".")
            keyed = [("id", models.BigAutoField(primary_key=True)), *fields]
            project.add_model(ModelState(app, model, keyed))
        return project

    for before, after in (({}, options), (options, {})):
        old, new = state(**before), state(**after)
        changes = MigrationAutodetector(old, new)._detect_changes()
        ((operation,),) = [migration.operations for migration in changes["blog"]]
        assert isinstance(operation, AlterField)
        assert operation.field.deconstruct()[3].keys() & {"on_update", "masked"} == set(after)
        fields = [
            project.apps.get_model("blog.Note")._meta.get_field("author") for project in (old, new)
        ]
        editor = connections["blog"].schema_editor(collect_sql=True)
        assert not editor._field_should_be_altered(*fields)


def test_deconstruct_keeps_the_policy_of_a_relation_that_crosses():
    """Not what stands in for it while the models live apart."""
    field = Post._meta.get_field("author")
    assert field.remote_field.on_delete is not models.CASCADE
    assert field.deconstruct()[3]["on_delete"] is models.CASCADE
    assert field.remote_field.on_delete == models.CASCADE


def test_deconstruct_names_the_setting_of_a_swappable_target():
    to = Post._meta.get_field("author").deconstruct()[3]["to"]
    assert to == "auth.user"
    assert to.setting_name == "AUTH_USER_MODEL"


def test_a_subclass_keeps_a_path_of_its_own():
    class OwnerField(CrossDBForeignKey):
        pass

    _, path, _, _ = OwnerField("auth.User", models.CASCADE).deconstruct()
    assert path == f"{__name__}.test_a_subclass_keeps_a_path_of_its_own.<locals>.OwnerField"


@pytest.mark.parametrize(("field_class", "path"), FIELDS)
def test_the_migration_writer_goes_round(field_class, path):
    field = field_class(
        "people.Person", models.PROTECT, verify=True, dangling="none", related_name="+"
    )
    text, imports = MigrationWriter.serialize(field)
    assert text == (
        f"{path}(dangling='none', on_delete=django.db.models.deletion.PROTECT, "
        f"related_name='+', to='people.person', verify=True)"
    )
    assert imports == {"import xdbrel", "import django.db.models.deletion"}
    scope = {}
    exec("\n".join(sorted(imports)), scope)
    assert eval(text, scope).deconstruct() == field.deconstruct()


def test_db_constraint_is_always_false():
    """It is taken, since code that makes fields passes it, and changes nothing."""
    for given in ({}, {"db_constraint": True}, {"db_constraint": False}):
        field = CrossDBForeignKey("auth.User", models.CASCADE, **given)
        assert field.db_constraint is False
        assert "db_constraint" not in field.deconstruct()[3]


def test_dangling_takes_two_words():
    with pytest.raises(
        ValueError,
        match=r'^CrossDBOneToOneField: dangling must be "raise" or "none", not \'null\'\.$',
    ):
        CrossDBOneToOneField("auth.User", models.CASCADE, dangling="null")


def test_djangos_own_errors_for_wrong_arguments():
    with pytest.raises(TypeError, match="on_delete must be callable"):
        CrossDBForeignKey("auth.User", "CASCADE")
    with pytest.raises(TypeError, match="First parameter to ForeignKey must be"):
        CrossDBForeignKey(5, models.CASCADE)


def test_options_of_ones_own_do_not_touch_the_table():
    attributes = Post._meta.get_field("author").non_db_attrs
    assert {"verify", "dangling", "related_name", "on_delete"} <= set(attributes)


def test_backends_know_the_fields_by_djangos_names():
    assert Post._meta.get_field("author").get_internal_type() == "ForeignKey"
    assert Signature._meta.get_field("person").get_internal_type() == "OneToOneField"
    assert type(Post._meta.get_field("author").remote_field).__name__ == "ManyToOneRel"
    assert type(Signature._meta.get_field("person").remote_field).__name__ == "OneToOneRel"


@isolate_apps("tests.apps.blog", "tests.apps.people", "django.contrib.auth")
def test_lazy_targets():
    """A string with an app, one without, and "self"."""

    class Note(models.Model):
        own = CrossDBForeignKey("self", models.CASCADE, related_name="+")
        near = CrossDBForeignKey("Pad", models.CASCADE)
        far = CrossDBForeignKey("people.Pen", models.CASCADE)
        never = CrossDBForeignKey("people.Nothing", models.CASCADE)

        class Meta:
            app_label = "blog"

    class Pad(models.Model):
        class Meta:
            app_label = "blog"

    class Pen(models.Model):
        class Meta:
            app_label = "people"

    targets = {field.name: field.remote_field.model for field in Note._meta.local_fields[1:]}
    assert targets == {"own": Note, "near": Pad, "far": Pen, "never": "people.Nothing"}
    assert Pad.note_set.rel.related_model is Note
    assert [error.id for error in Note.check()] == ["fields.E300"]
    never = Note._meta.get_field("never")
    assert never.remote_field.on_delete is models.CASCADE
    assert never.deconstruct()[3]["to"] == "people.nothing"
    with pytest.raises(ValueError, match="has not been loaded yet"):
        never.formfield()


@isolate_apps("tests.apps.blog")
def test_related_names():
    class Person(models.Model):
        class Meta:
            app_label = "blog"

    class Base(models.Model):
        owner = CrossDBForeignKey(
            Person,
            models.CASCADE,
            related_name="%(app_label)s_%(class)s_owned",
            related_query_name="%(class)s",
        )
        hidden = CrossDBForeignKey(Person, models.CASCADE, related_name="+")

        class Meta:
            abstract = True

    class First(Base):
        class Meta:
            app_label = "blog"

    class Second(Base):
        plain = CrossDBForeignKey(Person, models.CASCADE, related_query_name="plain")
        single = CrossDBOneToOneField(Person, models.CASCADE, related_query_name="asked")

        class Meta:
            app_label = "blog"

    names = {rel.get_accessor_name() for rel in Person._meta.related_objects}
    assert names == {"blog_first_owned", "blog_second_owned", "second_set", "second"}
    assert sorted(rel.name for rel in Person._meta.related_objects) == [
        "asked",
        "first",
        "plain",
        "second",
    ]
    assert not any(rel.related_name == "+" for rel in Person._meta.related_objects)
    assert First._meta.get_field("owner") is not Second._meta.get_field("owner")
    assert isinstance(First._meta.get_field("owner"), CrossDBForeignKey)


@isolate_apps("tests.apps.blog")
def test_a_swapped_target_gets_no_accessor():
    class Swapped(models.Model):
        class Meta:
            app_label = "blog"
            swappable = "AUTH_USER_MODEL"

    class Source(models.Model):
        target = CrossDBForeignKey(Swapped, models.CASCADE)

        class Meta:
            app_label = "blog"

    assert Swapped._meta.swapped == django_settings.AUTH_USER_MODEL
    assert [error.id for error in Source.check()] == ["fields.E301"]
    assert Post._meta.get_field("author").remote_field.model is User


def test_the_models_of_the_suite_pass_djangos_checks():
    """Those about fields and models, which look at the stand-ins for on_delete too."""
    found = [
        message
        for model in apps.get_models()
        if model._meta.app_label in ("people", "blog", "shop")
        for message in model.check(databases=["default", "blog", "shop"])
    ]
    assert found == []


@isolate_apps("tests.apps.blog")
def test_djangos_checks_of_policies_hold():
    class Source(models.Model):
        null = CrossDBForeignKey("people.Person", models.SET_NULL, related_name="+")
        default = CrossDBForeignKey("people.Person", models.SET_DEFAULT, related_name="+")
        unique = CrossDBForeignKey("people.Person", models.CASCADE, unique=True, related_name="+")

        class Meta:
            app_label = "blog"

    for field, expected in (("null", "E320"), ("default", "E321"), ("unique", "W342")):
        found = Source._meta.get_field(field).check()
        assert f"fields.{expected}" in [message.id for message in found]


@pytest.mark.parametrize(
    "field",
    [
        Post._meta.get_field("author"),
        Lenient._meta.get_field("author"),
        Strict._meta.get_field("person"),
        Signature._meta.get_field("person"),
        Desk._meta.get_field("lender"),
        Letter._meta.get_field("recipient"),
    ],
    ids=str,
)
def test_fields_are_copied_and_pickled(field):
    for again in (copy.copy(field), copy.deepcopy(field)):
        assert again == field
        assert again.deconstruct() == field.deconstruct()
        assert (again.verify, again.dangling) == (field.verify, field.dangling)
        assert hasattr(again, "get_placeholder_sql") == field.verify
        assert again.forward_related_accessor_class is field.forward_related_accessor_class
    assert copy.deepcopy(field).remote_field.field is not field
    # A field of a model pickles as a reference to it.
    assert pickle.loads(pickle.dumps(field)) is field
    assert pickle.loads(pickle.dumps(getattr(field.model, field.name))) is getattr(
        field.model, field.name
    )
    rel = pickle.loads(pickle.dumps(field.remote_field))
    assert (rel.policy, rel.related_name) == (
        field.remote_field.policy,
        field.remote_field.related_name,
    )


def test_an_unbound_field_pickles_with_its_options():
    field = CrossDBForeignKey("auth.User", models.CASCADE, verify=True, dangling="none")
    again = pickle.loads(pickle.dumps(field))
    assert again.deconstruct() == field.deconstruct()
    assert hasattr(again, "get_placeholder")


def test_clones_take_part_in_comparisons():
    """Rels are compared and hashed by their policy, whoever acts on it."""
    rel = Post._meta.get_field("author").remote_field
    assert rel == copy.copy(rel)
    assert hash(rel) == hash(copy.copy(rel))
    assert {rel: 1}[copy.copy(rel)] == 1


def test_an_inherited_field_is_of_the_parent():
    assert Essay._meta.get_field("writer").model is Article
    assert Essay._meta.get_field("writer") is Article._meta.get_field("writer")


def test_the_exception_class_names_model_and_field():
    error = Post.author.RelatedObjectDoesNotExist
    assert error.__qualname__ == "Post.author.RelatedObjectDoesNotExist"
    assert error.__module__ == Post.__module__
    assert issubclass(error, (User.DoesNotExist, AttributeError))
    error = Person.signature.RelatedObjectDoesNotExist
    assert error.__qualname__ == "Person.signature.RelatedObjectDoesNotExist"
    assert issubclass(error, Signature.DoesNotExist)


@isolate_apps("tests.apps.blog", "tests.apps.people")
def test_a_collation_is_the_targets_databases_own():
    """It is taken over by a database of the same kind, and by no other."""

    class Slug(models.Model):
        slug = models.CharField(max_length=9, primary_key=True, db_collation="nocase")

        class Meta:
            app_label = "people"

    class Page(models.Model):
        slug = CrossDBForeignKey(Slug, models.CASCADE)

        class Meta:
            app_label = "blog"

    field = Page._meta.get_field("slug")
    home = connections["default"]
    assert field.db_parameters(home)["collation"] == "nocase"
    other = copy.copy(connections["blog"])
    other.vendor = "yet another"
    assert field.db_parameters(other)["collation"] is None
    assert field.db_parameters(other)["type"] == Slug._meta.pk.db_parameters(other)["type"]


def test_class_getitem_for_annotations():
    assert CrossDBForeignKey["User", "User"] is CrossDBForeignKey
