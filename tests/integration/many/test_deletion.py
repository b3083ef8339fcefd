"""Deleting either side takes the rows in between along, and scans find what dangles."""

import pytest
from django.core.management import call_command
from django.db import connections, transaction

from tests.apps.clubs.models import Club, Membership, Reader
from xdbrel import relations
from xdbrel.testing import assert_no_orphans, drain

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

#: The field, and where its rows in between are.
EVERY = [("readers", "blog"), ("patrons", "shop"), ("members", "shop")]


@pytest.fixture
def linked(club, readers):
    for name, _ in EVERY:
        getattr(club, name).set(readers)
    readers[0].likes.add(club)
    club.friends.add(Club.objects.create(name="bridge"))
    return club


def counts():
    found = {name: getattr(Club, name).through.objects.count() for name, _ in EVERY}
    found["likes"] = Reader.likes.through.objects.count()
    found["friends"] = Club.friends.through.objects.count()
    return found


def handles():
    every = relations.all_relations()
    return [one.handle for one in every if one.source._meta.app_label == "clubs"]


def test_either_side(linked, readers):
    assert counts() == {"readers": 3, "patrons": 3, "members": 3, "likes": 1, "friends": 2}
    readers[0].delete()
    assert counts() == {"readers": 2, "patrons": 2, "members": 2, "likes": 0, "friends": 2}
    Reader.objects.filter(slug="bob").delete()
    assert counts() == {"readers": 1, "patrons": 1, "members": 1, "likes": 0, "friends": 2}
    linked.delete()
    assert not any(counts().values())
    assert_no_orphans(*handles())


def test_what_is_told(linked, readers):
    _, told = linked.delete()
    assert told == {
        "clubs.Club": 1,
        "clubs.Club_readers": 3,
        "clubs.Club_patrons": 3,
        "clubs.Membership": 3,
        "clubs.Reader_likes": 1,
        "clubs.Club_friends": 2,
    }


def test_a_rollback_takes_nothing(linked, readers):
    before = counts()
    with pytest.raises(ZeroDivisionError), transaction.atomic(using="default"):
        readers[0].delete()
        1 / 0
    drain()
    assert counts() == before


def test_late_rows_go_too(linked, readers):
    """Rows that are written before the delete is applied, but after it was planned."""
    gone = readers[0].pk
    with transaction.atomic(using="default"):
        readers[0].delete()
        Club.objects.create(name="late").readers.add(gone)
    drain()
    assert_no_orphans(*handles())


@pytest.mark.parametrize(("name", "alias"), EVERY)
def test_scans_cover_both_keys(linked, readers, name, alias, capsys):
    through = getattr(Club, name).through
    field = getattr(Club, name).field
    handles = {f"{through._meta.label}.club", f"{through._meta.label}.reader"}
    assert handles <= {relation.handle for relation in relations.all_relations()}
    assert {relations.get(handle).source_home for handle in handles} == {alias}
    with connections[alias].cursor() as cursor:
        table = through._meta.db_table
        names = (field.m2m_column_name(), field.m2m_reverse_name())
        gone = "'gone'" if through is Membership else "987654"
        extra = ", role" if through is Membership else ""
        role = ", 'x'" if extra else ""
        cursor.execute(
            f"INSERT INTO {table} ({names[0]}, {names[1]}{extra}) VALUES (987653, {gone}{role})"
        )
    for handle in sorted(handles):
        call_command("xdbrel_scan", handle)
        assert "1 orphans in 1 of 1 relations" in capsys.readouterr().out
    with connections[alias].cursor() as cursor:
        cursor.execute(f"DELETE FROM {table} WHERE {names[0]} = 987653")


def test_relations_are_listed(capsys):
    call_command("xdbrel_relations")
    listed = capsys.readouterr().out
    for handle in ("clubs.Club_patrons.club", "clubs.Club_patrons.reader"):
        assert handle in listed


@pytest.mark.parametrize("name", ["readers", "patrons"])
def test_repairs(linked, readers, name):
    """Rows in between are set aside and taken back like those of any model."""
    through = getattr(Club, name).through
    handle = f"{through._meta.label}.reader"
    row = through.objects.create(club=linked, reader_id=987654)
    call_command("xdbrel_scan", handle)
    call_command("xdbrel_repair", handle, "--policy", "quarantine")
    assert not through.objects.filter(pk=row.pk).exists()
    Reader.objects.create(pk=987654, slug="late")
    call_command("xdbrel_restore", handle)
    assert through.objects.get(pk=row.pk).reader.slug == "late"
