"""What is brought for a statement is there for that statement, and nothing is left behind."""

import re
import threading
from contextlib import contextmanager

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import (
    DatabaseError,
    DataError,
    NotSupportedError,
    connections,
    transaction,
)
from django.db.models import Count, F, Q, Sum
from django.db.models.expressions import RawSQL
from django.test.utils import CaptureQueriesContext, override_settings

from tests.apps.freight.models import Crate, Waybill
from xdbrel.exceptions import QueryTooLarge
from xdbrel.query import shipment

both = pytest.mark.django_db(databases=["default", "blog"])
committed = pytest.mark.django_db(databases=["default", "blog"], transaction=True)

ROWS = 7
MADE = re.compile(r"CREATE TEMPORARY TABLE [\"`](xdbrel_\d+)")
POSTGRES = [alias for alias in ("default", "blog") if connections[alias].vendor == "postgresql"]


@pytest.fixture(params=["few", "many"])
def amount(request, monkeypatch):
    """Few rows come inside the statement where that is possible, many in a table."""
    if request.param == "many":
        monkeypatch.setattr(shipment, "ARRAY_ROWS", 0)
    return request.param


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(shipment, "ARRAY_ROWS", 0)


def load():
    """Seven pairs, whose numbers go from 0 to 6."""
    crates = [Crate.objects.create(name=f"crate {n}", integer=n, big=n) for n in range(ROWS)]
    for n, crate in enumerate(crates):
        Waybill.objects.create(crate=crate, number=n, integer=n, big=n)


def spanning(alias):
    """Return a query of all seven rows of the model at home in ``alias``, in order."""
    if alias == "default":
        return Waybill.objects.filter(crate__big=F("big")).order_by("integer")
    return Crate.objects.filter(waybills__big=F("big")).order_by("integer")


def integers(rows):
    return [row.integer for row in rows]


class Watched:
    """The temporary tables that were made on a connection."""

    def __init__(self, alias):
        self.connection = connections[alias]
        self.made = []

    def note(self, execute, sql, params, many, context):
        self.made += MADE.findall(sql)
        return execute(sql, params, many, context)

    def left(self):
        """Return those that are still there."""
        return [name for name in self.made if self._exists(name)]

    def _exists(self, name):
        with self.connection.cursor() as cursor:
            if self.connection.vendor == "postgresql":
                cursor.execute("SELECT to_regclass(%s)", [name])
                return cursor.fetchone()[0] is not None
            try:
                cursor.execute(f"SELECT 1 FROM {name}")
            except DatabaseError:
                return False
            return True


@contextmanager
def watched(alias):
    found = Watched(alias)
    with found.connection.execute_wrapper(found.note):
        yield found


def at_most_three_rows():
    return override_settings(XDBREL={**settings.XDBREL, "MAX_SHIPPED_ROWS": 3})


def check_tables(amount, alias, made):
    """A table is made except where few rows come to PostgreSQL."""
    assert bool(made) == (amount == "many" or connections[alias].vendor != "postgresql")


@both
@pytest.mark.parametrize("alias", ["default", "blog"])
class TestInATransaction:
    def test_nothing_is_left(self, amount, alias):
        load()
        with watched(alias) as tables:
            assert integers(spanning(alias)) == list(range(ROWS))
            check_tables(amount, alias, tables.made)
            assert tables.left() == []
            with transaction.atomic(using=alias):
                assert spanning(alias).count() == ROWS
                assert tables.left() == []
            assert tables.left() == []

    def test_an_error_of_the_statement_leaves_nothing(self, amount, alias):
        load()
        wrong = spanning(alias).annotate(wrong=RawSQL("xdbrel_nonsense(1)", []))
        with watched(alias) as tables:
            with pytest.raises(DatabaseError), transaction.atomic(using=alias):
                list(wrong)
            assert tables.left() == []
            assert integers(spanning(alias)) == list(range(ROWS))

    def test_too_many_rows_leave_nothing_and_the_transaction_goes_on(self, amount, alias):
        load()
        with watched(alias) as tables:
            with at_most_three_rows(), pytest.raises(QueryTooLarge):
                list(spanning(alias))
            assert tables.left() == []
            assert integers(spanning(alias)) == list(range(ROWS))
        assert connections[alias].in_atomic_block

    def test_an_iterator_that_is_abandoned_leaves_nothing(self, amount, alias):
        load()
        with watched(alias) as tables:
            iterator = spanning(alias).iterator(chunk_size=2)
            assert next(iterator).integer == 0
            iterator.close()
            assert tables.left() == []

    def test_two_iterators_are_read_at_once(self, amount, alias):
        load()
        with watched(alias) as tables:
            pairs = zip(
                spanning(alias).iterator(chunk_size=2),
                spanning(alias).iterator(chunk_size=3),
                strict=True,
            )
            assert [(a.integer, b.integer) for a, b in pairs] == [(n, n) for n in range(ROWS)]
            # SQLite drops no table while another result is read; the next query does.
            assert spanning(alias).exists()
            assert tables.left() == []

    def test_a_savepoint_that_is_undone_while_rows_are_read_does_no_harm(self, amount, alias):
        load()
        iterator = spanning(alias).iterator(chunk_size=2)
        found = [next(iterator).integer]
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=alias):
            list(spanning(alias))
            raise ZeroDivisionError
        found += integers(iterator)
        assert found == list(range(ROWS))


@committed
@pytest.mark.parametrize("alias", ["default", "blog"])
class TestOutsideTransactions:
    def test_nothing_is_left(self, amount, alias):
        load()
        with watched(alias) as tables:
            assert integers(spanning(alias)) == list(range(ROWS))
            check_tables(amount, alias, tables.made)
            assert tables.left() == []
        assert connections[alias].get_autocommit()
        assert not connections[alias].in_atomic_block

    def test_an_error_of_the_statement_leaves_nothing(self, amount, alias):
        load()
        wrong = spanning(alias).annotate(wrong=RawSQL("xdbrel_nonsense(1)", []))
        with watched(alias) as tables:
            with pytest.raises(DatabaseError):
                list(wrong)
            assert tables.left() == []
            assert integers(spanning(alias)) == list(range(ROWS))

    def test_too_many_rows_leave_nothing(self, amount, alias):
        load()
        with watched(alias) as tables:
            with at_most_three_rows(), pytest.raises(QueryTooLarge):
                list(spanning(alias))
            assert tables.left() == []

    def test_what_is_written_while_rows_are_read_is_committed(self, amount, alias):
        load()
        model = spanning(alias).model
        iterator = spanning(alias).iterator(chunk_size=2)
        first = next(iterator)
        model.objects.filter(pk=first.pk).update(small=77)
        assert connections[alias].get_autocommit()
        iterator.close()
        assert model.objects.get(small=77) == first

        with pytest.raises(ZeroDivisionError):
            for row in spanning(alias).iterator(chunk_size=2):
                model.objects.filter(pk=row.pk).update(small=78)
                raise ZeroDivisionError
        assert model.objects.get(small=78) == first

    def test_hooks_of_the_commit_run_at_once_while_rows_are_read(self, amount, alias):
        load()
        done = []
        for row in spanning(alias).iterator(chunk_size=2):
            transaction.on_commit(lambda n=row.integer: done.append(n), using=alias)
            assert done[-1] == row.integer

    def test_two_iterators_are_read_at_once(self, amount, alias):
        load()
        with watched(alias) as tables:
            first = spanning(alias).iterator(chunk_size=2)
            second = spanning(alias).iterator(chunk_size=3)
            # The first to be opened is the first to end.
            found = [next(first).integer, next(second).integer]
            found += integers(first) + integers(second)
            assert sorted(found) == sorted([*range(ROWS), *range(ROWS)])
            assert spanning(alias).exists()
            assert tables.left() == []

    def test_a_transaction_may_begin_and_end_while_rows_are_read(self, amount, alias):
        load()
        model = spanning(alias).model
        found = []
        for row in spanning(alias).iterator(chunk_size=2):
            with transaction.atomic(using=alias):
                model.objects.filter(pk=row.pk).update(small=row.integer)
                assert integers(spanning(alias)) == list(range(ROWS))
            found.append(row.integer)
        assert found == list(range(ROWS))
        assert model.objects.filter(small=F("integer")).count() == ROWS

    def test_without_autocommit_nothing_is_committed(self, amount, alias):
        load()
        model = spanning(alias).model
        transaction.set_autocommit(False, using=alias)
        try:
            model.objects.update(small=5)
            assert integers(spanning(alias)) == list(range(ROWS))
            transaction.rollback(using=alias)
            assert not model.objects.filter(small=5).exists()
            transaction.rollback(using=alias)
        finally:
            transaction.set_autocommit(True, using=alias)

    def test_threads_do_not_meet(self, amount, alias):
        if connections[alias].vendor == "sqlite":
            pytest.skip("threads that share an SQLite database in memory lock it for each other")
        load()
        found, failed = [], []

        def read():
            try:
                for _ in range(3):
                    found.append(integers(spanning(alias)))
            except Exception as error:
                failed.append(error)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert all(one == list(range(ROWS)) for one in found)

    def test_tasks_read_as_they_go(self, amount, alias):
        load()

        async def read():
            whole = await sync_to_async(list)(spanning(alias))
            bits = [row async for row in spanning(alias)]
            async for row in spanning(alias).aiterator(chunk_size=2):
                first = row
                break
            return whole, bits, first

        with watched(alias) as tables:
            whole, bits, first = async_to_sync(read)()
            assert integers(whole) == integers(bits) == list(range(ROWS))
            assert first.integer == 0
            assert spanning(alias).exists()
            assert tables.left() == []


@both
@pytest.mark.parametrize("alias", ["default", "blog"])
class TestStatements:
    """Whatever stands before the statement, it means the same."""

    def test_updates(self, amount, alias):
        load()
        model = spanning(alias).model
        its = spanning(alias).order_by()
        assert its.filter(integer__lt=3).update(small=F("integer") + 1) == 3
        assert sorted(model.objects.exclude(small=None).values_list("small", flat=True)) == [
            1,
            2,
            3,
        ]

    def test_deletes(self, amount, alias):
        load()
        its = spanning(alias).order_by().filter(integer__lt=3)
        assert its._raw_delete(alias) == 3
        assert spanning(alias).model.objects.count() == ROWS - 3

    def test_unions(self, amount, alias):
        load()
        low, high = spanning(alias).filter(integer__lt=2), spanning(alias).filter(integer__gt=4)
        united = low.order_by().union(high.order_by()).order_by("integer")
        assert integers(united) == [0, 1, 5, 6]
        assert united.count() == 4

    def test_aggregates(self, amount, alias):
        load()
        assert spanning(alias).aggregate(Sum("integer"), Count("pk")) == {
            "integer__sum": 21,
            "pk__count": ROWS,
        }
        assert spanning(alias)[2:5].aggregate(Sum("integer")) == {"integer__sum": 9}
        assert spanning(alias).exists()

    def test_subqueries(self, amount, alias):
        load()
        model = spanning(alias).model
        inner = spanning(alias).filter(integer__lt=2).order_by().values("pk")
        assert sorted(integers(model.objects.filter(pk__in=inner))) == [0, 1]
        assert sorted(integers(model.objects.exclude(pk__in=inner))) == [2, 3, 4, 5, 6]

    def test_explanations(self, amount, alias):
        load()
        assert spanning(alias).explain()
        if connections[alias].vendor == "postgresql":
            assert "Plan" in spanning(alias).explain(format="json", analyze=True)

    def test_rows_are_locked(self, amount, alias):
        load()
        with transaction.atomic(using=alias):
            try:
                found = integers(spanning(alias).select_for_update(of=("self",)))
            except NotSupportedError:
                found = integers(spanning(alias).select_for_update())
        assert found == list(range(ROWS))

    def test_percent_signs_stay(self, amount, alias):
        load()
        model = spanning(alias).model
        model.objects.filter(integer=4).update(char="100 %s %%")
        found = spanning(alias).filter(char="100 %s %%").annotate(x=RawSQL("'%%'", []))
        assert [(row.integer, row.x) for row in found] == [(4, "%")]

    def test_long_texts_come_in_several_pieces(self, amount, alias, monkeypatch):
        load()
        monkeypatch.setattr(shipment, "PACKET", 25)
        Crate.objects.update(text="long text")
        Waybill.objects.update(text="long text")
        same = {"default": "crate__text", "blog": "waybills__text"}[alias]
        assert integers(spanning(alias).filter(**{same: F("text")})) == list(range(ROWS))

    def test_nothing_to_bring(self, amount, alias):
        model = spanning(alias).model
        model.objects.create(integer=1)
        assert list(spanning(alias)) == []
        if alias == "default":
            found = Waybill.objects.filter(Q(crate__big=F("big")) | Q(integer=1))
        else:
            found = Crate.objects.filter(Q(waybills__big=F("big")) | Q(integer=1))
        assert integers(found) == [1]


@both
@pytest.mark.services("postgres")
@pytest.mark.skipif(not POSTGRES, reason="arrays come to PostgreSQL only")
class TestWithoutTables:
    @pytest.fixture
    def alias(self):
        return POSTGRES[0]

    def test_few_rows_take_one_statement(self, alias):
        load()
        with CaptureQueriesContext(connections[alias]) as captured:
            assert integers(spanning(alias)) == list(range(ROWS))
        statements = [query["sql"] for query in captured]
        assert not any("CREATE" in sql for sql in statements)
        assert statements[-1].startswith('WITH "xdbrel_')

    def test_a_role_that_may_not_make_tables_needs_none(self, alias, many):
        load()
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_database()")
            (name,) = cursor.fetchone()
            cursor.execute("CREATE ROLE xdbrel_reader")
            cursor.execute(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
            cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO xdbrel_reader")
            cursor.execute("SET LOCAL ROLE xdbrel_reader")
        with watched(alias) as tables:
            assert integers(spanning(alias)) == list(range(ROWS))
            # It asked once.
            assert len(tables.made) == 1
            assert integers(spanning(alias).iterator(chunk_size=2)) == list(range(ROWS))
            assert len(tables.made) == 1
        with connections[alias].cursor() as cursor:
            cursor.execute("RESET ROLE")
        forget_refusal(alias)

    def test_a_transaction_that_only_reads_needs_none(self, alias, many):
        load()
        with transaction.atomic(using=alias):
            with connections[alias].cursor() as cursor:
                cursor.execute("SET LOCAL transaction_read_only = on")
            assert integers(spanning(alias)) == list(range(ROWS))
            transaction.set_rollback(True, using=alias)
        forget_refusal(alias)

    def test_other_refusals_are_told(self, alias, many):
        load()
        with pytest.raises(DataError), transaction.atomic(using=alias):
            list(spanning(alias).annotate(x=RawSQL("1 / 0", [])))
        assert integers(spanning(alias)) == list(range(ROWS))


@committed
@pytest.mark.services("postgres")
@pytest.mark.skipif(not POSTGRES, reason="arrays come to PostgreSQL only")
def test_a_database_that_only_reads_needs_no_tables(many):
    alias = POSTGRES[0]
    load()
    with connections[alias].cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    try:
        assert integers(spanning(alias)) == list(range(ROWS))
        assert integers(spanning(alias).iterator(chunk_size=2)) == list(range(ROWS))
    finally:
        with connections[alias].cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
        forget_refusal(alias)


def forget_refusal(alias):
    connections[alias].__dict__.pop("_xdbrel_no_tables", None)
