"""manage.py xdbrel_contenttypes: what differs, what is missing, and rows with wrong ids."""

import io
import json
import uuid

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command

from tests.apps.notes.models import Essay, Gadget, Label, Note, Thing
from xdbrel.compat import raw_delete
from xdbrel.integrity.types import examine

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture(autouse=True)
def every_type(types_everywhere):
    """No content type is missing, whatever the tests before have left."""
    examine(fix=True)
    ContentType.objects.clear_cache()


def number(alias, model):
    """Return the id of a model's content type in a database."""
    label = model._meta.label_lower.split(".")
    return ContentType.objects.using(alias).get(app_label=label[0], model=label[1]).pk


def run(*args):
    out = io.StringIO()
    call_command("xdbrel_contenttypes", *args, stdout=out)
    return out.getvalue()


def only_in(alias, model):
    """Give a model's content type in ``alias`` an id that no other database knows."""
    kind = ContentType.objects.using(alias).get(pk=number(alias, model))
    raw_delete(ContentType.objects.filter(pk=kind.pk), alias)
    kind.pk += 90_000
    kind.save(using=alias)
    ContentType.objects.clear_cache()
    return kind.pk


def test_that_ids_differ_is_shown_and_is_no_finding():
    report = examine()
    assert report.aliases == ["default", "blog", "shop"]
    assert (report.missing, report.stale, report.rows) == ([], [], [])
    assert "notes.thing" in report.differing
    assert report.is_clean
    text = run()
    ids = ", ".join(f"{number(a, Thing)} in {a}" for a in report.aliases)
    assert f"notes.thing has different ids: {ids}\n" in text
    assert text.endswith("Nothing is left to be looked at.\n")


def test_missing_ones_are_created():
    raw_delete(ContentType.objects.filter(app_label="notes", model="thing"), "blog")
    assert "notes.thing is missing in blog\n" in run()
    assert "Would create notes.thing in blog\n" in run("--fix", "--dry-run")
    assert examine().missing == [("blog", "notes.thing")]
    assert "Created notes.thing in blog\n" in run("--fix")
    assert examine().is_clean


def test_stale_ones_are_left():
    ContentType.objects.using("shop").create(app_label="notes", model="gone")
    text = run("--fix")
    assert (
        "notes.gone in shop is stale: no such model is installed "
        '("manage.py remove_stale_contenttypes --database shop")\n'
    ) in text
    assert "Nothing is left" not in text


def test_rows_whose_id_means_nothing_in_their_database():
    """The one model that it means elsewhere, and that has the object, is meant."""
    thing = Thing.objects.create(pk=3)
    wrong = only_in("shop", Thing)
    right = Note.objects.create(content_type_id=wrong, object_id="3")
    gone = Note.objects.create(content_type_id=wrong, object_id="4")
    (first, second) = sorted(examine().rows, key=lambda one: one.keys)
    assert (first.field, first.alias, first.id) == ("notes.Note.about", "blog", wrong)
    assert (first.means, first.meant, first.rows, first.keys) == (None, "notes.thing", 1, ["3"])
    assert (second.meant, second.reason) == (None, "no object has these keys")
    run("--fix", "--dry-run")
    right.refresh_from_db()
    assert right.content_type_id == wrong
    assert f"content type {wrong} (none there; keys 3): now that of notes.thing" in run("--fix")
    right = Note.objects.get(pk=right.pk)
    assert (right.content_type_id, right.about) == (number("blog", Thing), thing)
    assert Note.objects.get(pk=gone.pk).content_type_id == wrong
    assert [one.keys for one in examine().rows] == [["4"]]


def test_rows_whose_id_means_another_model():
    """An object of the same number proves nothing, one of the same UUID does."""
    gadget = Gadget.objects.create(id=uuid.uuid4())
    essay = Essay.objects.create(pk=7)
    Note.objects.create(content_type_id=number("default", Gadget), object_id=gadget.pk)
    Label.objects.create(kind_id=number("blog", Essay), key=7)
    Label.objects.create(subject=Thing(pk=7))
    found = {one.field: one for one in examine(fix=True).rows}
    assert set(found) <= {"notes.Note.about", "notes.Label.subject"}
    mended = found["notes.Note.about"]
    assert (mended.meant, mended.mended) == ("notes.gadget", 1)
    assert Note.objects.get().about == gadget
    left = found["notes.Label.subject"]
    assert (left.meant, left.mended) == (None, 0)
    assert left.reason == "not proved: notes.essay have objects of these keys"
    assert essay.labels.count() == 0


def test_keys_that_merely_dangle_are_for_scans():
    Note.objects.create(about=Thing(pk=3))
    Label.objects.create(subject=Thing(pk=3))
    assert examine().rows == []


def test_permissions_and_the_admins_log():
    """A codename says which model is meant; a log's object may be gone."""
    user = User.objects.create(username="ada")
    kind, other = number("default", Thing), number("blog", Thing)
    for deleted_id in (3, 4):
        LogEntry.objects.create(
            user=user, content_type_id=other, object_id=f"{deleted_id}", action_flag=CHANGE
        )
    Thing.objects.create(pk=3)
    Permission.objects.filter(codename="add_thing").delete()
    Permission.objects.create(name="x", codename="add_thing", content_type_id=other)
    found = [one for one in examine(fix=True).rows if one.field.startswith("auth.Perm")]
    assert [(one.meant, one.mended, one.keys) for one in found] == [
        ("notes.thing", 1, ["add_thing"])
    ]
    assert Permission.objects.get(codename="add_thing").content_type_id == kind
    assert {entry.content_type_id for entry in LogEntry.objects.all()} == {other}
    Permission.objects.create(name="x", codename="add_thing", content_type_id=other)
    (again,) = [one for one in examine(fix=True).rows if one.field.startswith("auth.Perm")]
    assert (again.mended, again.reason) == (0, "the right permission is there as well")


def test_json_and_statuses():
    found = json.loads(run("--format=json"))
    assert found["databases"] == ["default", "blog", "shop"]
    assert found["clean"] is True
    (thing,) = [one for one in found["content_types"] if one["label"] == "notes.thing"]
    assert thing == {
        "label": "notes.thing",
        "ids": {alias: number(alias, Thing) for alias in found["databases"]},
        "differs": True,
    }
    with pytest.raises(CommandError) as caught:
        call_command("xdbrel_contenttypes", "--dry-run")
    assert (str(caught.value), caught.value.returncode) == ("--dry-run goes with --fix.", 2)


def test_without_content_types(settings):
    settings.INSTALLED_APPS = [app.name for app in apps.get_app_configs() if app.label == "xdbrel"]
    with pytest.raises(CommandError) as caught:
        call_command("xdbrel_contenttypes")
    assert str(caught.value).startswith("django.contrib.contenttypes is not among INSTALLED_APPS")
    assert caught.value.returncode == 2
