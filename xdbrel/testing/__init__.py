"""What projects need to test their own code against relations between databases.

``drain``                  the relay, in line, until nothing is left
``assert_no_orphans``      no source holds a key that no target has
``count_queries``          statements by database
``assert_queries``         that these are as many as expected
``crash_between_commits``  the process dies right after the targets' commit

They work in ``TestCase``, in ``TransactionTestCase`` and under pytest-django's marks. The
pytest fixtures are in ``xdbrel.pytest_plugin``, which pytest loads by itself.
"""

from xdbrel.testing.crash import Crash, SimulatedCrash, crash_between_commits
from xdbrel.testing.draining import NotDrained, Unapplied, drain
from xdbrel.testing.orphans import assert_no_orphans
from xdbrel.testing.queries import QueryCount, assert_queries, count_queries

__all__ = [
    "Crash",
    "NotDrained",
    "QueryCount",
    "SimulatedCrash",
    "Unapplied",
    "assert_no_orphans",
    "assert_queries",
    "count_queries",
    "crash_between_commits",
    "drain",
]
