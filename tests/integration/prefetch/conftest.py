"""What the tests of prefetching share."""

from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connections


@pytest.fixture
def statements():
    """Count the statements of a block, by alias: ``with statements() as counted: …``."""

    @contextmanager
    def counting():
        counted = Counter()
        with ExitStack() as stack:
            for alias in connections:

                def count(execute, sql, params, many, context, alias=alias):
                    counted[alias] += 1
                    return execute(sql, params, many, context)

                stack.enter_context(connections[alias].execute_wrapper(count))
            yield counted

    return counting
