"""Checks of settings.XDBREL and of the routers: xdbrel.E001 to xdbrel.W013."""

import pytest
from django.core.checks import Error, Warning, run_checks

from xdbrel.checks import configuration
from xdbrel.conf import Settings

HOMES = {"blog": "blog", "shop": "shop"}


def use(settings, **xdbrel):
    settings.XDBREL = {"HOMES": HOMES, **xdbrel}


def ids(found):
    return [message.id for message in found]


def test_correct_project():
    """A correct project hears nothing, at deployment neither, and nothing connects."""
    assert run_checks(tags=["xdbrel"], include_deployment_checks=True) == []


def test_e001_unknown_key(settings):
    """A misspelt key is an error with the nearest key in its hint."""
    use(settings, CHUNKSIZE=5)
    assert configuration.check_values() == [
        Error(
            "XDBREL has an unknown key 'CHUNKSIZE'.",
            hint="Write 'CHUNK_SIZE' instead.",
            id="xdbrel.E001",
        )
    ]


def test_e001_lower_case(settings):
    """Keys are written in capitals."""
    use(settings, replicas={})
    (message,) = configuration.check_values()
    assert message.hint == "Write 'REPLICAS' instead."


def test_e001_nothing_near(settings):
    """Where no key is near, all are named."""
    use(settings, QWERTZ=5)
    (message,) = configuration.check_values()
    assert message.hint == f"Remove it. The known keys are {', '.join(Settings.names())}."


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HOMES", ["blog"], "a dictionary of strings"),
        ("HOMES", {"blog": None}, "a dictionary of strings"),
        ("MAX_ATTEMPTS", 0, "a whole number, 1 or more"),
        ("KEEP_APPLIED_DAYS", "7", "a number, 0 or more"),
    ],
)
def test_e002_wrong_type(settings, name, value, expected):
    """A value of a wrong type is an error, and no other check stumbles over it."""
    settings.XDBREL = {name: value}
    assert run_checks(tags=["xdbrel"], include_deployment_checks=True) == [
        Error(
            f'XDBREL["{name}"] must be {expected}, not {value!r}.',
            hint="Correct it in the settings.",
            id="xdbrel.E002",
        )
    ]


def test_e002_no_dictionary(settings):
    """XDBREL itself must be a dictionary."""
    settings.XDBREL = "blog"
    assert run_checks(tags=["xdbrel"]) == [
        Error(
            "XDBREL must be a dictionary, not 'blog'.",
            hint="Correct it in the settings.",
            id="xdbrel.E002",
        )
    ]


def test_e003_unknown_alias(settings):
    """A home must be an alias of DATABASES."""
    use(settings, HOMES={"blog": "blogs", "shop": "shop"})
    assert configuration.check_homes() == [
        Error(
            'XDBREL["HOMES"]["blog"] names the database \'blogs\', which DATABASES does not '
            "define.",
            hint="Write 'blog' instead, or define 'blogs' in DATABASES.",
            id="xdbrel.E003",
        )
    ]


def test_e003_nothing_near(settings):
    """Where no alias is near, all are named."""
    use(settings, HOMES={"blog": "xyz"})
    (message,) = configuration.check_homes()
    assert message.hint == "Define 'xyz' in DATABASES, or name one of default, blog, shop."


def test_e004_unknown_app(settings):
    """A home is given to an installed app."""
    use(settings, HOMES={"blogg": "blog"})
    assert configuration.check_homes() == [
        Error(
            "XDBREL[\"HOMES\"] has an entry 'blogg', and there is no such app.",
            hint="Write 'blog' instead.",
            id="xdbrel.E004",
        )
    ]


def test_e004_unknown_model(settings):
    """A home is given to an installed model."""
    use(settings, HOMES={"blog.Pst": "blog", "blog.xyz": "blog"})
    near, far = configuration.check_homes()
    assert near.msg == "XDBREL[\"HOMES\"] has an entry 'blog.Pst', and there is no such model."
    assert near.hint == "Write 'blog.Post' instead."
    assert far.hint == "Remove it, or install the app that has this model."


def test_e004_any_case(settings):
    """Entries are found whatever the case of their letters."""
    use(settings, HOMES={"Blog": "blog", "SHOP.order": "shop"})
    assert configuration.check_homes() == []


def test_e005_unknown_alias(settings):
    """A replica and its primary are aliases of DATABASES."""
    use(settings, REPLICAS={"one": "blog", "shop": "two"})
    assert configuration.check_replicas() == [
        Error(
            "A key of XDBREL[\"REPLICAS\"] names the database 'one', which DATABASES does not "
            "define.",
            hint="Define 'one' in DATABASES, or name one of default, blog, shop.",
            id="xdbrel.E005",
        ),
        Error(
            'XDBREL["REPLICAS"]["shop"] names the database \'two\', which DATABASES does not '
            "define.",
            hint="Define 'two' in DATABASES, or name one of default, blog, shop.",
            id="xdbrel.E005",
        ),
    ]


@pytest.mark.parametrize("replicas", [{"blog": "blog"}, {"blog": "shop", "shop": "blog"}])
def test_e005_circle(settings, replicas):
    """A replica copies another database."""
    use(settings, HOMES={}, REPLICAS=replicas)
    found = configuration.check_replicas()
    assert set(ids(found)) == {"xdbrel.E005"}
    assert found[0].msg == "XDBREL[\"REPLICAS\"] makes 'blog' a replica of itself."
    assert found[0].hint == "Name the primary that 'blog' copies."


def test_e006_home_at_a_replica(settings, aliases):
    """Nothing is written to a replica or a test mirror."""
    aliases.define("replica")
    aliases.define("mirror", TEST={"MIRROR": "shop"})
    use(
        settings,
        HOMES={"blog": "replica"},
        REPLICAS={"replica": "blog"},
        INTEGRITY_DATABASE="mirror",
    )
    assert configuration.check_homes() == [
        Error(
            "XDBREL[\"HOMES\"][\"blog\"] names 'replica', a replica or test mirror of 'blog', "
            "where nothing is written.",
            hint="Name 'blog' instead.",
            id="xdbrel.E006",
        )
    ]
    (message,) = configuration.check_integrity_database()
    assert message.id == "xdbrel.E006"
    assert message.hint == "Name 'shop' instead."


def test_e007_unknown_integrity_database(settings):
    """Scan runs are kept in a database that there is."""
    use(settings, INTEGRITY_DATABASE="shp")
    assert configuration.check_integrity_database() == [
        Error(
            "XDBREL[\"INTEGRITY_DATABASE\"] names the database 'shp', which DATABASES does not "
            "define.",
            hint="Write 'shop' instead, or define 'shp' in DATABASES.",
            id="xdbrel.E007",
        )
    ]


def test_e007_empty_default(settings, aliases):
    """The default is no database where ``default`` is empty."""
    aliases.empty("default")
    use(settings)
    assert ids(configuration.check_integrity_database()) == ["xdbrel.E007"]


def test_w009_homes_without_router(settings):
    """Homes that no router reads have no effect."""
    settings.DATABASE_ROUTERS = []
    assert configuration.check_routers() == [
        Warning(
            'XDBREL["HOMES"] has no effect: no router in DATABASE_ROUTERS reads it.',
            hint='Add "xdbrel.routers.HomeRouter" to the end of DATABASE_ROUTERS.',
            id="xdbrel.W009",
        )
    ]
    settings.XDBREL = {}
    assert configuration.check_routers() == []


def test_w010_routers_in_the_wrong_order(settings):
    """HomeRouter first means that no replica is read."""
    pool, home = "xdbrel.routers.PrimaryReplicaRouter", "xdbrel.routers.HomeRouter"
    settings.DATABASE_ROUTERS = [home, pool]
    assert configuration.check_routers() == [
        Warning(
            "PrimaryReplicaRouter stands after HomeRouter in DATABASE_ROUTERS, which answers "
            'first: the replicas of the databases in XDBREL["HOMES"] are never read.',
            hint='Move "xdbrel.routers.PrimaryReplicaRouter" before HomeRouter.',
            id="xdbrel.W010",
        )
    ]
    settings.DATABASE_ROUTERS = [pool, home]
    assert configuration.check_routers() == []


def test_w011_entry_without_effect(settings):
    """A proxy has no home of its own, nor has an automatic table."""
    use(settings, HOMES={**HOMES, "blog.EssayProxy": "shop", "blog.Post_tags": "shop"})
    proxy, table = configuration.check_homes()
    assert proxy == Warning(
        'XDBREL["HOMES"]["blog.EssayProxy"] has no effect: the rows of blog.EssayProxy live '
        "with blog.Essay.",
        hint="Remove it, or name the home of blog.Essay.",
        id="xdbrel.W011",
    )
    assert table.id == "xdbrel.W011"
    assert "the rows of blog.Post_tags live with blog.Post." in table.msg


def test_w011_right_entry(settings):
    """A proxy named with the home that it has is no mistake."""
    use(settings, HOMES={**HOMES, "blog.EssayProxy": "blog"})
    assert configuration.check_homes() == []


@pytest.mark.parametrize("capture", ["orm", "triggers", [], ["shop.Order.customer"]])
def test_capture(settings, capture):
    """Words, and relations that triggers can serve."""
    use(settings, CAPTURE=capture)
    assert configuration.check_capture() == []
    assert configuration.check_values() == []


def test_e002_capture(settings):
    """Another word is none."""
    use(settings, CAPTURE="all")
    (message,) = configuration.check_values()
    assert message.id == "xdbrel.E002"
    assert message.msg == (
        "XDBREL[\"CAPTURE\"] must be 'orm', 'triggers' or a list of relations' handles, not 'all'."
    )


def test_e012_unknown_relation(settings):
    """A relation that there is not, with the nearest handle."""
    use(settings, CAPTURE=["shop.Order.costumer", "nobody"])
    found = configuration.check_capture()
    assert ids(found) == ["xdbrel.E012"] * 2
    assert found[0] == Error(
        "XDBREL[\"CAPTURE\"] names 'shop.Order.costumer', and there is no such relation.",
        hint="Write 'shop.Order.customer' instead.",
        id="xdbrel.E012",
    )
    assert found[1].hint == '"manage.py xdbrel_relations" lists them.'


def test_w013_no_effect(settings):
    """Relations that triggers have nothing to write for."""
    use(settings, CAPTURE=["shop.Invoice.customer", "blog.Branch.parent"])
    assert configuration.check_capture() == [
        Warning(
            'shop.Invoice.customer in XDBREL["CAPTURE"] has no effect: with PROTECT nothing '
            "follows what goes past the ORM.",
            hint="Remove it.",
            id="xdbrel.W013",
        ),
        Warning(
            'blog.Branch.parent in XDBREL["CAPTURE"] has no effect: its models have one home.',
            hint="Remove it.",
            id="xdbrel.W013",
        ),
    ]
