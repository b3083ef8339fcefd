"""The shapes of Django that xdbrel leans on: each test fails when one of them changes."""

import inspect
from functools import partial

import pytest
from django.core.serializers import base, xml_serializer
from django.db import models
from django.db.models import Case, F, Prefetch, Value, When, deletion
from django.db.models.fields import related_descriptors
from django.db.models.sql.subqueries import UpdateQuery
from django.test.utils import isolate_apps

from tests.apps.blog.models import Post, Seat, Strict, StrictChild
from tests.apps.people.models import Person
from xdbrel import compat
from xdbrel.fields import through_tables


@pytest.mark.parametrize(
    "function",
    [
        related_descriptors.ForwardManyToOneDescriptor.__set__,
        related_descriptors.ReverseOneToOneDescriptor.__set__,
        related_descriptors.create_reverse_many_to_one_manager,
        related_descriptors.create_forward_many_to_many_manager,
        models.ForeignKey.validate,
    ],
)
def test_django_asks_the_router_by_its_global_name(function):
    """A copy with another ``router`` is of use only while the function asks ``router``."""

    def names(code):
        yield from code.co_names
        for constant in code.co_consts:
            if inspect.iscode(constant):
                yield from names(constant)

    assert "router" in set(names(function.__code__))
    compat.with_globals(function, router=None)


def test_a_manager_asks_for_a_manager_by_its_global_name():
    """``user.posts(manager=…)`` makes another manager, and must make one of ours."""
    made = related_descriptors.create_reverse_many_to_one_manager(
        models.Manager, Post._meta.get_field("author").remote_field
    )
    assert "create_reverse_many_to_one_manager" in made.__call__.__code__.co_names


def test_what_the_many_to_many_field_leans_on():
    """Names in the functions that are copied, and methods of the managers that they make."""
    made = related_descriptors.create_forward_many_to_many_manager(
        models.Manager, Post._meta.get_field("tags").remote_field, False
    )
    assert "create_forward_many_to_many_manager" in made.__call__.__code__.co_names
    for method in ("create", "get_or_create", "update_or_create"):
        names = getattr(made, method).__code__.co_names
        assert "db_for_write" in names
        assert "__class__" in names  # The instance's model, where the new object's is meant.
    assert "using" in getattr(made, "set_base", made.set).__code__.co_names
    for method in ("_add_items", "_get_target_ids", "_build_remove_filters"):
        assert callable(getattr(made, method))
    names = models.ManyToManyField.contribute_to_class.__code__.co_names
    assert {"create_many_to_many_intermediary_model", "ManyToManyDescriptor"} <= set(names)
    names = models.ManyToManyField.contribute_to_related_class.__code__.co_names
    assert "ManyToManyDescriptor" in names


def test_who_asks_where_tables_are():
    """Tables of many-to-many fields with ``through_home`` are placed by three methods."""
    parameters = list(inspect.signature(through_tables._get_migratable_models).parameters)
    assert parameters == ["self", "app_config", "db", "include_auto_created"]
    parameters = list(inspect.signature(through_tables._allow_migrate_model).parameters)
    assert parameters == ["self", "db", "model"]
    assert list(inspect.signature(through_tables._from_apps).parameters) == ["cls", "apps"]
    from django.db.migrations.operations.base import Operation

    assert "allow_migrate_model" in Operation.allow_migrate_model.__code__.co_names


def test_with_globals_leaves_the_original_alone():
    original = related_descriptors.ForwardManyToOneDescriptor.__set__
    copied = compat.with_globals(original, router="another")
    assert copied.__globals__["router"] == "another"
    assert original.__globals__["router"] is related_descriptors.router
    assert copied.__qualname__ == original.__qualname__
    assert copied.__doc__ == original.__doc__


def test_with_globals_lets_a_function_find_its_own_copy():
    copied = compat.with_globals(recursive, recursive=recursive, VALUE=5)
    assert copied(1) == 5
    assert recursive(1) == 1


VALUE = 1


def recursive(depth):
    return recursive(depth - 1) if depth else VALUE


def test_with_globals_refuses_a_global_that_is_gone():
    with pytest.raises(
        AttributeError, match=r"^tests\.unit\.test_compat has no global 'gone' any more$"
    ):
        compat.with_globals(recursive, gone=1)


@pytest.mark.parametrize(
    "descriptor",
    [Post.author, Person.signature, Person(pk=1).strict],
    ids=["fk", "o2o", "reverse"],
)
def test_the_prefetch_protocol(descriptor):
    """Six values, of which the last says that the cache is not written by ``setattr()``."""
    django = inspect.signature(
        related_descriptors.ForwardManyToOneDescriptor.get_prefetch_querysets
    )
    ours = inspect.signature(type(Post.author).get_prefetch_querysets)
    assert list(ours.parameters) == list(django.parameters)
    assert callable(descriptor.get_prefetch_querysets)
    assert hasattr(Prefetch("author"), "get_current_querysets")
    source = inspect.getsource(models.query.prefetch_one_level)
    order = ["rel_qs", "rel_obj_attr", "instance_attr", "single", "cache_name", "is_descriptor"]
    before = source[: source.index(") = prefetcher.get_prefetch_querysets(")]
    unpacked = before[before.rindex("    (\n") :]
    assert [name.strip() for name in unpacked.strip(" (\n").split(",") if name.strip()] == order


def test_slices_are_narrowed_by_a_function_of_django():
    signature = inspect.signature(related_descriptors._filter_prefetch_queryset)
    assert list(signature.parameters) == ["queryset", "field_name", "instances"]


def test_the_hook_for_placeholders():
    """Django 5.2 asks for ``get_placeholder``, 6.1 for ``get_placeholder_sql``."""
    name = "get_placeholder_sql" if compat.HAS_FETCH_MODES else "get_placeholder"
    compilers = inspect.getsource(models.sql.compiler)
    assert f'getattr(field, "{name}", None)' in compilers
    assert name in inspect.getsource(Value.as_sql)


def test_only_fields_that_verify_have_the_hook():
    """A field that shows it makes Django give up its faster inserts."""
    plain, verifying = Post._meta.get_field("author"), Strict._meta.get_field("person")
    for name in ("get_placeholder", "get_placeholder_sql"):
        assert not hasattr(plain, name)
        assert hasattr(verifying, name)


def test_what_an_update_query_holds():
    """A queryset's update names the model, a save and an ancestor's part do not."""
    field = Strict._meta.get_field("person")
    query = Strict.objects.all().query.chain(UpdateQuery)
    query.add_update_values({"person": 1})
    assert query.values == [(field, Strict, 1)]
    save = Strict._base_manager.filter(pk=1).query.chain(UpdateQuery)
    save.add_update_fields([(field, None, 1)])
    assert save.values == [(field, None, 1)]
    assert not compat.is_ancestor_update(save)
    child = StrictChild.objects.all().query.chain(UpdateQuery)
    child.add_update_values({"person": 1})
    child.related_ids = {Strict: [1, 2]}
    (part,) = child.get_related_updates()
    assert part.values == [(field, None, 1)]
    assert compat.is_ancestor_update(part)


def test_a_raw_save_passes_pre_save_by():
    source = inspect.getsource(models.Model._save_table)
    assert "(getattr(self, f.attname) if raw else f.pre_save(self, False))" in source


def test_an_update_makes_instances_ready_to_be_saved():
    source = inspect.getsource(models.sql.compiler.SQLUpdateCompiler.as_sql)
    assert 'hasattr(val, "prepare_database_save")' in source
    assert "val = val.prepare_database_save(field)" in source


def test_an_insert_says_whether_it_is_raw():
    query = models.sql.InsertQuery(Seat)
    query.insert_values([], [], raw=True)
    assert query.raw is True


def test_cases_keep_their_parts():
    case = Case(When(pk=1, then=Value(2)), default=F("person"))
    assert [when.result for when in case.cases] == [Value(2)]
    assert case.default == F("person")


def test_fixtures_are_read_by_functions_that_can_be_replaced():
    signature = inspect.signature(base.deserialize_fk_value)
    assert list(signature.parameters) == [
        "field",
        "field_value",
        "using",
        "handle_forward_references",
    ]
    xml = xml_serializer.Deserializer._handle_fk_field_node
    assert list(inspect.signature(xml).parameters) == ["self", "node", "field"]


def test_fetch_modes():
    assert hasattr(models, "FETCH_PEERS") == compat.HAS_FETCH_MODES
    if compat.HAS_FETCH_MODES:
        assert hasattr(Post.objects.all(), "_fetch_mode")
        assert models.FETCH_PEERS.track_peers
        assert Post()._state.peers == ()


def test_database_level_policies():
    assert not compat.is_database_level(models.CASCADE)
    for name in ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT"):
        assert hasattr(models, name) == compat.HAS_FETCH_MODES
        if hasattr(models, name):
            assert compat.is_database_level(getattr(models, name))


def test_the_keys_that_a_collector_asks_for():
    """``related_objects()`` filters by instances, which the look-up turns into keys."""
    field = Post._meta.get_field("author")
    collector = deletion.Collector(using="default")
    users = [field.remote_field.model(pk=pk) for pk in (3, 4)]
    sub_objs = collector.related_objects(Post, [field], users)
    assert compat.keys_of_related_objects(sub_objs, field) == [3, 4]


def test_a_query_without_such_a_condition_is_an_error():
    field = Post._meta.get_field("author")
    with pytest.raises(LookupError, match="no author__in condition"):
        compat.keys_of_related_objects(Post.objects.filter(title="x"), field)


def test_the_relations_that_a_collector_follows():
    names = {rel.field.name for rel in compat.deletion_relations(Person)}
    assert {"person", "recipient", "owner", "writer"} <= names


@isolate_apps("tests.apps.blog")
def test_accessors_are_chosen_by_class_attributes():
    """The hooks by which the descriptors come in."""
    for name in ("related_accessor_class", "forward_related_accessor_class", "rel_class"):
        assert hasattr(models.ForeignKey, name)
        assert hasattr(models.OneToOneField, name)


@pytest.mark.django_db(transaction=True)
def test_what_fails_after_a_commit_is_logged_by_its_name(caplog):
    """The name alone: Django would ask a partial for one, or spell out its arguments."""

    def settle(secret):
        raise ValueError("no connection")

    compat.on_commit_robustly(partial(settle, "row contents"), using="default")
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith(f"Error calling {settle.__qualname__} in on_commit()")
    assert "row contents" not in record.getMessage()
