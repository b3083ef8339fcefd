"""xdbrel.routers: what the routers answer, without a database."""

import asyncio
import contextvars
import threading
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.db import connections, models, router
from django.db.migrations.state import ModelState, ProjectState
from django.http import JsonResponse
from django.urls import path

from tests.apps.blog.models import Comment, Essay, EssayProxy, Post, Tag
from tests.apps.people.models import Person
from tests.apps.shop.models import Order
from xdbrel import placement
from xdbrel.fields import ThroughManager
from xdbrel.models import CascadeIntent, Orphan, ScanRun
from xdbrel.routers import (
    HomeRouter,
    PrimaryReplicaRouter,
    note_write,
    primary_reads,
    reset_writes,
)

HOMES = {"blog": "blog", "shop": "shop"}


def at(model, alias):
    """An instance that was read from ``alias``."""
    instance = model()
    instance._state.db = alias
    return instance


class TestHomes:
    def test_app(self):
        """An app's entry routes its models, for reads and writes."""
        assert HomeRouter().db_for_read(Post) == "blog"
        assert HomeRouter().db_for_write(Order) == "shop"

    def test_unknown_model(self):
        """About a model without an entry it says nothing, so that others may."""
        assert HomeRouter().db_for_read(User) is None
        assert HomeRouter().db_for_write(User, instance=at(Post, "blog")) is None

    @pytest.mark.parametrize("name", ["blog.Tag", "blog.tag", "BLOG.TAG"])
    def test_model_before_app(self, settings, name):
        """A model's entry comes before its app's, whatever the case of its letters."""
        settings.XDBREL = {"HOMES": {**HOMES, name: "shop"}}
        assert HomeRouter().db_for_write(Tag) == "shop"
        assert HomeRouter().db_for_write(Post) == "blog"

    def test_model_without_app(self, settings):
        """A model's entry needs none of its app's."""
        settings.XDBREL = {"HOMES": {"blog.Tag": "shop"}}
        assert HomeRouter().db_for_write(Tag) == "shop"
        assert HomeRouter().db_for_write(Post) is None

    def test_many_to_many_table(self, settings):
        """An automatic table lives with the model that declares the relation."""
        through = Post.tags.through
        settings.XDBREL = {"HOMES": {"blog.Post": "shop", "blog": "blog"}}
        assert HomeRouter().db_for_write(through) == "shop"
        settings.XDBREL = {"HOMES": {"blog.Post": "shop", "blog.Post_tags": "blog"}}
        assert HomeRouter().db_for_write(through) == "shop"

    def test_proxy(self, settings):
        """A proxy lives with the model whose rows it shows."""
        settings.XDBREL = {"HOMES": {"blog.Essay": "shop", "blog.EssayProxy": "blog"}}
        assert HomeRouter().db_for_write(EssayProxy) == "shop"

    def test_child(self, settings):
        """A multi-table child has its own app's entry."""
        settings.XDBREL = {"HOMES": {"blog": "blog", "blog.Article": "shop"}}
        assert HomeRouter().db_for_write(Essay) == "blog"

    def test_own_models(self, settings):
        """Runs and findings are where the settings say; an intent is where its targets are."""
        settings.XDBREL = {"INTEGRITY_DATABASE": "shop"}
        assert HomeRouter().db_for_read(ScanRun) == "shop"
        assert HomeRouter().db_for_write(Orphan) == "shop"
        assert HomeRouter().db_for_write(CascadeIntent) is None

    def test_settings_are_read_anew(self, settings):
        """One router follows the settings of the moment."""
        one = HomeRouter()
        assert one.db_for_read(Post) == "blog"
        settings.XDBREL = {"HOMES": {"blog": "shop"}}
        assert one.db_for_read(Post) == "shop"
        del settings.XDBREL
        assert one.db_for_read(Post) is None

    def test_reads_beside_an_object_of_a_replica(self, settings):
        """What belongs to an object is read where it was, and written to the primary."""
        settings.XDBREL = {"HOMES": HOMES, "REPLICAS": {"replica": "blog"}}
        hint = at(Comment, "replica")
        assert HomeRouter().db_for_read(Post, instance=hint) == "replica"
        assert HomeRouter().db_for_write(Post, instance=hint) == "blog"
        assert HomeRouter().db_for_read(Order, instance=hint) == "shop"

    def test_an_object_of_another_database(self, settings):
        """It is written where it is, if another router lets its model live there too."""
        hints = [at(Post, "shop"), at(Comment, "shop"), at(Post, "blog"), Post()]
        assert [HomeRouter().db_for_write(Post, instance=one) for one in hints] == ["blog"] * 4
        settings.DATABASE_ROUTERS = [f"{__name__}.OfOld", "xdbrel.routers.HomeRouter"]
        written = [HomeRouter().db_for_write(Post, instance=one) for one in hints]
        assert written == ["shop", "blog", "blog", "blog"]
        assert router.db_for_write(Post, instance=hints[0]) == "shop"
        # Relations look for posts in their home, whatever object is at hand.
        assert placement.home(Post, instance=hints[0]) == "blog"


class OfOld:
    """Posts of old have a table in ``shop``."""

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return True if (db, app_label, model_name) == ("shop", "blog", "post") else None


class TestAllowRelation:
    def test_same_home(self):
        """Models of one home may be related."""
        assert HomeRouter().allow_relation(Comment(), Post()) is True

    def test_declared(self):
        """A declared cross-database relation is allowed, from either side."""
        post, user = at(Post, "blog"), at(User, "default")
        assert HomeRouter().allow_relation(post, user) is True
        assert HomeRouter().allow_relation(user, post) is True

    def test_declared_by_a_parent(self):
        """A child inherits its parent's relations, a proxy its model's."""
        assert HomeRouter().allow_relation(at(EssayProxy, "blog"), at(Person, "default")) is True

    def test_not_declared(self):
        """Models of two homes without a declared relation may not be related."""
        assert HomeRouter().allow_relation(at(Order, "shop"), at(Tag, "blog")) is False
        assert HomeRouter().allow_relation(at(Order, "shop"), at(Group, "default")) is False

    def test_objects_of_one_database(self):
        """Two objects that do come from one database may be related."""
        assert HomeRouter().allow_relation(at(Order, "blog"), at(Tag, "blog")) is True

    def test_unknown_models(self):
        """About two models without entries it says nothing."""
        assert HomeRouter().allow_relation(at(User, "default"), at(Group, "blog")) is None

    def test_home_that_nobody_knows(self, settings):
        """Where the other model's home is not known, it says nothing."""

        class Nowhere:
            def allow_migrate(self, db, app_label, **hints):
                return False

        settings.DATABASE_ROUTERS = [Nowhere(), HomeRouter()]
        assert HomeRouter().allow_relation(at(Order, "shop"), Group()) is None


class TestAllowMigrate:
    def allowed(self, app_label, model_name=None, **hints):
        """The aliases where an operation may run."""
        return [
            alias
            for alias in connections
            if HomeRouter().allow_migrate(alias, app_label, model_name=model_name, **hints)
        ]

    def test_home(self):
        """A model is migrated in its home alone."""
        assert self.allowed("blog", "post", model=Post) == ["blog"]

    def test_unknown_model(self):
        """A model without an entry is migrated in default."""
        assert self.allowed("auth", "user", model=User) == ["default"]

    def test_without_model_class(self):
        """RunPython and RunSQL may name a model by hints alone."""
        assert self.allowed("blog", "Post") == ["blog"]
        assert self.allowed("blog", "gone") == ["blog"]

    def test_many_to_many_table(self):
        """An automatic table is migrated with its model."""
        assert self.allowed("blog", "post_tags", model=Post.tags.through) == ["blog"]

    def test_models_of_migration_states(self, settings):
        """Historical models are placed as the ones of today, proxies and tables in between too."""
        settings.XDBREL = {"HOMES": {"blog": "blog", "old.Thing": "shop"}}
        state = ProjectState()
        state.add_model(
            ModelState(
                "old",
                "Thing",
                [("id", models.AutoField(primary_key=True))],
            )
        )
        state.add_model(
            ModelState(
                "old",
                "Owner",
                [
                    ("id", models.AutoField(primary_key=True)),
                    ("things", models.ManyToManyField("old.Thing")),
                ],
            )
        )
        state.add_model(
            ModelState("blog", "ThingProxy", [], options={"proxy": True}, bases=("old.Thing",))
        )
        historical = state.apps
        assert self.allowed("old", "thing", model=historical.get_model("old", "Thing")) == ["shop"]
        owner = historical.get_model("old", "Owner")
        assert self.allowed("old", "owner", model=owner) == ["default"]
        assert self.allowed("old", "x", model=owner.things.through) == ["default"]
        proxy = historical.get_model("blog", "ThingProxy")
        assert self.allowed("blog", "thingproxy", model=proxy) == ["shop"]

    def test_operations_on_a_whole_app(self, settings):
        """RunPython without hints runs wherever one of the app's models lives."""
        assert self.allowed("blog") == ["blog"]
        assert self.allowed("auth") == ["default"]
        settings.XDBREL = {"HOMES": {"blog": "blog", "blog.Tag": "shop"}}
        assert self.allowed("blog") == ["blog", "shop"]
        settings.XDBREL = {"HOMES": {"auth.Group": "shop"}}
        assert self.allowed("auth") == ["default", "shop"]

    def test_app_without_models(self, settings):
        """An app that has no models has its entry's home."""
        settings.XDBREL = {"HOMES": {"messages": "shop"}}
        assert self.allowed("messages") == ["shop"]
        assert self.allowed("not_installed") == ["default"]

    def test_own_tables_in_every_home(self, settings):
        """xdbrel's tables stand in every alias that is a home, and in no other."""
        assert self.allowed("xdbrel", "cascadeintent", model=CascadeIntent) == [
            "default",
            "blog",
            "shop",
        ]
        settings.XDBREL = {"HOMES": {"shop": "shop"}}
        assert self.allowed("xdbrel") == ["default", "shop"]

    def test_own_tables_in_homes_of_other_routers(self, settings):
        """A home is one whichever router says so."""

        class Blog:
            def db_for_write(self, model, **hints):
                return "blog" if model._meta.app_label == "blog" else None

        settings.XDBREL = {"HOMES": {"shop": "shop"}}
        settings.DATABASE_ROUTERS = [Blog(), HomeRouter()]
        assert self.allowed("xdbrel") == ["default", "blog", "shop"]

    def test_own_tables_in_the_integrity_database(self, settings, monkeypatch):
        """Scan runs need their tables where they are kept."""
        # Fields of the tests' apps name a database themselves.
        monkeypatch.setattr(ThroughManager, "through_home", property(lambda self: None), False)
        settings.XDBREL = {"INTEGRITY_DATABASE": "blog"}
        assert self.allowed("xdbrel") == ["default", "blog"]

    def test_replica(self, settings, aliases):
        """A replica is never migrated, nor is a test mirror."""
        aliases.define("replica")
        aliases.define("mirror", TEST={"MIRROR": "blog"})
        settings.XDBREL = {"HOMES": HOMES, "REPLICAS": {"replica": "blog"}}
        for app_label in ("blog", "xdbrel", "auth"):
            assert not HomeRouter().allow_migrate("replica", app_label)
            assert not HomeRouter().allow_migrate("mirror", app_label)

    def test_second_name_of_a_database(self, settings, aliases):
        """Whichever name is migrated first, every table of that database is made."""
        aliases.define("first", NAME="/data/db")
        aliases.define("second", NAME="/data/db")
        settings.XDBREL = {"HOMES": {"blog": "first", "shop": "second"}}
        assert self.allowed("blog", "post", model=Post) == ["first", "second"]
        assert self.allowed("shop", "order", model=Order) == ["first", "second"]


class Clock:
    """Seconds that pass when they are told to."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(PrimaryReplicaRouter, "clock", clock)
    return clock


@pytest.fixture
def pool(settings, aliases, clock):
    """blog has two replicas, and nothing was written yet."""
    for alias in ("one", "two"):
        aliases.define(alias)
    settings.XDBREL = {
        "HOMES": HOMES,
        "REPLICAS": {"one": "blog", "two": "blog"},
        "READ_YOUR_WRITES_SECONDS": 5,
    }
    settings.DATABASE_ROUTERS = [
        "xdbrel.routers.PrimaryReplicaRouter",
        "xdbrel.routers.HomeRouter",
    ]
    reset_writes()
    yield
    reset_writes()


def read(model=Post, **hints):
    return router.db_for_read(model, **hints)


def read_often(model=Post):
    """Every alias that a hundred reads go to."""
    return {read(model) for _ in range(100)}


def write_view(request):
    router.db_for_write(Post)
    return JsonResponse(sorted(read_often()), safe=False)


def read_view(request):
    return JsonResponse(sorted(read_often()), safe=False)


async def awrite_view(request):
    await sync_to_async(router.db_for_write)(Post)
    return JsonResponse(sorted(read_often()), safe=False)


async def aread_view(request):
    return JsonResponse(sorted(read_often()), safe=False)


urlpatterns = [
    path("write/", write_view),
    path("read/", read_view),
    path("awrite/", awrite_view),
    path("aread/", aread_view),
]


@pytest.mark.usefixtures("pool")
class TestPool:
    def test_reads_spread_over_the_replicas(self):
        """Reads go to any of the replicas, never to the primary."""
        assert read_often() == {"one", "two"}

    def test_writes_go_to_the_primary(self):
        """Writes go to the home of the model."""
        assert router.db_for_write(Post) == "blog"

    def test_home_without_replicas(self):
        """About a home without replicas it says nothing."""
        assert PrimaryReplicaRouter().db_for_read(Order) is None
        assert PrimaryReplicaRouter().db_for_write(Order) is None
        assert read(Order) == "shop"

    def test_model_that_no_router_names(self, settings):
        """A model without an entry has the replicas of the place where it lives."""
        settings.XDBREL = {**settings.XDBREL, "REPLICAS": {"one": "default"}}
        assert read(User) == "one"
        assert read(User, instance=at(Post, "blog")) == "one"
        assert router.db_for_write(User, instance=at(Post, "blog")) == "default"

    def test_no_other_router(self, settings):
        """Alone, it spreads the reads of default."""
        settings.DATABASE_ROUTERS = ["xdbrel.routers.PrimaryReplicaRouter"]
        settings.XDBREL = {"REPLICAS": {"one": "default", "two": "default"}}
        assert read_often(User) == {"one", "two"}
        assert router.db_for_write(User) == "default"

    def test_no_replicas(self, settings):
        """Without a pool it says nothing."""
        settings.XDBREL = {"HOMES": HOMES}
        assert PrimaryReplicaRouter().db_for_read(Post) is None
        assert PrimaryReplicaRouter().db_for_write(Post) is None

    def test_home_that_nobody_knows(self, settings):
        """Where the home of a model is not known, it says nothing."""

        class Nowhere:
            def allow_migrate(self, db, app_label, **hints):
                return False

        settings.DATABASE_ROUTERS = [PrimaryReplicaRouter(), Nowhere()]
        assert PrimaryReplicaRouter().db_for_read(User) is None
        assert PrimaryReplicaRouter().db_for_write(User) is None

    def test_stays_with_an_object_of_a_replica(self):
        """What belongs to an object of a replica is read there: others may be behind."""
        hint = at(Comment, "two")
        assert {read(Post, instance=hint) for _ in range(50)} == {"two"}
        assert router.db_for_write(Post, instance=hint) == "blog"

    def test_another_routers_replica(self, settings):
        """A replica that another router chose for reads stays chosen."""

        class Fixed:
            def db_for_read(self, model, **hints):
                return "one"

            def db_for_write(self, model, **hints):
                return "blog"

        settings.DATABASE_ROUTERS = [PrimaryReplicaRouter(), Fixed()]
        assert read_often() == {"one"}
        router.db_for_write(Post)
        assert read() == "blog"

    def test_relations(self):
        """Objects of one pool may be related; of others it says nothing."""
        allow = PrimaryReplicaRouter().allow_relation
        assert allow(at(Post, "one"), at(Tag, "two")) is True
        assert allow(at(Post, "one"), at(Tag, "blog")) is True
        assert allow(at(Post, "one"), at(Order, "shop")) is None
        assert allow(at(Order, "shop"), at(User, "default")) is None
        assert allow(at(Post, "one"), Tag()) is None

    def test_migrations(self):
        """Replicas are not migrated; of primaries it says nothing."""
        allow = PrimaryReplicaRouter().allow_migrate
        assert allow("one", "blog", model_name="post") is False
        assert allow("blog", "blog", model_name="post") is None
        assert router.allow_migrate_model("blog", Post)
        assert not router.allow_migrate_model("one", Post)

    def test_placement(self):
        """The home is the primary, a place to read is a replica."""
        assert placement.home(Post) == "blog"
        assert placement.read_alias(Post) in ("one", "two")


@pytest.mark.usefixtures("pool")
class TestReadYourWrites:
    def test_after_a_write(self, clock):
        """A writer reads from the primary for the set time, and from replicas after it."""
        router.db_for_write(Post)
        assert read_often() == {"blog"}
        clock.now += 4.9
        assert read_often() == {"blog"}
        clock.now += 0.2
        assert read_often() == {"one", "two"}

    def test_last_write_counts(self, clock):
        """Another write starts the time again."""
        router.db_for_write(Post)
        clock.now += 4
        router.db_for_write(Post)
        clock.now += 4
        assert read() == "blog"

    def test_each_primary_by_itself(self, settings, aliases):
        """A write to one primary leaves the reads of another alone."""
        aliases.define("three")
        settings.XDBREL = {
            **settings.XDBREL,
            "REPLICAS": {"one": "blog", "two": "blog", "three": "shop"},
        }
        router.db_for_write(Order)
        assert read(Order) == "shop"
        assert read_often() == {"one", "two"}

    def test_beside_an_object_of_a_replica(self):
        """An object of a replica does not keep a writer from seeing the write."""
        router.db_for_write(Post)
        assert read(Post, instance=at(Comment, "one")) == "blog"

    def test_question_is_no_write(self):
        """Whoever asks where a model lives has not written."""
        assert placement.home(Post) == "blog"
        assert read_often() == {"one", "two"}

    def test_switched_off(self, settings):
        """No seconds, no primary."""
        settings.XDBREL = {**settings.XDBREL, "READ_YOUR_WRITES_SECONDS": 0}
        router.db_for_write(Post)
        assert read() in ("one", "two")

    def test_noted_by_hand(self, clock):
        """A write that no router hears of can be told."""
        note_write("blog")
        assert read() == "blog"
        clock.now += 6
        assert read() in ("one", "two")
        note_write("one")
        assert read() == "blog"

    def test_reset(self):
        """Another request or task begins without the writes before it."""
        router.db_for_write(Post)
        reset_writes()
        assert read() in ("one", "two")

    def test_requests(self, client, settings):
        """A request sees its own writes, the next one in the same thread does not."""
        settings.ROOT_URLCONF = __name__
        assert client.get("/write/").json() == ["blog"]
        assert client.get("/read/").json() == ["one", "two"]

    def test_asynchronous_requests(self, async_client, settings):
        """So it is under ASGI, where servers give each request a task of its own."""
        settings.ROOT_URLCONF = __name__

        async def both():
            answers = []
            for one in ("/awrite/", "/aread/"):
                answers.append(await asyncio.create_task(async_client.get(one)))
            return [answer.json() for answer in answers]

        served = contextvars.Context().run(asyncio.run, both())
        assert served == [["blog"], ["one", "two"]]

    def test_write_before_the_server_starts(self):
        """What a server writes while it starts does not make one of all its requests."""

        async def request(write):
            if write:
                router.db_for_write(Post)
            return read_often()

        async def serve(clock):
            clock.now += 6
            writer = await asyncio.create_task(request(write=True))
            return writer, await asyncio.create_task(request(write=False))

        def process():
            router.db_for_write(Post)
            return asyncio.run(serve(PrimaryReplicaRouter.clock))

        assert contextvars.Context().run(process) == ({"blog"}, {"one", "two"})

    @pytest.mark.parametrize(("eager", "expected"), [(True, {"blog"}), (False, {"one", "two"})])
    def test_celery_task(self, eager, expected):
        """A task resets them in its worker, not eagerly within the request that sends it."""
        router.db_for_write(Post)
        task = SimpleNamespace(request=SimpleNamespace(is_eager=eager))
        reset_writes(sender=task, task_id="1", task=task, args=[], kwargs={})
        assert read_often() == expected

    def test_other_thread(self):
        """Another thread has written nothing."""
        router.db_for_write(Post)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(read_often()))
        thread.start()
        thread.join()
        assert seen == [{"one", "two"}]

    def test_other_asyncio_task(self):
        """Two tasks that run at the same time do not see each other's writes."""

        async def writer(wrote, looked):
            reset_writes()
            router.db_for_write(Post)
            wrote.set()
            await looked.wait()
            return read_often()

        async def reader(wrote, looked):
            reset_writes()
            await wrote.wait()
            seen = read_often()
            looked.set()
            return seen

        async def both():
            events = asyncio.Event(), asyncio.Event()
            return await asyncio.gather(writer(*events), reader(*events))

        assert asyncio.run(both()) == [{"blog"}, {"one", "two"}]

    def test_write_in_a_part_of_the_request(self):
        """What a request gathers, and runs in threads, writes on the request's behalf."""

        async def request(write):
            reset_writes()
            await asyncio.gather(write(), asyncio.sleep(0))
            return read_often()

        async def write_here():
            router.db_for_write(Post)

        assert asyncio.run(request(write_here)) == {"blog"}
        in_thread = sync_to_async(router.db_for_write, thread_sensitive=False)
        assert asyncio.run(request(lambda: in_thread(Post))) == {"blog"}

    def test_write_in_a_thread_of_a_request_that_was_not_reset(self):
        """sync_to_async() brings the first write back to the coroutine that awaits it."""

        async def request():
            await sync_to_async(router.db_for_write, thread_sensitive=False)(Post)
            return read_often()

        assert contextvars.Context().run(asyncio.run, request()) == {"blog"}


@pytest.mark.usefixtures("pool")
class TestPrimaryReads:
    def test_block(self):
        """Inside the block, reads go to the primary; blocks nest."""
        with primary_reads():
            with primary_reads():
                assert read_often() == {"blog"}
            assert read_often() == {"blog"}
        assert read_often() == {"one", "two"}

    def test_error(self):
        """A block that raises ends all the same."""
        with pytest.raises(ZeroDivisionError), primary_reads():
            1 / 0  # noqa: B018
        assert read_often() == {"one", "two"}

    def test_function(self):
        """A decorated function keeps its name and result."""

        @primary_reads()
        def work(model):
            return read_often(model)

        assert work(Post) == {"blog"}
        assert work.__name__ == "work"
        assert read_often() == {"one", "two"}

    def test_coroutine_function(self):
        """A decorated coroutine reads from the primary while it runs, not others beside it."""

        @primary_reads()
        async def work(started, done):
            started.set()
            await done.wait()
            return read_often()

        async def beside(started, done):
            await started.wait()
            seen = read_often()
            done.set()
            return seen

        async def both():
            events = asyncio.Event(), asyncio.Event()
            return await asyncio.gather(work(*events), beside(*events))

        assert asyncio.run(both()) == [{"blog"}, {"one", "two"}]
