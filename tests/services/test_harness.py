"""The suite's own safety net: what a test leaves behind fails it, what it lacks is said."""

import os
import subprocess
import sys

import pytest

from tests.environments import ROOT

HEAD = """
import threading
import pytest
from django.db import connection, connections, transaction
"""


@pytest.fixture
def outcome(tmp_path):
    """Return a function that runs a test module by this suite's rules: (status, output)."""

    def run(module, **surroundings):
        path = tmp_path / "test_probe.py"
        path.write_text(HEAD + module)
        (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
        # Databases of its own: those of the run around are in use.
        suffix = os.environ.get("XDBREL_DB_SUFFIX", "") + "_h"
        command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "--no-migrations"]
        done = subprocess.run(
            [*command, f"--rootdir={tmp_path}", "-c", ROOT / "pyproject.toml", path],
            cwd=ROOT,
            env={**os.environ, "XDBREL_DB_SUFFIX": suffix, **surroundings},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_open_transaction(outcome):
    """A test that leaves a transaction open fails, and no later one is blamed."""
    status, output = outcome("""
@pytest.mark.django_db(transaction=True)
def test_leaky():
    connection.ensure_connection()
    transaction.atomic().__enter__()

def test_innocent():
    pass
""")
    assert status == 1, output
    assert "test_leaky left behind an open transaction on default" in output
    assert "test_innocent left behind" not in output


def test_execute_wrapper(outcome):
    """A test that leaves a wrapper on a connection fails."""
    status, output = outcome("""
@pytest.mark.django_db
def test_leaky():
    connection.execute_wrappers.append(lambda execute, *rest: execute(*rest))
""")
    assert status == 1, output
    assert "test_leaky left behind an execute_wrapper on default" in output


def test_clean(outcome):
    """A test that leaves nothing behind passes."""
    status, output = outcome("""
@pytest.mark.django_db(transaction=True)
def test_clean():
    with transaction.atomic(using="default"), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
""")
    assert status == 0, output


@pytest.mark.skipif(
    os.environ.get("XDBREL_LAYOUT", "sqlite") == "sqlite",
    reason="layout: only a server knows who is connected",
)
def test_leaked_connection(outcome):
    """A connection that a thread forgot to close fails the session."""
    status, output = outcome("""
from tests import conftest
conftest.SECONDS_TO_NOTICE = 0.5
kept = []

@pytest.mark.django_db(transaction=True, databases=["default", "blog"])
def test_leaky():
    def work():
        connections["blog"].ensure_connection()
        kept.append(connections["blog"].connection)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
""")
    assert status == 1, output
    assert "leaked connections:\nblog: session " in output


def test_unclosed_file(outcome):
    """A warning that the interpreter can only print is an error too."""
    status, output = outcome(
        """
def test_leaky():
    open(__file__)
""",
        PYTHONDEVMODE="1",
    )
    assert status == 1, output
    assert "unclosed file" in output


MISSING = """
@pytest.mark.services("redis")
def test_lacking():
    pass
"""


def test_missing_server_is_skipped(outcome):
    """Without the server that it names, a test is skipped with the reason."""
    nowhere = {"XDBREL_REDIS_URL": "redis://127.0.0.1:1/0", "XDBREL_REQUIRE_SERVICES": ""}
    status, output = outcome(MISSING, PYTEST_ADDOPTS="-rs", **nowhere)
    assert status == 0, output
    assert "Redis does not answer at redis://127.0.0.1:1/0" in output
    assert "1 skipped" in output


def test_missing_server_fails_where_services_are_required(outcome):
    """Where services are required, the same test fails."""
    nowhere = {"XDBREL_REDIS_URL": "redis://127.0.0.1:1/0", "XDBREL_REQUIRE_SERVICES": "1"}
    status, output = outcome(MISSING, **nowhere)
    assert status == 1, output
    assert "Redis does not answer at redis://127.0.0.1:1/0" in output
