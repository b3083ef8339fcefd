"""Large sets of keys go from one PostgreSQL to another as a bitmap, or as an unread array."""

import uuid

import pytest
from django.db import connections
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from tests.apps.blog.models import Visit
from tests.apps.people.models import Badge, Device, Member
from tests.settings import DATABASES, LAYOUT
from xdbrel.exceptions import QueryTooLarge
from xdbrel.query import limits, statistics

pytestmark = [
    pytest.mark.django_db(databases=list(DATABASES)),
    pytest.mark.skipif(LAYOUT != "postgres", reason="goes from PostgreSQL to PostgreSQL only"),
]

#: Close together, on both sides of zero and of a word's ends.
NUMBERS = [-129, -128, -65, -64, -1, 0, 1, 63, 64, 127, 128]


@pytest.fixture(autouse=True)
def _many(monkeypatch):
    """Few are many, and every table is small beside its keys."""
    monkeypatch.setattr(limits, "MANY", 0)
    statistics.forget()
    yield
    statistics.forget()


def visits_of(numbers):
    Badge.objects.bulk_create(Badge(number=number) for number in numbers)
    Visit.objects.bulk_create(Visit(badge_id=number) for number in numbers)
    return Visit.objects.create()


def found(queryset):
    return sorted(queryset.values_list("badge_id", flat=True))


def statement(queryset):
    with CaptureQueriesContext(connections["blog"]) as captured:
        list(queryset)
    return captured[-1]["sql"]


def test_close_integers_go_as_a_bitmap():
    visits_of(NUMBERS)
    wanted = [number for number in NUMBERS if number % 2]
    odd = Visit.objects.filter(badge__id__in=Badge.objects.filter(number__in=wanted).values("id"))
    assert found(odd) == wanted
    for bound in NUMBERS:
        above = Visit.objects.filter(badge__number__gte=bound, badge__pk__gt=0)
        assert found(above) == [number for number in NUMBERS if number >= bound]
    sql = statement(Visit.objects.filter(badge__pk__gt=0))
    assert "get_bit(" in sql
    assert "= ANY" not in sql


def test_null_and_dangling_keys_are_none_of_them():
    nobody = visits_of(NUMBERS)
    dangling = Visit.objects.create(badge_id=50_000)
    some = Q(badge__pk__gt=Badge.objects.get(number=-1).pk)
    assert found(Visit.objects.filter(some)) == [0, 1, 63, 64, 127, 128]
    rest = Visit.objects.exclude(some)
    assert set(rest.values_list("badge_id", flat=True)) == {-129, -128, -65, -64, -1, 50_000, None}
    assert nobody in rest
    assert dangling in rest


def test_scattered_integers_go_as_an_array():
    far = [-(2**31), -5, 0, 7, 2**31 - 1]
    visits_of(far)
    few = Visit.objects.filter(badge__pk__gt=0)
    assert found(few.exclude(badge__number=7)) == [-(2**31), -5, 0, 2**31 - 1]
    sql = statement(few)
    assert "= ANY('{" in sql
    assert "get_bit" not in sql


def test_of_many_more_rows_than_keys_an_index_finds_those(monkeypatch):
    monkeypatch.setattr(limits, "ROWS_OF_A_KEY", 0)
    visits_of(NUMBERS)
    all_of_them = Visit.objects.filter(badge__pk__gt=0)
    assert found(all_of_them) == NUMBERS
    sql = statement(all_of_them)
    assert "= ANY('{-129,-128,-65,-64,-1,0,1,63,64,127,128}'::bigint[])" in sql


def test_uuids_go_as_an_array():
    ids = sorted(uuid.uuid4() for _ in range(3))
    Device.objects.bulk_create(Device(id=one, name=str(place)) for place, one in enumerate(ids))
    Visit.objects.bulk_create(Visit(device_id=one) for one in [*ids, None])
    two = Visit.objects.filter(device__name__in=["0", "2"])
    assert sorted(two.values_list("device_id", flat=True)) == [ids[0], ids[2]]
    assert Visit.objects.exclude(device__name__in=["0", "2"]).count() == 2
    sql = statement(two)
    assert "::uuid[])" in sql


def test_keys_of_a_multi_table_child():
    members = [Member.objects.create(name=name) for name in "abc"]
    Visit.objects.bulk_create(Visit(member=member) for member in members)
    (visit,) = Visit.objects.filter(member__name="b")
    assert visit.member_id == members[1].pk


def test_no_rows_at_all():
    visits_of(NUMBERS)
    assert Visit.objects.filter(badge__number__gt=1_000).count() == 0
    assert Visit.objects.filter(badge__number__in=[], badge__pk__gt=0).count() == 0
    assert Visit.objects.exclude(badge__number__gt=1_000).count() == len(NUMBERS) + 1


def test_more_than_may_be_brought_is_refused(settings):
    visits_of(NUMBERS)
    settings.XDBREL = {**settings.XDBREL, "MAX_SHIPPED_ROWS": 5}
    with pytest.raises(QueryTooLarge):
        Visit.objects.filter(badge__pk__gt=0).count()


def test_the_plan_tells_how_many_there_are():
    visits_of(NUMBERS)
    steps = Visit.objects.filter(badge__pk__gt=0).explain_cross_db().steps
    assert [step.rows for step in steps if step.strategy == "keys"] == [len(NUMBERS)]
