"""What every test shares: the servers that it may need, and what it may not leave behind.

A test names its servers with ``@pytest.mark.services("postgres", "redis")``. Without one
of them it is skipped with the reason or, under ``XDBREL_REQUIRE_SERVICES=1``, fails. A
test that leaves a transaction open or a wrapper on a connection fails, and so does a
session after which somebody is still connected to its databases: a thread, a worker
process, a connection that nobody closed.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tests import flush, servers

REQUIRE_SERVICES = os.environ.get("XDBREL_REQUIRE_SERVICES", "") not in ("", "0")
#: A server needs a moment to notice that a connection was closed.
SECONDS_TO_NOTICE = 5.0

_SESSIONS = {
    "postgresql": (
        "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ),
    "mysql": (
        "SELECT id, info FROM information_schema.processlist WHERE db = database()"
        " AND id <> connection_id()"
    ),
}
# On a busy machine examples take their time, to be drawn and to be tried. Those of a test share
# its database, and undo what they did.
hypothesis.settings.register_profile(
    "shared",
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("shared")
_before = pytest.StashKey[set[str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare the garbage collector what stays to the end: a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[_before] = set(left_open())
    for marker in item.iter_markers("services"):
        for reason in filter(None, map(servers.why_not, marker.args)):
            if REQUIRE_SERVICES:
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, Any, Any]:
    result = yield
    here, following = getattr(item, "cls", None), getattr(nextitem, "cls", None)
    if here is None or here is not following:
        # What a class holds open for all its tests is judged after the last of them.
        found = sorted(set(left_open()) - item.stash.get(_before, set()))
        if found:
            pytest.fail(f"{item.nodeid} left behind {', '.join(found)}", pytrace=False)
    return result


def left_open() -> Iterator[str]:
    """Yield what is open on this thread's connections that a test closes in the end."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            yield f"an open transaction on {connection.alias}"
        if connection.execute_wrappers:
            yield f"an execute_wrapper on {connection.alias}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The databases of pytest-django; nobody may be connected to them in the end."""
    with flush.of_what_was_filled():
        yield
    with django_db_blocker.unblock():
        found = [line for alias in connections for line in strangers(connections[alias])]
    if found:
        pytest.fail("leaked connections:\n" + "\n".join(found), pytrace=False)


def strangers(connection: BaseDatabaseWrapper) -> list[str]:
    """Return who else is connected to the database of ``connection``."""
    query = _SESSIONS.get(connection.vendor)
    names = connection.settings_dict
    # pytest-django sets up only the databases that the collected tests ask for.
    if query is None or names["NAME"] != names["TEST"]["NAME"]:
        return []
    # Several aliases may lead to one database: only one connection stays.
    for other in connections.all(initialized_only=True):
        if other is not connection:
            other.close()
    until = time.monotonic() + SECONDS_TO_NOTICE
    while True:
        with connection.cursor() as cursor:
            cursor.execute(query)
            rows = cursor.fetchall()
        if not rows or time.monotonic() > until:
            return [f"{connection.alias}: session {who}, last: {what}" for who, what in rows]


@pytest.fixture(scope="session")
def tables_of_types(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Tables of content types in ``blog`` and ``shop``, where each id means another model."""
    from tests import content_types  # A project of a test's own may be without that app.

    with django_db_blocker.unblock(), content_types.made("blog", "shop"):
        yield
