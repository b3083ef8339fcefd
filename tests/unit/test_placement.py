"""xdbrel.placement: which alias a model lives at, and which aliases are one place."""

import re

import pytest
from django.contrib.auth.models import User
from django.core.cache.backends.db import BaseDatabaseCache
from django.db import router

from tests.apps.blog.models import Post
from xdbrel import placement
from xdbrel.checks import configuration
from xdbrel.exceptions import HomeError
from xdbrel.placement import placed_router


def at(model, alias):
    """An instance that was read from ``alias``."""
    instance = model()
    instance._state.db = alias
    return instance


def use(settings, *routers, **xdbrel):
    settings.DATABASE_ROUTERS = list(routers)
    settings.XDBREL = xdbrel


HOMES = ("default", "blog", "shop")


class Silent:
    """Has none of a router's methods."""


class ByHint:
    """Sends what belongs to an object of one database to another."""

    def db_for_read(self, model, instance=None, **hints):
        return None if instance is None else f"{instance._state.db}_reads"

    def db_for_write(self, model, instance=None, **hints):
        return None if instance is None else f"{instance._state.db}_writes"


class Only:
    """Lets ``model`` live at ``places`` and says nothing else."""

    def __init__(self, model, *places):
        self.model, self.places = model, places

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        if hints.get("model") is self.model:
            return db in self.places
        return None


class TestHome:
    def test_router_speaks(self):
        """What a router names for writing is the home, whatever the hint."""
        assert placement.home(Post) == "blog"
        assert placement.home(Post, instance=at(User, "default")) == "blog"

    def test_routers_get_the_hint(self, settings):
        """Reads and writes are asked for with the hinted instance."""
        use(settings, Silent(), ByHint())
        hint = at(Post, "blog")
        assert placement.read_alias(User, instance=hint) == "blog_reads"
        assert placement.home(User, instance=hint) == "blog_writes"

    def test_never_the_hinted_database_of_a_model_that_may_not_live_there(self, settings):
        """Silent routers do not send a target to the database of its source."""
        use(settings, Only(User, "default"))
        assert placement.home(User, instance=at(Post, "blog")) == "default"
        assert placement.read_alias(User, instance=at(Post, "blog")) == "default"

    def test_stays_at_the_hint_that_may_hold_it(self, settings):
        """Django's stickiness stays where it is right."""
        use(settings)
        assert placement.home(User, instance=at(Post, "blog")) == "blog"
        assert placement.read_alias(User, instance=at(Post, "shop")) == "shop"

    def test_default_where_several_may(self, settings):
        """Without routers and hints, a model lives in default."""
        use(settings)
        assert placement.home(Post) == "default"

    def test_hint_without_database(self, settings):
        """An instance that was never saved is no hint."""
        use(settings)
        assert placement.home(User, instance=Post()) == "default"

    def test_the_only_candidate(self, settings):
        """A model that one database alone may hold lives there."""
        use(settings, Only(User, "shop"))
        assert placement.home(User) == "shop"

    def test_several_candidates(self, settings):
        """Several databases, and default is none of them: an error that names them."""
        use(settings, Only(User, "blog", "shop"))
        with pytest.raises(HomeError) as caught:
            placement.home(User)
        assert str(caught.value) == (
            "The home of auth.User is not known: no router names its database and 'blog', "
            "'shop' may hold it. Name it in XDBREL[\"HOMES\"] and use "
            "xdbrel.routers.HomeRouter, or answer in a router's db_for_write()."
        )
        assert (caught.value.model, caught.value.candidates) == ("auth.User", ("blog", "shop"))

    def test_no_candidate(self, settings):
        """No database may hold the model: an error that says so."""
        use(settings, Only(User))
        with pytest.raises(
            HomeError,
            match=re.escape("no router names its database and none may hold it (allow_migrate)."),
        ):
            placement.home(User)

    def test_empty_default(self, settings, aliases):
        """``"default": {}`` is no database."""
        use(settings, Only(User, "default", "blog"))
        aliases.empty("default")
        assert placement.candidates(User) == ["blog"]
        assert placement.home(User) == "blog"

    def test_asks_without_writing(self, settings):
        """A router that takes note of writes is asked by db_for_home()."""

        class Noting:
            wrote = 0

            def db_for_write(self, model, **hints):
                self.wrote += 1
                return "blog"

            def db_for_home(self, model, **hints):
                return "blog"

        router = Noting()
        use(settings, router)
        assert placement.home(User) == "blog"
        assert router.wrote == 0
        assert placed_router.db_for_write(User) == "blog"
        assert router.wrote == 1


class TestReplicas:
    def test_home_is_the_primary(self, settings, aliases):
        """A home is where rows are written, also for an object from a replica."""
        aliases.define("replica")
        use(settings, REPLICAS={"replica": "default"})
        hint = at(Post, "replica")
        assert placement.home(User, instance=hint) == "default"
        assert placement.read_alias(User, instance=hint) == "replica"

    def test_replica_that_is_never_migrated(self, settings, aliases):
        """What may live at the primary may be read from the replica."""
        aliases.define("replica")
        use(settings, Only(User, "default"), REPLICAS={"replica": "default"})
        assert placement.may_live(User, "replica")
        assert not placement.may_live(User, "blog")
        assert placement.read_alias(User, instance=at(Post, "replica")) == "replica"

    def test_candidates_leave_replicas_out(self, settings, aliases):
        """A replica is not a second candidate."""
        aliases.define("replica")
        use(settings, REPLICAS={"replica": "default", "shop": "blog"})
        assert placement.candidates(User) == ["default", "blog"]

    def test_test_mirror(self, settings, aliases):
        """A test mirror counts as its primary."""
        aliases.define("mirror", TEST={"MIRROR": "blog"})
        use(settings)
        assert placement.primary("mirror") == "blog"
        assert placement.same_home("mirror", "blog")
        assert "mirror" not in placement.candidates(User)

    def test_chain(self, settings, aliases):
        """A replica of a replica leads to the first primary; a circle ends."""
        use(settings, REPLICAS={"a": "b", "b": "c", "x": "y", "y": "x"})
        assert placement.primary("a") == "c"
        assert placement.same_home("a", "b")
        assert placement.primary("x") in ("x", "y")

    def test_two_replicas_of_one_primary(self, settings):
        """Replicas of one primary are one home."""
        use(settings, REPLICAS={"one": "blog", "two": "blog"})
        assert placement.same_home("one", "two")
        assert not placement.same_home("one", "default")


class TestSameDatabase:
    def test_two_aliases(self, settings, aliases):
        """Two aliases for the very same database are one home."""
        aliases.define("first", NAME="/data/db")
        aliases.define("second", NAME="/data/db")
        assert placement.same_home("first", "second")

    def test_home_is_the_alias_that_the_router_names(self, settings, aliases):
        """Of two aliases for one database, a home is the one whose transactions are used."""
        aliases.define("first", NAME="/data/db")
        aliases.define("second", NAME="/data/db")
        use(settings, "xdbrel.routers.HomeRouter", HOMES={"blog": "second"})
        assert placement.home(Post) == "second"

    def test_counts_as_one_candidate(self, settings, aliases):
        """A database is not ambiguous for having two names."""
        aliases.define("first", NAME="/data/db")
        aliases.define("second", NAME="/data/db")
        use(settings, Only(User, "first", "second"))
        assert placement.home(User) == "first"

    @pytest.mark.parametrize(
        "other",
        [
            {"NAME": "other"},
            {"HOST": "elsewhere"},
            {"PORT": "5433"},
            {"ENGINE": "django.db.backends.mysql"},
            {"OPTIONS": {"options": "-c search_path=archive"}},
        ],
    )
    def test_another_database(self, aliases, other):
        """Name, host, port, kind and schema each tell two databases apart."""
        same = {"ENGINE": "django.db.backends.postgresql", "NAME": "db", "HOST": "h"}
        aliases.define("first", **same)
        aliases.define("second", **{**same, "OPTIONS": {"options": "-c lock_timeout=1"}})
        aliases.define("third", **{**same, **other})
        assert placement.same_home("first", "second")
        assert not placement.same_home("first", "third")

    @pytest.mark.parametrize("name", ["", ":memory:"])
    def test_unnamed(self, aliases, name):
        """Databases in memory are apart, each in its own connection."""
        aliases.define("first", NAME=name)
        aliases.define("second", NAME=name)
        assert not placement.same_home("first", "second")

    def test_service(self, aliases):
        """A connection service names a database from outside."""
        postgres = {"ENGINE": "django.db.backends.postgresql", "NAME": ""}
        aliases.define("first", **postgres, OPTIONS={"service": "one"})
        aliases.define("second", **postgres, OPTIONS={"service": "one"})
        aliases.define("third", **postgres, OPTIONS={"service": "two"})
        assert placement.same_home("first", "second")
        assert not placement.same_home("first", "third")


class TestPin:
    def test_router_speaks(self):
        """Where a router speaks, Django finds the way, perhaps to a replica."""
        assert placement.pin(Post, instance=at(User, "default")) is None

    def test_stickiness_is_right(self, settings):
        """Where the hinted database may hold the model, Django stays there."""
        use(settings)
        assert placement.pin(User, instance=at(Post, "blog")) is None

    def test_stickiness_is_wrong(self):
        """Where it may not, the queryset is pinned to the model's home."""
        assert placement.pin(User, instance=at(Post, "blog")) == "default"

    def test_without_hint(self):
        """Without a hint, the model's home."""
        assert placement.pin(User) == "default"


class TestPlacedRouter:
    def test_databases(self):
        """It reads and writes where the models live."""
        assert placed_router.db_for_read(User, instance=at(Post, "blog")) == "default"
        assert placed_router.db_for_write(User, instance=at(Post, "blog")) == "default"

    def test_allows_relations_unless_forbidden(self, settings):
        """A declared relation needs no router's permission, and heeds a router's veto."""

        class Never:
            def allow_relation(self, obj1, obj2, **hints):
                return False

        use(settings, Silent())
        assert placed_router.allow_relation(Post(), User()) is True
        use(settings, Silent(), Never())
        assert placed_router.allow_relation(Post(), User()) is False

    def test_allows_relations_inside_any_database(self, settings):
        """As Django does, though the routers would look for neither of them there."""

        class AllInDefault:
            def db_for_read(self, model, **hints):
                return "default"

            db_for_write = db_for_read

        use(settings, AllInDefault())
        assert placed_router.allow_relation(at(Post, "shop"), at(User, "shop")) is True
        assert placed_router.allow_relation(at(Post, "blog"), at(User, "shop")) is False


def test_the_table_of_a_cache(settings):
    """What Django's cache in a table shows its routers is hardly a model."""
    table = BaseDatabaseCache("tea", {}).cache_model_class
    assert placement.through_home(table) is None
    assert [alias for alias in HOMES if router.allow_migrate_model(alias, table)] == ["default"]
    settings.XDBREL = {"HOMES": {"django_cache": "shop"}}
    assert configuration.check_homes() == []
    assert [alias for alias in HOMES if router.allow_migrate_model(alias, table)] == ["shop"]
    assert router.db_for_read(table) == router.db_for_write(table) == "shop"
