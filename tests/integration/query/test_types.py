"""Values that a query brings from one database to another are there what they were at home."""

import datetime
import math
import uuid
from decimal import Decimal

import pytest
from django.db import DataError, connections
from django.db.models import (
    Count,
    DateTimeField,
    DecimalField,
    Exists,
    F,
    JSONField,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
)
from django.utils import timezone

from tests.apps.freight.models import Berth, Celsius, Crate, Dock, Waybill

pytestmark = pytest.mark.django_db(databases=["default", "blog"])

BOTH = {connections["default"].vendor, connections["blog"].vendor}
UTC = datetime.UTC

VALUES = [
    ("small", -32768),
    ("small", 32767),
    ("integer", -(2**31)),
    ("integer", 2**31 - 1),
    ("big", -(2**63)),
    ("big", 2**63 - 1),
    ("positive", 2**31 - 1),
    ("positive_big", 2**63 - 1),
    ("money", Decimal("-123456789012.34")),
    ("money", Decimal("0.00")),
    ("fine", Decimal("0.00000000012345678901")),
    ("ratio", 0.1),
    ("ratio", -1.7976931348623157e308),
    ("ratio", 5e-324),
    ("char", "Grüße, 東京 👩‍👩‍👧 e\u0301 %s \\ ' \" {a,b} NULL"),
    ("char", ""),
    ("char", "tab\tline\nreturn\r\x01\x7f \u2028"),
    ("text", "\\N"),
    ("text", "long " * 20_000),
    ("day", datetime.date(1, 1, 1)),
    ("day", datetime.date(9999, 12, 31)),
    ("hour", datetime.time(23, 59, 59, 999999)),
    ("hour", datetime.time(0, 0)),
    ("moment", datetime.datetime(2024, 3, 31, 1, 30, 0, 1, tzinfo=UTC)),
    ("moment", datetime.datetime(1583, 1, 1, tzinfo=UTC)),
    ("span", datetime.timedelta(days=-3, microseconds=1)),
    ("span", datetime.timedelta(days=40_000, hours=5, seconds=59, microseconds=999_999)),
    ("uuid", uuid.UUID("00000000-0000-4000-8000-00000000000a")),
    # Its keys in the order of PostgreSQL, which MariaDB takes to be part of the value.
    ("data", {"": 1.5, "a": {"b": [1, None, 'ü 👍 \\ "']}, "big": 2**60}),
    ("data", []),
    ("data", "text"),
    ("data", False),
    ("blob", bytes(range(256))),
    ("blob", b""),
    ("flag", True),
    ("flag", False),
    ("address", "192.168.0.1"),
    ("address", "2001:db8::ff00:42:8329"),
    ("heat", Celsius(36.6)),
    ("words", ("eine", "tüte", "👍")),
    ("words", ()),
    ("sealed", "täglich"),
]


def named(values):
    ids = [f"{field}-{n}" for n, (field, _) in enumerate(values)]
    return pytest.mark.parametrize(("field", "value"), values, ids=ids)


NAMED = named(VALUES)
#: JSON of two columns compares by its text on some databases.
COMPARED = named([(field, value) for field, value in VALUES if field != "data"])


def other(value):
    """Return a value of the same type that differs from ``value``."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (dict, list)) or value == "text":
        return {"other": 1}
    if isinstance(value, (int, float, Decimal)):
        return type(value)(1 if value != 1 else 2)
    return {
        str: "10.0.0.9",
        bytes: b"other",
        tuple: ("other",),
        datetime.date: datetime.date(2000, 1, 1),
        datetime.time: datetime.time(1, 1),
        datetime.datetime: datetime.datetime(2000, 1, 1, tzinfo=UTC),
        datetime.timedelta: datetime.timedelta(1),
        uuid.UUID: uuid.UUID(int=7),
    }[type(value)]


def one(queryset):
    ((value,),) = list(queryset)
    return value


def same(value, expected):
    if isinstance(expected, bytes):
        value = bytes(value)
    return value == expected and type(value) is type(expected)


@NAMED
def test_values_read_as_they_do_at_home(field, value):
    crate = Crate.objects.create(**{field: value})
    Waybill.objects.create(crate=crate, **{field: value})

    expected = one(Crate.objects.values_list(field))
    assert same(one(Waybill.objects.values_list(f"crate__{field}")), expected)
    expected = one(Waybill.objects.values_list(field))
    assert same(one(Crate.objects.values_list(f"waybills__{field}")), expected)


@NAMED
def test_values_are_in_the_models_that_come_with_a_relation(field, value):
    crate = Crate.objects.create(**{field: value})
    Waybill.objects.create(crate=crate)

    found = getattr(Waybill.objects.select_related("crate").get().crate, field)
    assert same(found, getattr(Crate.objects.get(), field))


@COMPARED
def test_values_equal_the_same_ones_on_the_other_side(field, value):
    alike, unlike = (Crate.objects.create(**{field: one_of}) for one_of in (value, other(value)))
    first = Waybill.objects.create(crate=alike, **{field: value})
    Waybill.objects.create(crate=unlike, **{field: value})
    Waybill.objects.create(crate=Crate.objects.create(), **{field: value})

    assert list(Waybill.objects.filter(**{f"crate__{field}": F(field)})) == [first]
    assert list(Crate.objects.filter(**{f"waybills__{field}": F(field)})) == [alike]


@NAMED
def test_conditions_that_stay_here_find_values_that_were_brought(field, value):
    crate = Crate.objects.create(**{field: value})
    bill = Waybill.objects.create(crate=crate, number=1, **{field: value})
    Waybill.objects.create(crate=Crate.objects.create(**{field: other(value)}), number=2)

    here = Waybill.objects.filter(Q(**{f"crate__{field}": value}) | Q(number=-1))
    assert list(here) == [bill]
    assert list(Waybill.objects.filter(**{f"crate__{field}": value})) == [bill]
    assert not Waybill.objects.filter(number=1).exclude(**{f"crate__{field}": value}).exists()
    there = Crate.objects.filter(Q(**{f"waybills__{field}": value}) | Q(name="-"))
    assert list(there) == [crate]


@pytest.mark.parametrize("field", sorted({field for field, _ in VALUES}))
def test_null_stays_null(field):
    bill = Waybill.objects.create(crate=Crate.objects.create())

    assert one(Waybill.objects.values_list(f"crate__{field}")) is None
    assert one(Crate.objects.values_list(f"waybills__{field}")) is None
    assert list(Waybill.objects.filter(**{f"crate__{field}__isnull": True})) == [bill]
    assert not Waybill.objects.filter(**{f"crate__{field}": F(field)}).exists()


def test_a_generated_column_comes_as_any_other():
    crate = Crate.objects.create(half=21)
    bill = Waybill.objects.create(crate=crate, half=21)

    assert one(Waybill.objects.values_list("crate__double")) == 42
    assert list(Waybill.objects.filter(crate__double=F("double"))) == [bill]
    assert one(Crate.objects.values_list("waybills__double")) == 42


def test_decimals_keep_every_digit():
    if "sqlite" in BOTH:
        value = Decimal("12345.67890123450000000000")
    else:
        value = Decimal("12345678901234567890.12345678901234567890")
    crate = Crate.objects.create(fine=value)
    bill = Waybill.objects.create(crate=crate, fine=value)

    assert str(one(Waybill.objects.values_list("crate__fine"))) == str(value)
    assert str(one(Crate.objects.values_list("waybills__fine"))) == str(value)
    assert list(Waybill.objects.filter(crate__fine=F("fine"))) == [bill]
    # One in the last place is another number.
    step = Decimal(1).scaleb(-10 if "sqlite" in BOTH else -20)
    assert list(Waybill.objects.filter(crate__fine__lt=F("fine") + step)) == [bill]
    assert not Waybill.objects.filter(crate__fine__lt=F("fine")).exists()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_that_are_none_come_where_the_database_has_them(value):
    crate, bill = Crate.objects.create(), Waybill.objects.create()
    has = {
        alias: connections[alias].vendor == "postgresql"
        or (connections[alias].vendor == "sqlite" and math.isinf(value))
        for alias in ("default", "blog")
    }
    Waybill.objects.filter(pk=bill.pk).update(crate=crate)
    if has["blog"]:
        Crate.objects.update(ratio=value)
        check_number(value, has["default"], Waybill.objects.values_list("crate__ratio"), "Crate")
    if has["default"]:
        Waybill.objects.update(ratio=value)
        check_number(value, has["blog"], Crate.objects.values_list("waybills__ratio"), "Waybill")


def check_number(value, held, queryset, model):
    if held:
        assert repr(one(queryset)) == repr(value)
        return
    source = "blog" if model == "Crate" else "default"
    target = "default" if model == "Crate" else "blog"
    with pytest.raises(DataError) as caught:
        list(queryset)
    assert str(caught.value) == (
        f"A value of freight.{model}.ratio cannot be brought from database {source!r} to "
        f"{target!r}: there is no number {value} there."
    )


def test_text_with_nul_is_refused_by_postgres():
    crate, bill = Crate.objects.create(), Waybill.objects.create()
    Waybill.objects.update(crate=crate)
    for model, here, there, queryset in (
        (Crate, "default", "blog", Waybill.objects.values_list("crate__text")),
        (Waybill, "blog", "default", Crate.objects.values_list("waybills__text")),
    ):
        if connections[there].vendor == "postgresql":
            continue
        model.objects.update(text="a\x00b")
        if connections[here].vendor != "postgresql":
            assert one(queryset) == "a\x00b"
            continue
        with pytest.raises(DataError) as caught:
            list(queryset)
        assert str(caught.value) == (
            f"A value of freight.{model.__name__}.text cannot be brought from database {there!r} "
            f"to {here!r}: text of PostgreSQL contains no NUL (0x00) character."
        )
        # The transaction goes on.
        assert Waybill.objects.get() == bill


def test_unsigned_integers_of_mariadb_come_whole_or_not_at_all():
    crate = Crate.objects.create()
    bill = Waybill.objects.create(crate=crate)
    largest = 2**64 - 1
    for model, here, there, queryset in (
        (Crate, "default", "blog", Waybill.objects.values_list("crate__positive_big")),
        (Waybill, "blog", "default", Crate.objects.values_list("waybills__positive_big")),
    ):
        if connections[there].vendor != "mysql":
            continue
        model.objects.update(positive_big=largest)
        if connections[here].vendor == "mysql":
            assert one(queryset) == largest
            continue
        with pytest.raises(DataError) as caught:
            list(queryset)
        assert str(caught.value) == (
            f"A value of freight.{model.__name__}.positive_big cannot be brought from database "
            f"{there!r} to {here!r}: integers end at 9223372036854775807 there."
        )
        assert Waybill.objects.get() == bill


def test_json_null_is_not_null():
    null = Crate.objects.create(name="null", data=Value(None, JSONField()))
    nothing = Crate.objects.create(name="nothing")
    bills = {crate.name: Waybill.objects.create(crate=crate) for crate in (null, nothing)}

    assert list(Waybill.objects.filter(crate__data__isnull=True)) == [bills["nothing"]]
    either = Waybill.objects.filter(Q(crate__data__isnull=True) | Q(number=-1))
    assert list(either) == [bills["nothing"]]
    assert list(Waybill.objects.filter(Q(crate__data__isnull=False) | Q(number=-1))) == [
        bills["null"]
    ]


def test_json_that_was_brought_is_looked_into():
    crate = Crate.objects.create(data={"a": {"b": [1, 2]}, "name": "Ada", "n": None})
    bill = Waybill.objects.create(crate=crate, number=2, char="Ada", data={"name": "Ada"})
    Waybill.objects.create(crate=Crate.objects.create(data={"a": 1}))

    def here(**condition):
        return list(Waybill.objects.filter(Q(**condition) | Q(number=-1)))

    assert here(crate__data__a__b=[1, 2]) == [bill]
    assert here(crate__data__a__b__1=2) == [bill]
    assert here(crate__data__name="Ada") == [bill]
    assert here(crate__data__name__startswith="A") == [bill]
    assert here(crate__data__has_key="n") == [bill]
    assert here(crate__data__n__isnull=False) == [bill]
    names = Waybill.objects.filter(number=2).values_list("crate__data__name")
    assert one(names) == "Ada"
    assert one(Waybill.objects.filter(number=2).values_list("crate__data__a")) == {"b": [1, 2]}
    there = Crate.objects.filter(Q(waybills__data__name="Ada") | Q(name="-"))
    assert list(there) == [crate]


def test_results_of_functions_come_as_their_types():
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
    crate = Crate.objects.create(
        big=2**62, money=Decimal("1.50"), moment=moment, span=datetime.timedelta(1), flag=True
    )
    bill = Waybill.objects.create(
        crate=crate, big=2**62, money=Decimal("3.00"), moment=moment, number=1
    )
    inner = Crate.objects.filter(pk=OuterRef("crate")).order_by()

    def annotated(value):
        return one(Waybill.objects.annotate(found=value).values_list("found"))

    assert annotated(Subquery(inner.values("moment"))) == moment
    assert annotated(Subquery(inner.values("span"))) == datetime.timedelta(1)
    assert annotated(Exists(inner)) is True
    assert annotated(Max("crate__moment")) == moment
    assert annotated(Sum("crate__money")) == Decimal("1.50")
    assert annotated(Count("crate__flag")) == 1
    latest = Crate.objects.values("name").annotate(last=Max("moment")).values("last")
    assert list(Waybill.objects.filter(moment__in=latest)) == [bill]
    doubled = Crate.objects.annotate(
        twice=Sum(F("money") * 2, output_field=DecimalField(max_digits=20, decimal_places=2))
    ).values("twice")
    assert list(Waybill.objects.filter(money__in=doubled)) == [bill]
    first = Crate.objects.annotate(first=Min("moment", output_field=DateTimeField()))
    assert list(Waybill.objects.filter(moment__in=first.values("first"))) == [bill]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "Grüße 👍"),
        ("uuid", uuid.UUID(int=2**127 + 5)),
        ("amount", Decimal("-1234567890.1250")),
        ("day", datetime.date(1815, 12, 10)),
        ("moment", datetime.datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("span", datetime.timedelta(days=-1, microseconds=7)),
        ("address", "2001:db8::1"),
        ("heat", Celsius(-40.5)),
    ],
)
def test_relations_by_keys_of_any_type_are_followed(field, value):
    rest = {
        "code": "x",
        "uuid": uuid.UUID(int=1),
        "amount": Decimal(1),
        "day": datetime.date(2000, 1, 1),
        "moment": datetime.datetime(2000, 1, 1, tzinfo=UTC),
        "span": datetime.timedelta(1),
        "address": "10.0.0.1",
        "heat": Celsius(1.0),
    }
    dock = Dock.objects.create(**{**rest, field: value}, name="here")
    berth = Berth.objects.create(**{field: dock})
    Berth.objects.create()

    assert list(Berth.objects.filter(**{f"{field}__name": "here"})) == [berth]
    assert list(Berth.objects.filter(Q(**{f"{field}__name": "here"}) | Q(pk=-1))) == [berth]
    assert list(Berth.objects.filter(pk=berth.pk).values_list(f"{field}__name")) == [("here",)]
    assert list(Dock.objects.filter(**{f"by_{field}": berth})) == [dock]
    assert one(Dock.objects.values_list(f"by_{field}__pk")) == berth.pk
    assert list(Berth.objects.filter(**{f"{field}__in": Dock.objects.filter(name="here")})) == [
        berth
    ]


class TestTimeZones:
    MOMENT = datetime.datetime(2024, 7, 1, 12, 30, 15, 123456, tzinfo=UTC)

    @pytest.fixture
    def bill(self):
        crate = Crate.objects.create(moment=self.MOMENT)
        return Waybill.objects.create(crate=crate, moment=self.MOMENT)

    @pytest.mark.parametrize("alias", ["default", "blog"])
    def test_an_alias_may_have_a_zone_of_its_own(self, alias, set_zone):
        set_zone(alias, "America/St_Johns")
        crate = Crate.objects.create(moment=self.MOMENT)
        bill = Waybill.objects.create(crate=crate, moment=self.MOMENT)

        assert one(Waybill.objects.values_list("crate__moment")) == self.MOMENT
        assert one(Crate.objects.values_list("waybills__moment")) == self.MOMENT
        assert list(Waybill.objects.filter(crate__moment=F("moment"))) == [bill]
        assert list(Crate.objects.filter(waybills__moment=F("moment"))) == [crate]
        here = Q(crate__moment=self.MOMENT) | Q(number=-1)
        assert list(Waybill.objects.filter(here)) == [bill]

    def test_the_active_zone_decides_about_days(self, bill):
        if not all(connections[a].features.has_zoneinfo_database for a in ("default", "blog")):
            pytest.skip("MariaDB was given no time zones")
        with timezone.override("Asia/Tokyo"):
            late = datetime.datetime(2024, 7, 1, 20, tzinfo=UTC)
            Crate.objects.update(moment=late)
            here = Q(crate__moment__date=datetime.date(2024, 7, 2)) | Q(number=-1)
            assert list(Waybill.objects.filter(here)) == [bill]

    @pytest.fixture
    def set_zone(self, db):
        changed = []

        def set_zone(alias, name):
            connection = connections[alias]
            changed.append((connection, connection.settings_dict["TIME_ZONE"]))
            connection.settings_dict["TIME_ZONE"] = name
            forget_zone(connection)

        yield set_zone
        for connection, name in changed:
            connection.settings_dict["TIME_ZONE"] = name
            forget_zone(connection)


def forget_zone(connection):
    for name in ("timezone", "timezone_name"):
        connection.__dict__.pop(name, None)
    connection.ensure_timezone()


def test_naive_moments_come_without_time_zones(settings):
    settings.USE_TZ = False
    for alias in ("default", "blog"):
        forget_zone(connections[alias])
    try:
        moment = datetime.datetime(2024, 7, 1, 12, 30, 15, 123456)
        crate = Crate.objects.create(moment=moment)
        bill = Waybill.objects.create(crate=crate, moment=moment)

        assert one(Waybill.objects.values_list("crate__moment")) == moment
        assert one(Crate.objects.values_list("waybills__moment")) == moment
        assert list(Waybill.objects.filter(crate__moment=F("moment"))) == [bill]
        assert list(Waybill.objects.filter(Q(crate__moment=moment) | Q(number=-1))) == [bill]
    finally:
        settings.USE_TZ = True
        for alias in ("default", "blog"):
            forget_zone(connections[alias])
