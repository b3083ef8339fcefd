"""Checks of what is being moved: xdbrel.E130 to xdbrel.W132."""

from django.core.checks import Error, Warning

from xdbrel.checks import moving


def found(settings, **entries):
    settings.XDBREL = {"HOMES": {"blog": "blog", "shop": "shop"}, "MOVING": entries}
    return list(moving.check_moving())


def test_e130_unknown_database(settings):
    """A database that there is not."""
    assert found(settings, blog="shopp") == [
        Error(
            'XDBREL["MOVING"]["blog"] names the database \'shopp\', which DATABASES does not '
            "define.",
            hint="Write 'shop' instead, or define 'shopp' in DATABASES.",
            id="xdbrel.E130",
        )
    ]


def test_e131_unknown_app(settings):
    """An app that there is not, and a model."""
    (message,) = found(settings, blogg="shop")
    assert message == Error(
        "XDBREL[\"MOVING\"] has an entry 'blogg', and there is no such app.",
        hint="Write 'blog' instead.",
        id="xdbrel.E131",
    )
    (message,) = found(settings, **{"blog.Pots": "shop"})
    assert (message.id, message.hint) == ("xdbrel.E131", "Write 'blog.Post' instead.")


def test_w132_at_home(settings):
    """The home itself needs no entry."""
    assert found(settings, blog="blog") == [
        Warning(
            'XDBREL["MOVING"]["blog"] has no effect: blog lives in \'blog\' anyway.',
            hint="Remove it, or name the database that its rows are moved to or from.",
            id="xdbrel.W132",
        )
    ]
    assert found(settings, blog="shop", **{"shop.Order": "blog"}) == []
