"""Keys in statements and in JSON."""

import datetime
import decimal
import json
import uuid

import pytest
from django.core.exceptions import EmptyResultSet
from django.db import connections, models
from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL
from django.db.models import F
from django.test.utils import isolate_apps
from hypothesis import given
from hypothesis import strategies as st

from tests.apps.blog.models import Post, Quote, Visit
from tests.apps.people.models import Country, Day, Device, Member, Rate
from xdbrel import keys

#: One strategy for each type of key, and a field of that type.
TYPES = {
    "integer": (models.IntegerField(), st.integers(-(2**31), 2**31 - 1)),
    "big": (models.BigAutoField(primary_key=True), st.integers(1, 2**63 - 1)),
    "text": (models.CharField(max_length=100), st.text(max_size=100)),
    "uuid": (models.UUIDField(), st.uuids()),
    "decimal": (
        models.DecimalField(max_digits=12, decimal_places=2),
        st.decimals(-(10**9), 10**9, places=2, allow_nan=False),
    ),
    "date": (models.DateField(), st.dates()),
    "datetime": (models.DateTimeField(), st.datetimes(timezones=st.just(datetime.UTC))),
    "time": (models.TimeField(), st.times()),
    "duration": (models.DurationField(), st.timedeltas()),
    "float": (models.FloatField(), st.floats(allow_nan=False, allow_infinity=False)),
    "boolean": (models.BooleanField(), st.booleans()),
    "address": (models.GenericIPAddressField(), st.ip_addresses(v=4).map(str)),
}


@pytest.mark.parametrize("name", TYPES)
def test_encode_and_decode_are_each_others_inverse(name):
    """Whatever JSON does in between."""
    field, values = TYPES[name]
    field.set_attributes_from_name("key")

    @given(st.lists(values, max_size=5))
    def check(wanted):
        carried = json.loads(json.dumps(keys.encode(wanted, field)))
        assert keys.decode(carried, field) == wanted

    check()


@isolate_apps("tests.apps.blog")
def test_binary_keys_go_round():
    class Blob(models.Model):
        key = models.BinaryField(primary_key=True)

        class Meta:
            app_label = "blog"

    field = Blob._meta.pk

    @given(st.lists(st.binary(max_size=50), max_size=5))
    def check(wanted):
        carried = json.loads(json.dumps(keys.encode(wanted, field)))
        assert [bytes(key) for key in keys.decode(carried, field)] == wanted

    check()


def test_relations_carry_keys_of_their_last_target():
    assert keys.key_field(Visit._meta.get_field("device")) is Device._meta.pk
    member = keys.key_field(Visit._meta.get_field("member"))
    assert member is Member._meta.get_field("id")
    assert keys.encode([uuid.UUID(int=5)], Visit._meta.get_field("device")) == [
        "00000000-0000-0000-0000-000000000005"
    ]


@given(st.lists(st.integers(), max_size=50), st.integers(1, 20))
def test_chunks_keep_everything_in_order(items, size):
    made = list(keys.chunks(items, size))
    assert [item for chunk in made for item in chunk] == items
    assert all(len(chunk) == size for chunk in made[:-1])
    assert all(0 < len(chunk) <= size for chunk in made)


def sql(field_name, values, connection, model=Post):
    query = model._base_manager.filter(keys.KeyIn(F(field_name), values)).query
    compiler = query.get_compiler(connection=connection)
    return compiler.as_sql()


@pytest.fixture
def postgres():
    """A wrapper that compiles statements and connects to nothing."""
    return PostgreSQL({**connections["default"].settings_dict, "NAME": "none"}, "default")


def test_postgresql_takes_an_array(postgres):
    one = uuid.UUID(int=1)
    for model, name, values, cast, sent in (
        (Post, "author_id", [1, -2], "bigint[]", "{1,-2}"),
        (Visit, "country_id", ["NZ"], "text[]", ["NZ"]),
        (Visit, "device_id", [one], "uuid[]", f"{{{one}}}"),
    ):
        statement, params = sql(name, values, postgres, model)
        assert f'"{name}" = ANY(%s::{cast})' in statement
        assert params == (sent,)


def test_null_is_no_key(postgres):
    assert sql("author_id", [1, None], postgres, Post)[1] == ("{1}",)
    with pytest.raises(EmptyResultSet):
        sql("author_id", [None], postgres, Post)


def test_other_types_are_listed_everywhere(postgres):
    statement, params = sql("day_id", [datetime.date(2024, 1, 1)] * 2, postgres, Quote)
    assert '"day_id" IN (%s, %s)' in statement
    statement, params = sql("rate_id", [decimal.Decimal("1.5")], postgres, Quote)
    assert '"rate_id" IN (%s)' in statement
    assert len(params) == 1


def test_no_keys_are_no_rows(postgres):
    with pytest.raises(EmptyResultSet):
        sql("author_id", [], postgres)


@isolate_apps("tests.apps.blog")
def test_a_custom_column_type_is_listed(postgres):
    """What an array of it would be is not known."""

    class Odd(models.IntegerField):
        def db_type(self, connection):
            return "odd"

    class Thing(models.Model):
        odd = Odd()

        class Meta:
            app_label = "blog"

    statement, _ = sql("odd", [1], postgres, Thing)
    assert '"odd" IN (%s)' in statement


def limit_parameters(monkeypatch, number):
    """Let the database of ``default`` take so many parameters, however its features say it."""
    features = connections["default"].features
    monkeypatch.delitem(vars(features), "max_query_params", raising=False)
    monkeypatch.setattr(type(features), "max_query_params", number)


def test_chunk_size_follows_the_setting_and_the_database(settings, monkeypatch):
    limit_parameters(monkeypatch, 999)
    listed, field = Rate._meta.pk, Day._meta.pk
    assert keys.chunk_size("default", listed) == 999
    assert keys.chunk_size("default", listed, parameters=2) == 499
    assert keys.chunk_size("default", field, parameters=5000) == 1
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 50}
    assert keys.chunk_size("default", listed) == 50
    limit_parameters(monkeypatch, None)
    assert keys.chunk_size("default", Country._meta.pk) == 50


def test_one_parameter_is_not_limited(settings, monkeypatch):
    connection = connections["default"]
    limit_parameters(monkeypatch, 999)
    number = Post._meta.get_field("author")
    one = settings.XDBREL.get("CHUNK_SIZE", 10_000)
    expected = 999 if connection.vendor == "mysql" else one
    assert keys.chunk_size("default", number) == expected
    assert keys.chunk_size("default", number, listed=True) == 999
