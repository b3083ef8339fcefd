"""Serializers, dumpdata and loaddata."""

import pytest
from django.core import serializers
from django.core.management import call_command

from tests.apps.clubs.models import Club, Reader

pytestmark = pytest.mark.django_db(databases="__all__")

NAMES = ["readers", "guests", "patrons"]


@pytest.fixture
def linked(club, readers):
    for name in NAMES:
        getattr(club, name).set(readers[:2])
    return club


@pytest.mark.parametrize("natural", [False, True])
@pytest.mark.parametrize("format", ["json", "jsonl", "xml", "python"])
def test_round(linked, readers, format, natural):
    dumped = serializers.serialize(format, [linked], use_natural_foreign_keys=natural)
    assert ("bob" in str(dumped)) == natural
    Club.objects.all().delete()
    for loaded in serializers.deserialize(format, dumped, using="blog"):
        loaded.save(using="blog")
    club = Club.objects.get()
    for name in NAMES:
        assert list(getattr(club, name).all()) == readers[:2]
        assert getattr(Club, name).through.objects.count() == 2


def test_keys_are_loaded_before_their_objects(linked):
    """Fixtures are not verified: the other database may be loaded later."""
    dumped = serializers.serialize("json", [linked])
    Club.objects.all().delete()
    Reader.objects.all().delete()
    for loaded in serializers.deserialize("json", dumped, using="blog"):
        loaded.save(using="blog")
    assert Club.guests.through.objects.count() == 2


@pytest.mark.parametrize("format", ["json", "xml"])
def test_natural_keys_that_come_later(linked, readers, format):
    dumped = serializers.serialize(format, [linked], use_natural_foreign_keys=True)
    Club.objects.all().delete()
    Reader.objects.all().delete()
    (loaded,) = serializers.deserialize(
        format, dumped, using="blog", handle_forward_references=True
    )
    loaded.save(using="blog")
    bob, ada = Reader.objects.create(slug="bob"), Reader.objects.create(slug="ada")
    loaded.save_deferred_fields(using="blog")
    assert list(Club.objects.get().patrons.all()) == [ada, bob]


def test_dumpdata_and_loaddata_per_database(linked, readers, tmp_path):
    files = {alias: str(tmp_path / f"{alias}.json") for alias in ("default", "blog")}
    for alias, file in files.items():
        call_command("dumpdata", "clubs", database=alias, output=file, verbosity=0)
    Club.objects.all().delete()
    Reader.objects.all().delete()
    for alias, file in files.items():
        call_command("loaddata", file, database=alias, verbosity=0)
    assert list(Club.objects.get().patrons.all()) == readers[:2]
