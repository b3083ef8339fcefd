"""Queries that span beside django-cachalot, while others write: what was on its way is not kept.

Whether an answer is stale turns out when it is asked for the next time.
"""

import threading

import pytest
from cachalot.signals import post_invalidation
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connections, transaction

from sample_project.blog.models import Post
from sample_project.counting import counted_queries
from tests.integration.recipe.conftest import elsewhere
from tests.settings import LAYOUT

pytestmark = [
    pytest.mark.django_db(databases="__all__", transaction=True),
    pytest.mark.usefixtures("cached"),
]
#: In memory, SQLite lets nobody read what an open transaction has written to.
servers = pytest.mark.skipif(LAYOUT == "sqlite", reason="layout: needs servers")


@pytest.fixture(autouse=True)
def post():
    return Post.objects.create(title="First", author=User.objects.create(username="ada"))


def titles():
    return list(Post.objects.filter(author__username="ada").values_list("title", flat=True))


def rename():
    User.objects.update(username="bob")


def retitle():
    Post.objects.update(title="Second")


WRITES = {"default": (rename, []), "blog_db": (retitle, ["Second"])}


def is_kept():
    """Tell whether an answer is there; what it is does not matter."""
    with counted_queries() as queries:
        titles()
    return queries == {}


@pytest.mark.parametrize("alias", ["default", pytest.param("blog_db", marks=servers)])
def test_a_write_while_it_is_read(alias):
    """Between the reads of the two databases, and when both were read."""
    write, after = WRITES[alias]
    written = []

    def in_between(execute, sql, params, many, context):
        if alias == "blog_db":
            result = execute(sql, params, many, context)
            written.append(elsewhere(write))
            return result
        written.append(elsewhere(write))
        return execute(sql, params, many, context)

    with connections["blog_db"].execute_wrapper(in_between):
        assert titles() == ["First"]
    assert written
    assert titles() == elsewhere(titles) == after


@pytest.mark.parametrize("alias", WRITES)
def test_a_read_while_it_is_written(alias):
    """In autocommit, cachalot forgets when a statement begins, and not when it is done."""
    write, after = WRITES[alias]
    read = []

    def in_between(sender, **kwargs):
        read.append(elsewhere(titles))

    titles()
    post_invalidation.connect(in_between)
    try:
        write()
    finally:
        post_invalidation.disconnect(in_between)
    assert read == [["First"]]
    assert titles() == elsewhere(titles) == after


@pytest.mark.parametrize("alias", WRITES)
@pytest.mark.parametrize("commits", [True, False])
def test_what_is_not_committed_yet_is_in_no_answer(alias, commits):
    """A transaction sees what it wrote; nobody else does, before it ends or after a rollback."""
    write, after = WRITES[alias]
    assert titles() == ["First"]
    with transaction.atomic(using=alias):
        write()
        for _ in range(2):
            assert titles() == after
        if LAYOUT != "sqlite":
            assert elsewhere(titles) == ["First"]
        transaction.set_rollback(not commits, using=alias)
    expected = after if commits else ["First"]
    assert titles() == elsewhere(titles) == expected
    assert is_kept()


def test_what_a_savepoint_took_back_is_in_no_answer():
    with transaction.atomic(using="default"):
        with pytest.raises(ZeroDivisionError), transaction.atomic(using="default"):
            rename()
            assert titles() == []
            raise ZeroDivisionError
        assert titles() == ["First"]
    assert titles() == elsewhere(titles) == ["First"]


def test_a_block_that_only_reads_is_answered_and_keeps():
    with transaction.atomic(using="default"), transaction.atomic(using="blog_db"):
        # The tables are known from now on, later than the block began.
        assert titles() == ["First"]
        assert not is_kept()
    with transaction.atomic(using="default"), transaction.atomic(using="blog_db"):
        assert titles() == ["First"]
        assert is_kept()
    assert is_kept()


@servers
def test_what_a_block_goes_on_seeing_is_not_kept():
    """MariaDB shows a transaction the moment of its first look, whatever is committed since."""
    titles()
    alias = "blog_db" if connections["blog_db"].vendor == "mysql" else "default"
    write, after = WRITES[alias]
    with transaction.atomic(using=alias):
        User.objects.using("default").count()
        Post.objects.count()
        elsewhere(write)
        titles()
    assert titles() == elsewhere(titles) == after


def test_a_stream_in_a_block_is_not_kept():
    """It may have been read while something was there that was taken back."""
    stream = Post.objects.filter(author__username="ada").iterator
    if connections["blog_db"].features.can_use_chunked_reads:
        titles()
        for _ in range(2):
            with transaction.atomic(using="blog_db"), counted_queries() as queries:
                assert len(list(stream())) == 1
            assert queries


def test_a_transaction_by_hand_is_past_the_cache():
    """Nothing says when it begins or ends."""
    titles()
    transaction.set_autocommit(False, using="default")
    try:
        rename()
        assert titles() == []
        transaction.rollback(using="default")
        assert not is_kept()
    finally:
        transaction.rollback(using="default")
        transaction.set_autocommit(True, using="default")
    assert titles() == elsewhere(titles) == ["First"]


@servers
def test_what_a_block_noted_of_a_table_is_not_newer_than_a_write():
    """It notes when it read a table that the cache did not know, and says so at its end."""
    with transaction.atomic(using="default"):
        assert User.objects.filter(username="ada").exists()
        assert elsewhere(titles) == ["First"]
        elsewhere(rename)
    assert titles() == elsewhere(titles) == []
    assert not User.objects.filter(username="ada").exists()


def test_what_was_emptied_is_read_anew():
    titles()
    cache.clear()
    assert not is_kept()
    assert is_kept()


def test_others_are_answered_from_what_this_one_has_read():
    assert titles() == ["First"]
    with counted_queries() as queries:
        assert elsewhere(titles) == ["First"]
    assert queries == {}


@servers
def test_writers_and_readers_at_once():
    """Whatever was kept meanwhile, what is read when the last is done is what is there."""

    def write(number):
        for turn in range(5):
            Post.objects.update(title=f"{number}-{turn}")
            with transaction.atomic(using="default"):
                User.objects.update(email=f"{number}{turn}@example.com")

    def read():
        for _ in range(10):
            titles()

    threads = [threading.Thread(target=elsewhere, args=[read]) for _ in range(2)]
    threads += [threading.Thread(target=elsewhere, args=[lambda: write(1)])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert titles() == ["1-4"]
