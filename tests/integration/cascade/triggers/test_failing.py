"""A capture that fails: the user's delete fails neither silently nor for good."""

import pytest
from django.contrib.auth.models import User
from django.db import Error, OperationalError, connections, transaction

from tests.apps.people.models import Rate
from tests.apps.shop.models import Order
from tests.integration.cascade.triggers.conftest import run, table, written
from tests.integration.cascade.triggers.test_install import moved_away
from xdbrel.cascade.triggers import drift
from xdbrel.cascade.triggers.install import remove
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

VENDOR = connections["default"].vendor
ONE = ["shop.Order.customer"]

postgresql = pytest.mark.skipif(VENDOR != "postgresql", reason="as PostgreSQL does it")
mariadb = pytest.mark.skipif(VENDOR != "mysql", reason="as MariaDB does it")
sqlite = pytest.mark.skipif(VENDOR != "sqlite", reason="as SQLite does it")


@pytest.fixture
def ada(capturing):
    capturing(ONE)
    user = User.objects.create(username="ada")
    Order.objects.create(customer=user)
    return user


def finding():
    return [(state.state, state.detail) for state in drift.check("default") if state.is_finding]


@postgresql
def test_structure_warns_and_lets_go(ada):
    """Without a column the delete goes through with a warning that says what to do."""
    notices = []
    session = connections["default"].connection

    def note(notice):
        found = (notice.severity_nonlocalized, notice.message_primary, notice.message_hint)
        notices.append(found)

    session.add_notice_handler(note)
    run(f"ALTER TABLE {table(CascadeIntent)} RENAME COLUMN deletion TO away")
    try:
        assert run(f"DELETE FROM {table(User)}") == 1
        assert finding() == [("broken", "it has no column deletion")]
    finally:
        run(f"ALTER TABLE {table(CascadeIntent)} RENAME COLUMN away TO deletion")
        session.remove_notice_handler(note)
    assert notices == [
        (
            "WARNING",
            "xdbrel: what was deleted from auth_user was not captured for shop.Order.customer: "
            'column "deletion" of relation "xdbrel_cascadeintent" does not exist',
            '"manage.py xdbrel_triggers check" says what is wrong, and "manage.py xdbrel_scan '
            'shop.Order.customer" finds the orphans.',
        )
    ]
    assert written() == []


@postgresql
@pytest.mark.parametrize("verb", ["DELETE FROM", "TRUNCATE"])
def test_without_the_table(capturing, verb):
    """Deletes and truncations go through, key changes too."""
    capturing(["blog.Quote.rate"])
    Rate.objects.create(value="1.00")
    with moved_away(CascadeIntent):
        run(f"UPDATE {table(Rate)} SET value = 2")
        run(f"{verb} {table(Rate)}")
        assert finding()[0][0] == "broken"
    assert not Rate.objects.exists()


@postgresql
def test_a_role_without_rights_captures(ada):
    """Other programs' roles need no right to the intents."""
    run("DROP ROLE IF EXISTS xdbrel_clerk_trig")
    run("CREATE ROLE xdbrel_clerk_trig")
    try:
        run("GRANT USAGE ON SCHEMA public TO xdbrel_clerk_trig")
        run(f"GRANT SELECT, DELETE ON {table(User)} TO xdbrel_clerk_trig")
        with transaction.atomic():
            run("SET LOCAL ROLE xdbrel_clerk_trig")
            run("SET LOCAL search_path = pg_catalog")
            run(f"DELETE FROM public.{table(User)}")
        assert [intent.keys for intent in written()] == [[ada.pk]]
    finally:
        run("DROP OWNED BY xdbrel_clerk_trig")
        run("DROP ROLE xdbrel_clerk_trig")


@postgresql
def test_a_role_that_may_not_install(capturing, settings):
    """It is a state, with the server's own words."""
    from xdbrel.cascade.triggers.install import install

    settings.XDBREL = {**settings.XDBREL, "CAPTURE": ONE}
    run("DROP ROLE IF EXISTS xdbrel_guest_trig")
    run("CREATE ROLE xdbrel_guest_trig")
    try:
        run("GRANT USAGE, CREATE ON SCHEMA public TO xdbrel_guest_trig")
        with transaction.atomic():
            run("SET LOCAL ROLE xdbrel_guest_trig")
            found = install("default")
        assert {state.state for state in found} == {"denied"}
        assert all(state.is_finding for state in found)
        assert found[0].detail == "permission denied for table auth_user"
    finally:
        run("DROP OWNED BY xdbrel_guest_trig")
        run("DROP ROLE xdbrel_guest_trig")


@postgresql
def test_a_lack_of_time_fails_the_statement(ada, aliases):
    """What is gone when it is tried again fails the delete, rows and intents together."""
    other = aliases.define_like("other", "default")
    aliases.connect(other)
    connections[other].inc_thread_sharing()
    try:
        with transaction.atomic(using=other):
            run(f"LOCK TABLE {table(CascadeIntent)} IN SHARE MODE", using=other)
            with pytest.raises(OperationalError, match="lock timeout"), transaction.atomic():
                run("SET LOCAL lock_timeout = '50ms'")
                run(f"DELETE FROM {table(User)}")
    finally:
        connections[other].dec_thread_sharing()
    assert User.objects.exists()
    assert run(f"DELETE FROM {table(User)}") == 1
    assert [intent.keys for intent in written()] == [[ada.pk]]


@mariadb
def test_structure_lets_go(ada):
    """MariaDB lets no warning out of a trigger: the check says what is wrong."""
    with moved_away(CascadeIntent):
        assert run(f"DELETE FROM {table(User)}") == 1
        assert finding()[0] == (
            "broken",
            'there is no such table; run "manage.py migrate xdbrel --database=default"',
        )
    assert written() == []


@mariadb
def test_a_lack_of_time_fails_the_statement_of_mariadb(ada, aliases):
    """A row that waits for a lock is not let go uncaptured."""
    other = aliases.define_like("other", "default")
    aliases.connect(other)
    connections[other].connection.autocommit(True)
    try:
        run(f"LOCK TABLES {table(CascadeIntent)} READ", using=other)
        run("SET SESSION lock_wait_timeout = 1")
        with pytest.raises(OperationalError, match="Lock wait timeout"):
            run(f"DELETE FROM {table(User)}")
    finally:
        run("UNLOCK TABLES", using=other)
        run("SET SESSION lock_wait_timeout = DEFAULT")
    assert User.objects.exists()
    assert run(f"DELETE FROM {table(User)}") == 1
    assert [intent.keys for intent in written()] == [[ada.pk]]


@sqlite
def test_structure_fails_loudly(ada):
    """SQLite catches nothing in a trigger: the delete says what it lacks, and a command helps."""
    run("PRAGMA legacy_alter_table = ON")
    try:
        with moved_away(CascadeIntent):
            with pytest.raises(Error, match=r"no such table: main\.xdbrel_cascadeintent"):
                run(f"DELETE FROM {table(User)}")
            assert User.objects.exists()
            assert finding()[0][0] == "broken"
            remove("default")
            assert run(f"DELETE FROM {table(User)}") == 1
    finally:
        run("PRAGMA legacy_alter_table = OFF")
