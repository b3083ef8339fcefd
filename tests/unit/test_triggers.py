"""xdbrel.cascade.triggers: what needs no database."""

import pytest
from django.db import models

from tests.apps.people.models import Badge, Country, Day, Device, Member, Rate
from xdbrel.cascade.triggers import captures
from xdbrel.cascade.triggers.backends import digest_in, digest_of, literal, marked
from xdbrel.cascade.triggers.row import column_names
from xdbrel.cascade.triggers.zones import least_offset
from xdbrel.models import CascadeIntent
from xdbrel.operations import InstallTriggers


def test_every_column_is_written():
    """A trigger leaves no column of an intent to a default, for Django gives tables none."""
    expected = {field.column for field in CascadeIntent._meta.concrete_fields} - {"id"}
    assert set(column_names()) == expected
    assert len(column_names()) == len(expected)


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        (Badge._meta.get_field("number"), "integer"),
        (Member._meta.pk, "integer"),
        (Country._meta.pk, "text"),
        (Device._meta.pk, "uuid"),
        (Rate._meta.pk, "decimal"),
        (Day._meta.pk, "date"),
        (models.DateTimeField(), "datetime"),
        (models.FloatField(), None),
        (models.BinaryField(), None),
    ],
)
def test_kinds_of_keys(field, kind):
    """A multi-table child's key is of its parent's kind; strange kinds are none."""
    assert captures.kind_of(field, "default") == kind


def test_a_field_that_stores_something_else():
    """What is stored is not what the field says: a trigger would write the wrong key."""

    class Reversed(models.CharField):
        def get_db_prep_value(self, value, connection, prepared=False):
            return value[::-1]

    assert captures.kind_of(Reversed(max_length=9), "default") is None


@pytest.mark.parametrize(
    ("capture", "served"),
    [
        ("orm", []),
        (["blog.post.AUTHOR"], ["blog.Post.author"]),
        (["blog.Lenient.author", "shop.Invoice.customer", "blog.Branch.parent"], []),
    ],
)
def test_chosen_relations(settings, capture, served):
    """Handles are found whatever their case; policies that ask for nothing are left out."""
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": capture}
    assert [relation.handle for relation in captures.chosen()] == served


def test_all_relations_that_cross(settings):
    """By the one word for all, those that lead nowhere are still left out."""
    settings.XDBREL = {**settings.XDBREL, "CAPTURE": "triggers"}
    found = {relation.handle for relation in captures.chosen()}
    assert {"blog.Post.author", "people.Bookmark.post", "shop.Review.author"} <= found
    assert not found & {"blog.Lenient.author", "shop.Invoice.customer", "blog.Branch.parent"}


def test_a_digest_is_found_again():
    """What a body bears is what it was made with; other text bears none."""
    digest = digest_of("a", "b")
    assert digest_in(f"BEGIN {marked(digest)} END") == digest
    assert digest_in("BEGIN END") == ""
    assert digest != digest_of("ab", "")


def test_literals():
    assert literal("it's") == "'it''s'"


@pytest.mark.parametrize(
    ("zone", "minutes"), [("UTC", 0), ("Asia/Kolkata", 330), ("America/New_York", -300)]
)
def test_least_offset(zone, minutes):
    """Of summer and winter, the one that is never ahead."""
    assert least_offset(zone) == minutes


def test_operation():
    """It is written into a migration by its public path, and changes no state."""
    name, args, kwargs = InstallTriggers().deconstruct()
    assert (name, list(args), kwargs) == ("InstallTriggers", [], {})
    assert InstallTriggers.__module__ == "xdbrel.operations"
    assert InstallTriggers().reversible
    assert InstallTriggers().describe() == "Install the triggers that XDBREL['CAPTURE'] asks for"
    assert InstallTriggers().migration_name_fragment == "install_xdbrel_triggers"
