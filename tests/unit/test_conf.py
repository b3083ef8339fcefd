"""xdbrel.conf: settings read lazily, typed, refused when of a wrong type."""

import re

import pytest
from django.core.exceptions import ImproperlyConfigured

from xdbrel.conf import Setting, Settings, given, settings


def test_default_without_setting(settings):
    """A project that gives nothing gets every default."""
    del settings.XDBREL
    from xdbrel.conf import settings as own

    assert given() == {}
    assert own.CHUNK_SIZE == 10_000
    assert own.HOMES == {}


def test_override_is_seen_at_once(settings):
    """A value is read when it is used."""
    from xdbrel.conf import settings as own

    settings.XDBREL = {"CHUNK_SIZE": 7}
    assert own.CHUNK_SIZE == 7
    settings.XDBREL = {"CHUNK_SIZE": 8}
    assert own.CHUNK_SIZE == 8


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HOMES", ["blog"], "a dictionary of strings, not ['blog']"),
        ("CHUNK_SIZE", "many", "a whole number, 1 or more, not 'many'"),
        ("CHUNK_SIZE", 0, "a whole number, 1 or more, not 0"),
        ("CHUNK_SIZE", True, "a whole number, 1 or more, not True"),
        ("RETRY_SECONDS", -1.0, "a number, 0 or more, not -1.0"),
        ("INTEGRITY_DATABASE", None, "a string, not None"),
    ],
)
def test_wrong_type_is_refused(settings, name, value, expected):
    """A value of a wrong type is an error that names key, type and value."""
    from xdbrel.conf import settings as own

    settings.XDBREL = {name: value}
    with pytest.raises(
        ImproperlyConfigured,
        match=re.escape(f'XDBREL["{name}"] must be {expected}. Correct it in the settings.'),
    ):
        getattr(own, name)


def test_whole_number_for_seconds(settings):
    """Where a float is expected, an integer does."""
    from xdbrel.conf import settings as own

    settings.XDBREL = {"RETRY_SECONDS": 3}
    assert own.RETRY_SECONDS == 3


def test_no_dictionary(settings):
    """XDBREL itself must be a dictionary."""
    settings.XDBREL = ["HOMES"]
    with pytest.raises(
        ImproperlyConfigured, match=r"^XDBREL must be a dictionary, not \['HOMES'\]\. Correct"
    ):
        given()


def test_names():
    """The names are those of the settings, sorted."""
    names = Settings.names()
    assert names == sorted(names)
    assert {"HOMES", "REPLICAS", "INTEGRITY_DATABASE"} <= set(names)


def test_every_default_is_acceptable():
    """No default would be refused if a project wrote it down."""
    for name in Settings.names():
        setting = getattr(Settings, name)
        assert isinstance(setting, Setting)
        assert setting.accepts(setting.default), name
        assert setting.meaning
        assert getattr(settings, name) is not None


@pytest.mark.parametrize("value", [{"blog": 1}, {1: "blog"}, {"blog": None}])
def test_accepts_looks_into_dictionaries(value):
    """Keys and values of a dictionary are strings."""
    assert not Settings.HOMES.accepts(value)
    assert Settings.HOMES.accepts({"blog": "blog"})
