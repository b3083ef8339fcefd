"""Serializers, dumpdata and loaddata, database by database."""

import json

import pytest
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management import call_command
from django.core.serializers.base import DeserializationError

from tests.apps.blog.models import Post, Translation, Visit
from tests.apps.people.models import Bookmark, Country, Language

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def language():
    Language.objects.create(code="de")
    return Language.objects.create(code="en")


@pytest.mark.parametrize("format", ["json", "jsonl", "xml", "python"])
def test_keys_go_round(format):
    country = Country.objects.create(code="NZ")
    visit = Visit.objects.create(country=country)
    dumped = serializers.serialize(format, [visit])
    Visit.objects.all().delete()
    for loaded in serializers.deserialize(format, dumped, using="blog"):
        loaded.save(using="blog")
    assert Visit.objects.get().country == country


@pytest.mark.parametrize("format", ["json", "jsonl", "xml", "python"])
def test_natural_keys_go_round(format, language):
    """The target is looked up in its home, whatever database is loaded into."""
    translation = Translation.objects.create(language=language, text="x")
    dumped = serializers.serialize(format, [translation], use_natural_foreign_keys=True)
    assert "en" in str(dumped)
    Translation.objects.all().delete()
    for loaded in serializers.deserialize(format, dumped, using="blog"):
        loaded.save(using="blog")
    assert Translation.objects.get().language == language


@pytest.mark.parametrize("format", ["json", "xml"])
def test_an_unknown_natural_key_is_an_error(format, language):
    dumped = serializers.serialize(
        format, [Translation(pk=1, language=language)], use_natural_foreign_keys=True
    )
    language.delete()
    with pytest.raises((DeserializationError, Language.DoesNotExist)):
        list(serializers.deserialize(format, dumped, using="blog"))
    (loaded,) = serializers.deserialize(
        format, dumped, using="blog", handle_forward_references=True
    )
    assert loaded.deferred_fields
    language = Language.objects.create(code="en")
    loaded.save_deferred_fields(using="blog")
    assert Translation.objects.get().language == language


def test_dumpdata_and_loaddata_per_database(tmp_path, language):
    user = User.objects.create(username="ada")
    Post.objects.create(title="x", author=user)
    Translation.objects.create(language=language, text="x")
    Bookmark.objects.create(post=Post.objects.get())
    files = {alias: tmp_path / f"{alias}.json" for alias in ("default", "blog")}
    for alias, file in files.items():
        call_command(
            "dumpdata",
            "auth.user",
            "people",
            "blog",
            database=alias,
            natural_foreign=True,
            output=file,
            verbosity=0,
        )
    labels = {
        alias: {row["model"] for row in json.loads(file.read_text())}
        for alias, file in files.items()
    }
    assert labels["default"] == {"auth.user", "people.language", "people.bookmark"}
    assert labels["blog"] == {"blog.post", "blog.translation"}
    for alias, model in (
        ("blog", Post),
        ("blog", Translation),
        ("default", Bookmark),
        ("default", Language),
        ("default", User),
    ):
        model.objects.using(alias).all()._raw_delete(using=alias)
    call_command("loaddata", files["default"], database="default", verbosity=0)
    call_command("loaddata", files["blog"], database="blog", verbosity=0)
    assert Post.objects.get().author.username == "ada"
    assert Translation.objects.get().language.code == "en"
    assert Bookmark.objects.get().post.title == "x"


def test_a_source_may_be_loaded_before_its_target(tmp_path):
    """Nothing enforces the order; the key dangles until the target is there."""
    fixture = tmp_path / "posts.json"
    fixture.write_text(
        json.dumps([{"model": "blog.post", "pk": 1, "fields": {"title": "x", "author": 5}}])
    )
    call_command("loaddata", fixture, database="blog", verbosity=0)
    User.objects.create(pk=5, username="late")
    assert Post.objects.get().author.username == "late"
