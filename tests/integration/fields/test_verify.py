"""``verify=True``: targets are looked for whenever their keys are written."""

import json
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Coalesce

from tests.apps.archive.models import CASELESS, Entry, Topic
from tests.apps.blog.models import Seat, Strict, StrictChild
from tests.apps.people.models import Person
from xdbrel import compat
from xdbrel.exceptions import MissingTarget
from xdbrel.fields.verify import verify_keys

pytestmark = pytest.mark.django_db(databases="__all__")

MISSING = 987654


@pytest.fixture
def person():
    return Person.objects.create(name="ada")


@pytest.fixture
def asked(django_assert_num_queries):
    """Assert how many queries the target's home gets."""

    def expect(number):
        return django_assert_num_queries(number, connection=connections["default"])

    return expect


@contextmanager
def refused(*keys, relation="blog.Strict.person"):
    """Expect the write to be refused for these keys, inside a transaction of its own."""
    with pytest.raises(MissingTarget) as caught, transaction.atomic(using="blog"):
        yield
    named = f"key {keys[0]}" if len(keys) == 1 else f"keys {', '.join(map(str, keys))}"
    error = caught.value
    assert str(error) == (
        f"{relation}: {named} not found among people.Person in database 'default'; nothing was "
        f"written. Create the missing rows first, or declare the field with verify=False to "
        f"check later by scanning."
    )
    assert (error.relation, error.using, error.keys) == (relation, "default", list(keys))
    assert isinstance(error, IntegrityError)


def test_insert(person, asked):
    with asked(1):
        Strict.objects.create(person=person)
    with refused(MISSING):
        Strict.objects.create(person_id=MISSING)
    assert Strict.objects.count() == 1


def test_update_by_save(person, asked):
    strict = Strict.objects.create(person=person)
    with asked(1):
        strict.save()
    strict.person_id = MISSING
    with refused(MISSING):
        strict.save()
    with refused(MISSING):
        strict.save(update_fields=["person"])
    assert Strict.objects.get().person == person


def test_a_save_that_leaves_the_key_alone_does_not_ask(person, asked):
    seat = Seat.objects.create(number=1, person=person)
    # Past everything that lets sources follow.
    compat.raw_delete(Person.objects.all(), "default")
    seat.number = 2
    with asked(0):
        seat.save(update_fields=["number"])


def test_no_key_is_nothing_to_verify(asked):
    with asked(0):
        strict = Strict.objects.create(person=None)
        strict.save()
        Strict.objects.update(person=None)


def test_save_with_a_key_that_finds_no_row_inserts(person):
    Strict(pk=5, person=person).save()
    with refused(MISSING):
        Strict(pk=6, person_id=MISSING).save()


def test_bulk_create_asks_once_and_names_all(person, asked):
    with asked(1):
        Strict.objects.bulk_create([Strict(person=person) for _ in range(20)])
    with refused(MISSING, MISSING + 1):
        Strict.objects.bulk_create(
            [Strict(person_id=key) for key in (person.pk, MISSING, MISSING + 1, MISSING)]
        )
    assert Strict.objects.count() == 20


def test_bulk_create_asks_once_per_batch(person, asked):
    with asked(3):
        Strict.objects.bulk_create([Strict(person=person) for _ in range(6)], batch_size=2)


def test_bulk_create_writes_no_batch_before_a_refused_one(person):
    with refused(MISSING):
        Strict.objects.bulk_create(
            [Strict(person=person), Strict(person_id=MISSING)], batch_size=1
        )
    assert not Strict.objects.exists()


def test_bulk_create_ignoring_conflicts(person, asked):
    Seat.objects.create(number=1, person=person)
    with asked(1):
        Seat.objects.bulk_create(
            [Seat(number=number, person=person) for number in (1, 2)], ignore_conflicts=True
        )
    assert Seat.objects.count() == 2
    with refused(MISSING, relation="blog.Seat.person"):
        Seat.objects.bulk_create([Seat(number=3, person_id=MISSING)], ignore_conflicts=True)


def test_bulk_create_updating_conflicts(person, asked):
    Seat.objects.create(number=1)
    options = {"update_conflicts": True, "update_fields": ["person"]}
    if connections["blog"].features.supports_update_conflicts_with_target:
        options["unique_fields"] = ["number"]
    with asked(1):
        Seat.objects.bulk_create([Seat(number=1, person=person)], **options)
    assert Seat.objects.get().person == person
    with refused(MISSING, relation="blog.Seat.person"):
        Seat.objects.bulk_create([Seat(number=1, person_id=MISSING)], **options)


def test_bulk_update_asks_once(person, asked):
    rows = Strict.objects.bulk_create([Strict() for _ in range(5)])
    rows = list(Strict.objects.all())
    for row in rows:
        row.person_id = person.pk
    with asked(1):
        Strict.objects.bulk_update(rows, ["person"])
    assert Strict.objects.filter(person=person).count() == 5
    rows[0].person_id = MISSING
    rows[1].person_id = MISSING + 1
    with refused(MISSING, MISSING + 1):
        Strict.objects.bulk_update(rows, ["person"])


def test_update(person, asked):
    Strict.objects.create()
    with asked(3):
        Strict.objects.update(person=person)
        Strict.objects.update(person=person.pk)
        Strict.objects.update(person_id=str(person.pk))
    with refused(MISSING):
        Strict.objects.update(person=MISSING)
    with refused(MISSING):
        Strict.objects.update(person=Person(pk=MISSING))


def test_update_with_expressions(person, asked):
    """Plain keys inside a Case are verified; what the database computes cannot be."""
    strict = Strict.objects.create(person=person)
    with asked(1):
        Strict.objects.update(
            person=Case(When(pk=strict.pk, then=Value(person.pk)), default=Value(None))
        )
    with refused(MISSING):
        Strict.objects.update(
            person=Case(When(pk=strict.pk, then=Value(MISSING)), default=F("person"))
        )
    with refused(MISSING):
        Strict.objects.update(person=Value(MISSING))
    with asked(0):
        Strict.objects.update(person=F("person_id"))
        Strict.objects.update(person=Coalesce(F("person_id"), Value(MISSING)))


def test_queries_that_write_nothing_to_it_do_not_ask(person, asked):
    """A value that is typed by the field, in a condition, is only compared."""
    field = Strict._meta.get_field("person")
    Strict.objects.create(person=person)
    seat = Seat.objects.create(number=1, person=person)
    with asked(0):
        assert not Strict.objects.filter(person_id=Value(MISSING, output_field=field)).exists()
        assert (
            Strict.objects.annotate(found=Value(MISSING, output_field=field)).get().found
            == MISSING
        )
        typed = Value(MISSING, output_field=Seat._meta.get_field("person"))
        Seat.objects.exclude(person_id=typed).update(number=seat.number + 1)
        Seat.objects.filter(number=Case(When(person_id=typed, then=1), default=2)).update(number=5)
    assert Seat.objects.get().number == 5


def test_each_execution_asks_again(person, asked):
    """A queryset that is executed twice is verified twice."""
    Strict.objects.create(person=person)
    rows = Strict.objects.all()
    with asked(2):
        rows.update(person=person.pk)
        rows.update(person=person.pk)


def test_multi_table_children(person, asked):
    with asked(1):
        child = StrictChild.objects.create(person=person, note="x")
    with asked(1):
        child.save()
    with asked(1):
        StrictChild.objects.update(person=person, note="y")
    with refused(MISSING):
        StrictChild.objects.update(person=MISSING)
    with refused(MISSING):
        StrictChild.objects.create(person_id=MISSING)
    child.person_id = MISSING
    with refused(MISSING):
        child.save()


def test_inside_transactions_of_both_databases():
    with transaction.atomic(using="default"), transaction.atomic(using="blog"):
        person = Person.objects.create(name="ada")
        strict = Strict.objects.create(person=person)
    assert strict.person == person


def test_nonsense_gets_djangos_error(person):
    with pytest.raises(ValueError, match="expected a number but got 'x'"):
        Strict.objects.create(person_id="x")


def test_related_managers_ask_once(person, asked):
    rows = [Strict.objects.create() for _ in range(3)]
    with asked(1):
        person.strict.add(*rows)
    with asked(1):
        person.strict.create()


@pytest.mark.skipif(CASELESS is None, reason="no collation of both ends takes two cases for one")
def test_keys_are_compared_as_the_targets_database_does():
    """Where it takes two spellings for one key, so does the check; others stay missing."""
    field = Entry._meta.get_field("topic")
    Topic.objects.create(slug="abc")
    verify_keys(field, ["ABC"], using="blog")
    with pytest.raises(MissingTarget) as caught:
        verify_keys(field, ["aBc", "abd", "ABD"], using="blog")
    assert caught.value.keys == ["abd", "ABD"]


def test_fixtures_pass(tmp_path):
    """A fixture's targets may be loaded later: inserting and updating by it."""
    fixture = tmp_path / "strict.json"
    row = {"model": "blog.strict", "pk": 1, "fields": {"person": MISSING}}
    fixture.write_text(json.dumps([row]))
    for _ in range(2):
        call_command("loaddata", fixture, database="blog", verbosity=0)
    assert Strict.objects.get(pk=1).person_id == MISSING


def test_a_raw_save_that_fails_leaves_nothing_behind(person):
    """The write after it, of the same object, is verified."""
    seat = Seat.objects.create(number=1, person=person)
    Seat.objects.create(number=2, person=person)
    seat.number, seat.person_id = 2, MISSING
    with pytest.raises(IntegrityError), transaction.atomic(using="blog"):
        seat.save_base(raw=True, using="blog")
    seat.number = 1
    with refused(MISSING, relation="blog.Seat.person"):
        Seat.objects.filter(pk=seat.pk).update(person=MISSING)
    with refused(MISSING, relation="blog.Seat.person"):
        seat.save()


def test_save_with_an_expression(person, asked):
    """What the database computes is written as it is."""
    strict = Strict.objects.create(person=person)
    strict.person_id = F("person_id")
    with asked(0):
        strict.save()
    strict.refresh_from_db()
    assert strict.person == person
