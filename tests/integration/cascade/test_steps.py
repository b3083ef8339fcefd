"""A large cascade in steps: bounded statements and transactions, and turns for the others."""

from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models import signals

from tests.apps.blog.models import Comment, Post
from tests.apps.knots.models import Album, Artist, Song
from tests.apps.shop.models import Order, Review
from xdbrel.cascade import bulk, steps
from xdbrel.cascade.relay import relay
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Status = CascadeIntent.Status


@pytest.fixture
def small_steps(settings):
    settings.XDBREL = {**settings.XDBREL, "RELAY_BATCH_ROWS": 10}


def make_user(name="ada", posts=0, comments=0, reviews=0, orders=0):
    user = User.objects.create(username=name)
    Post.objects.bulk_create([Post(title=str(i), author=user) for i in range(posts)])
    for post in Post.objects.filter(author=user):
        Comment.objects.bulk_create([Comment(post=post, author=user) for _ in range(comments)])
        Review.objects.bulk_create([Review(post=post) for _ in range(reviews)])
    Order.objects.bulk_create([Order(customer=user) for _ in range(orders)])
    return user


@contextmanager
def deleted_rows(alias):
    """Yield a list of (table, rows) of the deletes on ``alias``, in order."""
    seen = []

    def watch(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("DELETE"):
            table = sql.replace("`", '"').split('"')[1]
            seen.append((table, context["cursor"].rowcount))
        return result

    with connections[alias].execute_wrapper(watch):
        yield seen


@contextmanager
def commits():
    """Count the transactions that the block commits on the sources' databases."""
    counted = dict.fromkeys(("blog", "shop"), 0)
    with pytest.MonkeyPatch.context() as patch:
        for alias in counted:
            connection = connections[alias]
            connection.ensure_connection()

            def commit(alias=alias, original=connection.commit):
                counted[alias] += 1
                original()

            patch.setitem(connection.__dict__, "commit", commit)
        yield counted


def test_no_statement_takes_more_than_a_step(small_steps):
    """One target's sources are walked by key, a step at a time."""
    user = make_user(orders=35)
    with deleted_rows("shop") as seen, commits() as committed:
        assert user.delete() == (36, {"auth.User": 1, "shop.Order": 35})
    orders = [rows for table, rows in seen if table == "shop_order"]
    assert orders == [10, 10, 10, 5]
    # Each full step is committed, and the last one, which also looked at other relations.
    assert committed["shop"] == 4


def test_a_small_cascade_is_one_transaction():
    """In each database one for what hung on the user; in shop another for posts' reviews."""
    user = make_user(posts=3, comments=2, orders=2)
    with commits() as committed:
        user.delete()
    assert committed == {"blog": 1, "shop": 2}


def test_many_targets_are_taken_in_pieces(settings, monkeypatch):
    """How many at once follows from how many sources the last ones had."""
    settings.XDBREL = {**settings.XDBREL, "RELAY_BATCH_ROWS": 10}
    monkeypatch.setattr(bulk._Pieces, "FIRST", 2)
    for index in range(12):
        make_user(f"u{index}", orders=2 if index < 10 else 9)
    with deleted_rows("shop") as seen:
        deleted, counts = User.objects.all().delete()
    assert counts["shop.Order"] == 38
    assert deleted == 50
    assert not Order.objects.exists()
    taken = [rows for table, rows in seen if table == "shop_order"]
    assert max(taken) <= 10
    # 2 targets had 4 sources, so 4 may have 8; the two with 9 each are parted.
    assert taken == [4, 8, 8, 9, 9]


def test_what_hangs_on_a_step_goes_with_it(small_steps):
    """Comments in the same database before their posts, reviews in a third one after."""
    user = make_user(posts=25, comments=3, reviews=2)
    with deleted_rows("blog") as seen:
        user.delete()
    assert not Post.objects.exists()
    assert not Comment.objects.exists()
    assert not Review.objects.exists()
    assert all(rows <= 10 for _, rows in seen)
    assert not CascadeIntent.objects.using("default").exclude(status=Status.APPLIED).exists()
    assert not CascadeIntent.objects.using("blog").exclude(status=Status.APPLIED).exists()


def test_instances_are_taken_in_steps_as_well(small_steps):
    """With a receiver Django's collector deletes, so many sources at a time; each is heard."""
    heard = []
    user = make_user(orders=25)

    def hear(instance, **kwargs):
        heard.append(instance.pk)

    signals.post_delete.connect(hear, sender=Order)
    try:
        with deleted_rows("shop") as seen:
            user.delete()
    finally:
        signals.post_delete.disconnect(hear, sender=Order)
    assert len(heard) == len(set(heard)) == 25
    assert [rows for table, rows in seen if table == "shop_order"] == [10, 10, 5]


def test_sources_that_are_given_another_key_are_walked_too(small_steps):
    user = make_user(posts=25)
    other = make_user("other")
    Post.objects.update(author=other, editor=user)
    user.delete()
    assert Post.objects.filter(editor=None, author=other).count() == 25


def test_a_step_that_fails_leaves_what_went_before(small_steps):
    """What was committed stays gone, and the relay does the rest."""
    user = make_user(orders=25)
    deletes = 0

    def fail_the_second(execute, sql, params, many, context):
        nonlocal deletes
        if sql.startswith("DELETE") and "shop_order" in sql:
            deletes += 1
            if deletes == 2:
                raise RuntimeError("no more")
        return execute(sql, params, many, context)

    with connections["shop"].execute_wrapper(fail_the_second):
        user.delete()
    assert Order.objects.count() == 15
    waiting = CascadeIntent.objects.get(relation="shop.Order.customer")
    assert (waiting.status, waiting.last_error) == (Status.PENDING, "RuntimeError: no more")
    make_due()
    assert relay().rows == 15
    assert not Order.objects.exists()


def make_due():
    for alias in connections:
        CascadeIntent.objects.using(alias).filter(status=Status.PENDING).update(
            available_at="2000-01-01T00:00Z", claimed_by=""
        )


def leave_behind(*users):
    """Delete the users while nothing follows: the intents wait."""

    def refuse(execute, sql, params, many, context):
        if sql.startswith(("DELETE", "UPDATE")):
            raise RuntimeError("away")
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for alias in ("blog", "shop"):
            stack.enter_context(connections[alias].execute_wrapper(refuse))
        for user in users:
            user.delete()
    make_due()
    for alias in connections:
        CascadeIntent.objects.using(alias).update(attempts=0, last_error="")


def test_a_target_with_many_sources_lets_others_have_their_turn(settings, monkeypatch):
    """When the time is over, what is unfinished goes behind what waits, without blame."""
    large = make_user("large", orders=35)
    small = make_user("small", orders=1)
    leave_behind(large, small)
    CascadeIntent.objects.exclude(relation="shop.Order.customer").delete()
    settings.XDBREL = {**settings.XDBREL, "RELAY_BATCH_ROWS": 10, "RELAY_BATCH_SIZE": 1}
    # The time of a batch is over after its first step.
    clock = SimpleNamespace(monotonic=iter(range(0, 10_000, 3)).__next__)
    monkeypatch.setattr("xdbrel.cascade.steps.time", clock)
    monkeypatch.setattr("xdbrel.cascade.relay.time", clock)
    order = []

    def watch(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("DELETE"):
            order.append(context["cursor"].rowcount)
        return result

    with connections["shop"].execute_wrapper(watch):
        result = relay(using="default")
    # The small one comes after the large one's first step.
    assert order == [10, 1, 10, 10, 5]
    assert (result.applied, result.failed, result.rows) == (2, 0, 36)
    assert set(CascadeIntent.objects.values_list("attempts", flat=True)) == {0}


def test_each_failure_makes_the_steps_smaller():
    """What is too much for a database would be too much every time."""
    assert [steps.Pace.after(failures).rows for failures in (0, 1, 2, 20)] == [
        50_000,
        12_500,
        3_125,
        1,
    ]


def test_a_lost_lease_ends_the_work(settings):
    """Somebody else has taken over: nothing more is done here, and nothing is settled."""
    settings.XDBREL = {**settings.XDBREL, "RELAY_BATCH_ROWS": 10, "CLAIM_SECONDS": 0.0}
    user = make_user(orders=25)

    def take_over():
        CascadeIntent.objects.update(claimed_by="somebody else")

    def watch(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("DELETE") and "shop_order" in sql:
            take_over()
        return result

    with connections["shop"].execute_wrapper(watch):
        user.delete()
    assert Order.objects.count() == 15
    assert CascadeIntent.objects.get(relation="shop.Order.customer").status == Status.PENDING


def test_inside_an_open_transaction_all_is_one_step(small_steps):
    """It is the block's to commit."""
    user = make_user(orders=25)
    with commits() as committed:
        with transaction.atomic("default"), transaction.atomic("shop"):
            user.delete()
            assert not Order.objects.exists()
            assert committed["shop"] == 0
        assert committed["shop"] == 1


def test_what_may_be_restricted_stays_in_one_collector(small_steps):
    """Albums are restricted by their songs, which go as well: judged apart, they would not."""
    artist = Artist.objects.create()
    albums = Album.objects.bulk_create([Album(artist=artist) for _ in range(15)])
    albums = list(Album.objects.all())
    Song.objects.bulk_create([Song(artist=artist, album=album) for album in albums])
    assert artist.delete()[1] == {"knots.Artist": 1, "knots.Album": 15, "knots.Song": 15}
