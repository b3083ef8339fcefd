"""The pytest plugin of xdbrel: ``xdbrel.testing`` as fixtures.

Every pytest run in an environment with xdbrel loads this module, also where no Django is
set up: what needs models is imported when a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdbrel.cascade.relay import RelayResult
    from xdbrel.testing import Crash, QueryCount


@pytest.fixture
def xdbrel_drain() -> Callable[..., RelayResult]:
    """Run the relay in line until nothing is left: ``xdbrel.testing.drain``."""
    from xdbrel.testing import drain

    return drain


@pytest.fixture
def xdbrel_assert_no_orphans() -> Callable[..., None]:
    """Fail if a source has no target: ``xdbrel.testing.assert_no_orphans``."""
    from xdbrel.testing import assert_no_orphans

    return assert_no_orphans


@pytest.fixture
def xdbrel_count_queries() -> Callable[[], AbstractContextManager[QueryCount]]:
    """Count statements by database: ``xdbrel.testing.count_queries``."""
    from xdbrel.testing import count_queries

    return count_queries


@pytest.fixture
def xdbrel_assert_queries() -> Callable[..., AbstractContextManager[QueryCount]]:
    """Expect so many statements by database: ``xdbrel.testing.assert_queries``."""
    from xdbrel.testing import assert_queries

    return assert_queries


@pytest.fixture
def xdbrel_crash() -> Callable[..., AbstractContextManager[Crash]]:
    """Die right after the targets' commit: ``xdbrel.testing.crash_between_commits``."""
    from xdbrel.testing import crash_between_commits

    return crash_between_commits
