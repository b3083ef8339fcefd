"""A database that goes away: refused, cut at every statement, hung, deadlocked, full.

Real servers behind ``proxy``. Whatever breaks: either the delete failed for its caller and
everything stands, or the target is gone; and once the relay has done its work nothing is
dangling, and the process works on.
"""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import (
    Error,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connections,
    transaction,
)
from django.utils import timezone

import xdbrel
from tests.apps.blog.models import Comment, Post
from tests.apps.people.models import Bookmark
from tests.apps.shop.models import Invoice, Order, Profile, Review
from tests.faults import oracle
from tests.faults.proxy import Proxy
from tests.settings import LAYOUT
from xdbrel.cascade.relay import intent_aliases, relay
from xdbrel.cascade.retry import retry_waiting
from xdbrel.models import CascadeIntent, IntentClaim

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

on_a_server = pytest.mark.skipif(LAYOUT == "sqlite", reason="SQLite has no server to go away")

Status = CascadeIntent.Status
MODELS = [User, Post, Comment, Bookmark, Order, Invoice, Review, Profile]
DRAIN_SECONDS = 60.0
#: More than any of the paths has.
MOST_STEPS = 60
LONG_AGO = timezone.now() - timedelta(days=1)
TIMEOUT_SECONDS = 2


@pytest.fixture
def behind():
    """Returns what leads the connections of an alias through a proxy, and gives that."""
    with ExitStack() as stack:

        def lead(alias, **options):
            connection = connections[alias]
            names = connection.settings_dict
            usual = {name: names[name] for name in ("HOST", "PORT", "OPTIONS")}
            proxy = stack.enter_context(Proxy(usual["HOST"], int(usual["PORT"])))
            # What waits without end would be a test without end.
            limits = {"connect_timeout": TIMEOUT_SECONDS}
            if connection.vendor == "mysql":
                limits.update(read_timeout=TIMEOUT_SECONDS, write_timeout=TIMEOUT_SECONDS)
            connection.close()
            names.update(
                HOST="127.0.0.1",
                PORT=str(proxy.port),
                OPTIONS={**usual["OPTIONS"], **limits, **options},
            )

            def restore():
                connection.close()
                names.update(usual)

            stack.callback(restore)
            return proxy

        yield lead


class Breaking:
    """Calls ``breaks`` right before the given statement or commit of ``alias``.

    ``what`` is then its verb. A context manager.
    """

    def __init__(self, alias, step, breaks):
        self.connection = connections[alias]
        self.left = step
        self.breaks = breaks
        self.what = None

    def __enter__(self):
        self.wrapper = self.connection.execute_wrapper(self._statement)
        self.wrapper.__enter__()
        commit = self.connection._commit

        def counted():
            self._count("COMMIT")
            commit()

        self.connection._commit = counted
        return self

    def __exit__(self, *args):
        del self.connection._commit
        self.wrapper.__exit__(*args)

    def _statement(self, execute, sql, params, many, context):
        self._count(sql.split()[0])
        return execute(sql, params, many, context)

    def _count(self, verb):
        self.left -= 1
        if self.left == 0:
            self.what = verb
            self.breaks()


def make_users(*names):
    """Write users with sources in every other database; return them with all that there is."""
    with xdbrel.atomic("default", "blog", "shop"):
        bob, _ = User.objects.get_or_create(username="bob")
        users = User.objects.bulk_create([User(username=name) for name in names])
        posts = Post.objects.bulk_create(
            [Post(title="one", author=user, editor=user) for user in users]
        )
        theirs = Post.objects.bulk_create(
            [Post(title="two", author=bob, editor=user) for user in users]
        )
        Comment.objects.bulk_create([Comment(post=post, author=bob) for post in posts])
        Comment.objects.bulk_create(
            [Comment(post=post, author=user) for post, user in zip(theirs, users, strict=True)]
        )
        Bookmark.objects.bulk_create([Bookmark(post=post) for post in (*posts, *theirs)])
        Review.objects.bulk_create([Review(post=post, author=bob) for post in posts])
        Review.objects.bulk_create(
            [Review(post=post, author=user) for post, user in zip(theirs, users, strict=True)]
        )
        Order.objects.bulk_create([Order(customer=user) for user in (*users, bob)])
        Profile.objects.bulk_create([Profile(user=user) for user in users])
    return users, oracle.snapshot(MODELS)


def make_user():
    """Write one user with sources, and return it with all that there is."""
    (user,), before = make_users("ada")
    return user, before


def drain():
    """Relay, and let no intent wait for its time, until each is confirmed or set aside."""
    until = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < until:
        left = 0
        for alias in intent_aliases():
            open_ones = CascadeIntent.objects.using(alias).filter(
                status__in=[Status.PENDING, Status.APPLIED]
            )
            left += open_ones.update(available_at=LONG_AGO)
            # Those of a relay that lost its connection before it could give them up.
            IntentClaim.objects.using(alias).update(until=LONG_AGO)
        if not left:
            return
        relay()
        # As the command does between its turns, and Celery between tasks.
        close_old_connections()
    raise AssertionError(f"the relay has not finished in {DRAIN_SECONDS} s")


def next_request():
    """Do what Django does between requests; then every database has to answer."""
    close_old_connections()
    for alias in connections:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")


def delete(user):
    """Delete in autocommit."""
    user.delete()


def delete_in_atomic(user):
    with transaction.atomic(using="default"):
        user.delete()


def delete_in_atomic_of_all(user):
    with xdbrel.atomic("default", "blog", "shop"):
        user.delete()


def errors_of(caplog):
    return [r for r in caplog.records if getattr(r, "action", "") == "cascade_failed"]


@on_a_server
@pytest.mark.parametrize("mode", ["cut", "cut_on_answer"])
@pytest.mark.parametrize("alias", ["default", "blog"])
@pytest.mark.parametrize("way", [delete, delete_in_atomic, delete_in_atomic_of_all])
def test_connections_cut_at_each_statement_of_a_delete(way, alias, mode, behind, tell):
    """Before a statement or commit reaches the server, or before its answer comes back."""
    proxy = behind(alias)
    users, before = make_users(*map(str, range(MOST_STEPS)))
    gone = []
    for step, user in enumerate(users, 1):
        key = user.pk
        error = None
        with Breaking(alias, step, getattr(proxy, mode)) as breaking:
            try:
                way(user)
            except Error as raised:
                error = raised
        next_request()
        place = f"{breaking.what} {step}: {error!r}"
        if not User.objects.filter(pk=key).exists():
            gone.append((User, key))
            if error is not None and way is not delete_in_atomic_of_all:
                # Only of a commit without an answer nobody can say what became of it.
                assert (mode, breaking.what) == ("cut_on_answer", "COMMIT"), place
        else:
            assert error is not None, place
        if error is not None:
            # The driver's own words, not those of something that stumbled over it.
            assert isinstance(error, (OperationalError, InterfaceError)), place
            assert re.search("connection|gone away", str(error)), place
        if breaking.what is None:
            break
    assert breaking.what is None, "more statements than users"
    assert step > 4
    tell(f"cut at {step - 1} statements and commits")
    drain()
    # All that belongs to the others is as it was.
    assert oracle.outcome(before, *gone) == "gone"


@on_a_server
@pytest.mark.parametrize("mode", ["cut", "cut_on_answer"])
@pytest.mark.parametrize("alias", ["default", "blog"])
def test_connections_cut_at_each_statement_of_a_relay(alias, mode, behind, tell):
    proxy = behind(alias)
    users, before = make_users(*map(str, range(MOST_STEPS)))
    gone = []
    for step, user in enumerate(users, 1):
        gone.append((User, user.pk))
        # Somebody deletes, and dies right after the commit.
        with transaction.atomic(using="default"):
            user.delete()
            connections["default"].run_on_commit.clear()
        last = CascadeIntent.objects.filter(status=Status.PENDING).latest("pk").deletion
        CascadeIntent.objects.filter(deletion=last).update(available_at=LONG_AGO)
        with Breaking(alias, step, getattr(proxy, mode)) as breaking:
            relay()
        next_request()
        if breaking.what is None:
            break
    assert breaking.what is None, "more statements than users"
    assert step > 4
    tell(f"cut at {step - 1} statements and commits")
    drain()
    assert oracle.outcome(before, *gone) == "gone"


@on_a_server
def test_an_idle_relay_whose_connections_were_cut(behind):
    proxies = [behind("default"), behind("blog")]
    relay()
    for proxy in proxies:
        proxy.cut()
    relay()
    close_old_connections()
    assert relay().unreachable == []


@on_a_server
@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("way", [delete, delete_in_atomic])
def test_sources_that_refuse_connections(way, connected, behind, caplog):
    """What is not asked before the commit does not hold up the delete; the relay finishes."""
    proxy = behind("blog")
    user, before = make_user()
    key = user.pk
    if not connected:
        connections["blog"].close()
    proxy.refuse()
    way(user)
    assert not User.objects.filter(pk=key).exists()
    assert not Order.objects.filter(customer=key).exists()
    records = errors_of(caplog)
    assert {r.alias for r in records} == {"blog"}
    assert "blog.Post.author" in {r.relation for r in records}
    failed = CascadeIntent.objects.get(relation="blog.Post.author")
    assert failed.status == Status.PENDING
    assert failed.last_error.startswith("OperationalError: ")
    relay()
    proxy.accept()
    next_request()
    assert Post.objects.filter(author=key).exists()
    drain()
    assert oracle.outcome(before, (User, key)) == "gone"


@on_a_server
def test_sources_that_are_judged_and_refuse_connections(behind):
    """Where somebody may protect, nothing is deleted unasked."""
    proxy = behind("shop")
    user, before = make_user()
    key = user.pk
    proxy.refuse()
    with pytest.raises(OperationalError):
        user.delete()
    proxy.accept()
    next_request()
    assert oracle.outcome(before, user) == "stands"
    user.delete()
    assert oracle.outcome(before, (User, key)) == "gone"


@on_a_server
def test_targets_that_refuse_connections(behind):
    proxy = behind("default")
    user, before = make_user()
    proxy.refuse()
    with pytest.raises(OperationalError):
        user.delete()
    assert relay().unreachable == ["default"]
    proxy.accept()
    next_request()
    assert oracle.outcome(before, user) == "stands"


@on_a_server
def test_sources_cut_between_the_commits(behind):
    """The targets have committed; the sources' connection, which was open, is gone."""
    proxy = behind("blog")
    user, before = make_user()
    key = user.pk
    with transaction.atomic(using="default"):
        transaction.on_commit(proxy.cut, using="default")
        user.delete()
    next_request()
    assert not User.objects.filter(pk=key).exists()
    assert Post.objects.filter(author=key).exists()
    drain()
    assert oracle.outcome(before, (User, key)) == "gone"


@on_a_server
def test_sources_refuse_between_the_commits(behind):
    """The same with everything in one ``xdbrel.atomic``: the caller hears of it."""
    proxy = behind("blog")
    user, before = make_user()
    key = user.pk
    with pytest.raises(OperationalError), xdbrel.atomic("default", "blog", "shop"):
        transaction.on_commit(proxy.refuse, using="default")
        user.delete()
    assert not User.objects.filter(pk=key).exists()
    proxy.accept()
    next_request()
    assert Post.objects.filter(author=key).exists()
    drain()
    assert oracle.outcome(before, (User, key)) == "gone"


@contextmanager
def freed(proxy, connection):
    """Let PostgreSQL's driver, which has no limit of its own, find the connection broken."""
    if connection.vendor == "mysql":
        yield
        return
    timer = threading.Timer(TIMEOUT_SECONDS, proxy.cut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@on_a_server
@pytest.mark.parametrize("connected", [True, False])
def test_sources_that_hang(connected, behind, caplog):
    """A server that keeps connections and answers nothing: the limits of the driver count."""
    proxy = behind("blog")
    user, before = make_user()
    key = user.pk
    connection = connections["blog"]
    if not connected:
        connection.close()
    proxy.hang()
    with freed(proxy, connection) if connected else nullcontext():
        began = time.monotonic()
        user.delete()
        # Nothing is asked of it a second time.
        assert time.monotonic() - began < 3 * TIMEOUT_SECONDS + 2
    assert not User.objects.filter(pk=key).exists()
    assert not Order.objects.filter(customer=key).exists()
    assert {r.alias for r in errors_of(caplog)} == {"blog"}
    proxy.cut()
    proxy.accept()
    next_request()
    drain()
    assert oracle.outcome(before, (User, key)) == "gone"


@on_a_server
def test_targets_that_hang(behind):
    proxy = behind("default")
    user, before = make_user()
    proxy.hang()
    with freed(proxy, connections["default"]), pytest.raises(OperationalError):
        user.delete()
    proxy.cut()
    proxy.accept()
    next_request()
    assert oracle.outcome(before, user) == "stands"


def test_a_deadlock_among_the_sources():
    """Somebody locks the same sources in the opposite order, and the cascade is the victim."""
    if LAYOUT == "sqlite":
        pytest.skip("SQLite locks whole databases, so there are no two locks to cross")
    user, before = make_user()
    key = user.pk
    bob = User.objects.get(username="bob")
    Order.objects.bulk_create([Order(customer=bob) for _ in range(300)])
    before = oracle.snapshot(MODELS)
    has_first, may_go_on = threading.Event(), threading.Event()

    def other():
        connection = connections["shop"].copy()
        try:
            connection.set_autocommit(False)
            with connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    # Who waits first for as long as this looks for the circle, and gives way.
                    cursor.execute("SET LOCAL deadlock_timeout = '1h'")
                # InnoDB lets go on who has changed more.
                cursor.execute(f"UPDATE shop_order SET number = 'x' WHERE customer_id = {bob.pk}")
                cursor.execute(f"UPDATE shop_profile SET motto = 'x' WHERE user_id = {key}")
                has_first.set()
                assert may_go_on.wait(30)
                cursor.execute(f"UPDATE shop_order SET number = 'y' WHERE customer_id = {key}")
            connection.rollback()
        finally:
            connection.close()

    def let_other_cross(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "shop_order" in sql and sql.startswith("DELETE"):
            may_go_on.set()
        return result

    with ThreadPoolExecutor(1) as pool:
        crossing = pool.submit(other)
        assert has_first.wait(30)
        with connections["shop"].execute_wrapper(let_other_cross):
            user.delete()
        crossing.result()
    assert not User.objects.filter(pk=key).exists()
    intent = CascadeIntent.objects.get(relation="shop.Order.customer")
    assert intent.status == Status.PENDING
    assert "deadlock" in intent.last_error.lower()
    assert Order.objects.filter(customer=key).exists()
    drain()
    assert oracle.outcome(before, (User, key)) == "gone"


@pytest.mark.parametrize("level", ["REPEATABLE_READ", "SERIALIZABLE"])
def test_a_serialization_failure_among_the_sources(level, behind):
    """The sources change under an application that sees them as they were."""
    if connections["blog"].vendor != "postgresql":
        pytest.skip("only PostgreSQL refuses what was changed since the transaction began")
    from psycopg import IsolationLevel

    behind("blog", isolation_level=IsolationLevel[level])
    user, before = make_user()
    key = user.pk
    changed = []

    def change(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if not changed and connections["blog"].in_atomic_block:
            changed.append(sql)
            other = connections["blog"].copy()
            try:
                with other.cursor() as cursor:
                    cursor.execute("UPDATE blog_post SET title = 'changed'")
            finally:
                other.close()
        return result

    with connections["blog"].execute_wrapper(change):
        user.delete()
    assert changed
    assert not User.objects.filter(pk=key).exists()
    intent = CascadeIntent.objects.get(relation="blog.Post.author")
    assert intent.status == Status.PENDING
    assert "could not serialize access" in intent.last_error
    drain()
    before[Post] = {pk: {**row, "title": "changed"} for pk, row in before[Post].items()}
    assert oracle.outcome(before, (User, key)) == "gone"


FULL = {
    "postgresql": (
        "CREATE FUNCTION xdbrel_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF OLD.number = 'cursed' THEN RAISE EXCEPTION 'the disk is full'; END IF;"
        " RETURN OLD; END $$;"
        " CREATE TRIGGER xdbrel_full BEFORE DELETE ON shop_order"
        " FOR EACH ROW EXECUTE FUNCTION xdbrel_full()",
        "DROP FUNCTION IF EXISTS xdbrel_full() CASCADE",
    ),
    "mysql": (
        "CREATE TRIGGER xdbrel_full BEFORE DELETE ON shop_order FOR EACH ROW"
        " IF OLD.number = 'cursed' THEN"
        " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the disk is full'; END IF",
        "DROP TRIGGER IF EXISTS xdbrel_full",
    ),
    "sqlite": (
        "CREATE TRIGGER xdbrel_full BEFORE DELETE ON shop_order WHEN OLD.number = 'cursed'"
        " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
        "DROP TRIGGER IF EXISTS xdbrel_full",
    ),
}


@contextmanager
def full_disk():
    """Refuse, for good, to delete the orders that are cursed."""
    create, drop = FULL[connections["shop"].vendor]
    with connections["shop"].cursor() as cursor:
        cursor.execute(create)
    try:
        yield
    finally:
        with connections["shop"].cursor() as cursor:
            cursor.execute(drop)


def test_what_fails_for_good_is_set_aside_and_the_others_go_on(settings):
    """With its error, after its attempts; once the cause is gone, ``retry`` finishes."""
    settings.XDBREL = {**settings.XDBREL, "MAX_ATTEMPTS": 3, "INTENT_KEYS": 1}
    users, _ = make_users("ada", "eve", "mary")
    pks = [user.pk for user in users]
    Order.objects.filter(customer=pks[1]).update(number="cursed")
    before = oracle.snapshot(MODELS)
    gone = [(User, pk) for pk in pks]
    with full_disk():
        User.objects.filter(pk__in=pks).delete()
        assert not User.objects.filter(pk__in=pks).exists()
        drain()
        aside = CascadeIntent.objects.get(status=Status.SET_ASIDE)
        assert (aside.relation, aside.keys) == ("shop.Order.customer", [pks[1]])
        assert aside.attempts == 3
        assert "the disk is full" in aside.last_error
        left = Order.objects.filter(customer__in=pks)
        assert [order.number for order in left] == ["cursed"]
        drain()
        aside.refresh_from_db()
        assert aside.attempts == 3
    assert retry_waiting().intents == {("default", "shop.Order.customer"): 1}
    drain()
    assert oracle.outcome(before, *gone) == "gone"
    oracle.assert_consistent(before, roots=gone, drained=True)
