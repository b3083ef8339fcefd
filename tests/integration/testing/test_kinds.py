"""What a delete does in each kind of test, as the table in docs/testing.md says."""

import pytest
from django.db import transaction
from django.test import TestCase

import xdbrel
from tests.integration.testing.conftest import left
from xdbrel.models import CascadeIntent
from xdbrel.testing import assert_no_orphans, drain

Status = CascadeIntent.Status
SOURCES = {"Post": 1, "Comment": 1, "Order": 1, "Review": 1, "Profile": 1}
ALL = {"User": 1, **SOURCES}


class Boom(Exception):
    pass


def statuses():
    return set(CascadeIntent.objects.values_list("status", flat=True))


@pytest.mark.django_db(databases="__all__", transaction=True)
class TestWithCommits:
    def test_the_sources_follow_before_it_returns(self, ada):
        ada.delete()
        assert left() == {}
        assert statuses() == {Status.APPLIED}

    def test_in_a_block_they_follow_when_it_ends(self, ada):
        with transaction.atomic(using="default"):
            ada.delete()
            assert left() == SOURCES
        assert left() == {}

    @pytest.mark.parametrize(
        "block", [lambda: transaction.atomic(using="default"), xdbrel.atomic], ids=["one", "all"]
    )
    def test_rolled_back_nothing_has_happened(self, ada, block):
        with pytest.raises(Boom), block():
            ada.delete()
            raise Boom
        assert left() == ALL

    def test_drain_confirms(self, ada):
        ada.delete()
        result = drain()
        assert (result.applied, result.rows) == (0, 0)
        assert result.confirmed > 0
        assert statuses() == {Status.CONFIRMED}


@pytest.mark.django_db(databases="__all__")
class TestWithoutCommits:
    def test_the_sources_follow_before_it_returns(self, ada):
        ada.delete()
        assert left() == {}
        assert statuses() == {Status.PENDING}
        assert_no_orphans()

    def test_in_a_block_they_follow_at_once(self, ada):
        with transaction.atomic(using="default"):
            ada.delete()
            assert left() == {}
        assert left() == {}

    def test_a_block_of_the_targets_that_is_rolled_back_does_not_bring_the_sources_back(self, ada):
        """The test's own transactions are taken for blocks of the project's on the sources."""
        with pytest.raises(Boom), transaction.atomic(using="default"):
            ada.delete()
            raise Boom
        drain()
        assert left() == {"User": 1}

    def test_rolled_back_together_nothing_has_happened(self, ada):
        with pytest.raises(Boom), xdbrel.atomic():
            ada.delete()
            raise Boom
        drain()
        assert left() == ALL

    def test_drain_finds_nothing_and_confirms(self, ada):
        ada.delete()
        result = drain()
        assert result.rows == 0
        assert result.applied > 0
        assert statuses() == {Status.CONFIRMED}

    def test_callbacks_of_the_project_can_be_called(self, ada):
        called = []
        with TestCase.captureOnCommitCallbacks(using="default", execute=True):
            with transaction.atomic(using="default"):
                ada.delete()
                transaction.on_commit(lambda: called.append(left()), using="default")
            assert called == []
        assert called == [{}]
        drain()
        assert statuses() == {Status.CONFIRMED}
