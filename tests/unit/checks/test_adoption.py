"""Checks of the relations that XDBREL["ADOPT"] names: xdbrel.E140."""

import pytest
from django.apps import apps
from django.core.checks import Error

from xdbrel.checks import adoption

HOMES = {"blog": "blog", "shop": "shop"}


def found(settings, *handles):
    settings.XDBREL = {"HOMES": HOMES, "ADOPT": list(handles)}
    return adoption.check_adopted()


@pytest.mark.parametrize(
    ("handle", "hint"),
    [
        ("admin.LogEntry.usr", "Write 'admin.LogEntry.user' instead."),
        ("admin.LogEntry", "Write 'admin.LogEntry.user' instead."),
        ("admin.LogEntry.user_id", "Write 'admin.LogEntry.user' instead."),
        (
            "nowhere",
            "Write app_label.Model.field, of the model that declares the field.",
        ),
    ],
)
def test_e140_unknown(settings, handle, hint):
    """The hint has the nearest relation."""
    assert found(settings, handle) == [
        Error(
            f'XDBREL["ADOPT"] names {handle!r}, and there is no such relation.',
            hint=hint,
            id="xdbrel.E140",
        )
    ]


@pytest.mark.parametrize(
    ("handle", "reason"),
    [
        ("blog.Post.author", "it is a CrossDBForeignKey as it stands"),
        (
            "auth.User.username",
            "it is a CharField, not a ForeignKey, OneToOneField, ManyToManyField or "
            "GenericForeignKey",
        ),
        (
            "notes.Thing.notes",
            "it is a CrossDBGenericRelation; name the GenericForeignKey that it leads to",
        ),
        ("clubs.Club.readers", "it is a CrossDBManyToManyField as it stands"),
        ("notes.Note.about", "it is a CrossDBGenericForeignKey as it stands"),
    ],
)
def test_e140_not_to_be_adopted(settings, handle, reason):
    """Only relations of Django's own are, by the side that declares them."""
    label, _, name = handle.rpartition(".")
    assert found(settings, handle) == [
        Error(
            f'{handle} in XDBREL["ADOPT"] cannot be adopted: {reason}.',
            hint="Remove it.",
            obj=apps.get_model(label)._meta.get_field(name),
            id="xdbrel.E140",
        )
    ]


def test_what_can_be_adopted(settings):
    """Nothing is said of what is right."""
    named = ["admin.LogEntry.user", "admin.LogEntry.content_type", "auth.User.groups"]
    assert found(settings, *named, "wagons.Label.on") == []
