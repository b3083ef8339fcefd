"""A run as rows: resumption, leases, what a killed process leaves, ranges of several workers."""

import datetime
import itertools
import random
from types import SimpleNamespace

import pytest
from django.db import connections
from django.utils import timezone

from tests.apps.archive.models import Entry, Shelf, Topic
from tests.settings import LAYOUT
from xdbrel import relations
from xdbrel.integrity import runs, sharing
from xdbrel.integrity.exceptions import BeingScanned, ScanIncomplete, ScanTakenOver
from xdbrel.integrity.reading import ends, sources, targets
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scan import Work, scan
from xdbrel.integrity.scanning import claims, holders, leases
from xdbrel.integrity.scanning.throttle import Throttle
from xdbrel.models import Orphan, ScanLease, ScanRange, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

RELATION = "archive.Entry.shelf"


@pytest.fixture
def small_steps(settings, monkeypatch):
    """A few keys are many batches, and every position is written."""
    settings.XDBREL = {**settings.XDBREL, "CHUNK_SIZE": 3}
    monkeypatch.setattr(sources, "PAGE", 3)
    monkeypatch.setattr(targets, "WINDOW", 4)
    monkeypatch.setattr(claims, "POSITION_SECONDS", 0.0)


@pytest.fixture
def dead(monkeypatch):
    """Whoever holds a lease or a range has died."""
    monkeypatch.setattr(holders, "has_died", lambda holder: bool(holder))


def fill(keys_there, keys_held):
    Shelf.objects.bulk_create([Shelf(number=number) for number in keys_there])
    Entry.objects.bulk_create([Entry(shelf_id=number) for number in keys_held])


def findings(run_id):
    return sorted(Orphan.objects.filter(run_id=run_id).values_list("key", "sources"))


class Killed(BaseException):
    pass


class Fuse:
    """Ends the process at a statement: that one and whatever follows are never executed."""

    def __init__(self, length):
        self.left = length

    def __call__(self, execute, sql, params, many, context):
        self.left -= 1
        if self.left <= 0:
            raise Killed
        return execute(sql, params, many, context)


def killed_at(length, call):
    """Call until so many statements were executed; False where it ended before."""
    fuse = Fuse(length)
    aliases = ("default", "blog")
    for alias in aliases:
        connections[alias].execute_wrappers.append(fuse)
    try:
        call()
    except Killed:
        return True
    finally:
        for alias in aliases:
            connections[alias].execute_wrappers.remove(fuse)
    return False


@pytest.mark.django_db(databases="__all__", transaction=True)
@pytest.mark.parametrize("strategy", ["gaps", "merge"])
def test_killed_at_any_statement(small_steps, dead, strategy):
    """Wherever a scan dies, the next one goes on; no finding is lost, none is there twice."""
    fill([1, 2, 9, 10, 20, 21, 22, 23], [*range(0, 30, 2), 4, 4, 100, 9])
    relation = relations.get(RELATION)
    expected = findings(scan(relation, strategy=strategy).run_id)
    assert len(expected) == 12
    # All statements where that is quick, and some of them elsewhere.
    step = 4 if LAYOUT == "sqlite" else 12
    length = random.randint(1, step)
    went_on = 0
    while True:
        Orphan.objects.all().delete()
        ScanRun.objects.all().delete()
        if not killed_at(length, lambda: scan(relation, strategy=strategy)):
            break
        result = scan(relation, strategy=strategy)
        assert findings(result.run_id) == expected, length
        run = ScanRun.objects.get(pk=result.run_id)
        assert (run.orphans, run.distinct_keys) == (14, 12), length
        assert not ScanLease.objects.exists()
        went_on += run.resumed
        length += step
    assert went_on >= 3
    assert length > 20


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_killed_again_and_again(small_steps, dead):
    """A scan that never gets further than a few statements comes to its end all the same."""
    fill([1, 2, 9, 10, 20], range(40))
    relation = relations.get(RELATION)
    kills = 0
    while killed_at(50, lambda: scan(relation, strategy="merge")):
        kills += 1
        assert kills < 60
    run = ScanRun.objects.get()
    assert run.resumed == kills >= 2
    assert findings(run.pk) == [(key, 1) for key in range(40) if key not in {1, 2, 9, 10, 20}]


def interrupted(relation, **options):
    """Scan until something was found, be interrupted, and return the run."""

    def interrupt(progress):
        if progress.distinct_keys:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(relation, on_progress=interrupt, **options)
    return ScanRun.objects.latest("pk")


def test_goes_on_where_it_was(small_steps):
    """An interrupted scan gives its lease back, and the next call is the same run."""
    fill([], range(30))
    relation = relations.get(RELATION)
    run = interrupted(relation, strategy="merge")
    assert run.status == ScanRun.Status.FAILED
    assert not ScanLease.objects.exists()
    result = scan(relation)
    assert (result.run_id, result.strategy, result.resumed) == (run.pk, "merge", 1)
    assert (result.distinct_keys, len(findings(run.pk))) == (30, 30)
    run.refresh_from_db()
    assert (run.status, run.last_error, run.seen) == (ScanRun.Status.COMPLETE, "", 30)


def test_does_not_look_again_at_what_was_looked_at(small_steps):
    """What is before the position is not read once more."""
    fill([], range(30))
    relation = relations.get(RELATION)
    steps = []

    def interrupt(progress):
        steps.append(progress)
        if progress.distinct_keys >= 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(relation, strategy="merge", on_progress=interrupt)
    position = ScanRange.objects.get().position
    assert position >= 8
    Entry.objects.filter(shelf_id__lte=position).delete()
    assert scan(relation).distinct_keys == 30


@pytest.mark.parametrize("how", ["fresh", "strategy", "age", "home"])
def test_begins_anew(small_steps, settings, how):
    """... where it is asked to, and where what was cut short is something else or too old."""
    fill([], range(30))
    relation = relations.get(RELATION)
    run = interrupted(relation, strategy="merge")
    options = {}
    if how == "fresh":
        options = {"fresh": True}
    elif how == "strategy":
        options = {"strategy": "gaps"}
    elif how == "age":
        run.started_at = timezone.now() - datetime.timedelta(days=2)
        run.save()
    else:
        run.target_alias = "shop"
        run.save()
    result = scan(relation, **options)
    assert result.run_id != run.pk
    assert (result.resumed, result.distinct_keys) == (0, 30)


def test_second_caller():
    """While somebody scans a relation, a second caller is told who and until when."""
    fill([], [5])
    relation = relations.get(RELATION)
    raised = []

    def meanwhile(progress):
        with pytest.raises(BeingScanned) as error:
            scan(relation)
        raised.append(error.value)

    run_id = scan(relation, on_progress=meanwhile).run_id
    error = raised[0]
    assert (error.relation, error.run) == (RELATION, run_id)
    holder = holders.shown(holders.name())
    assert str(error) == (
        f"{RELATION} is being scanned by {holder} (run {run_id}). Wait for it to end; if it "
        f"died, its lease can be taken over from {error.until:%Y-%m-%d %H:%M:%S} on."
    )
    assert ScanRun.objects.count() == 1


def test_other_relations_are_not_held():
    """The lease is that of one relation."""
    fill([], [5])
    Topic.objects.create(slug="here")
    scanned = []
    scan(
        relations.get(RELATION),
        on_progress=lambda progress: scanned.append(scan(relations.get("archive.Entry.topic"))),
    )
    assert scanned


def test_lease_that_expired_is_taken_over(small_steps):
    """... and what the process that held it still writes is refused, so nothing is twice."""
    fill([], range(30))
    relation = relations.get(RELATION)
    past = timezone.now() - datetime.timedelta(seconds=1)
    results = []

    def meanwhile(progress):
        if progress.distinct_keys == 6:
            ScanLease.objects.update(until=past)
            ScanRange.objects.update(until=past)
            results.append(scan(relation))

    with pytest.raises(ScanTakenOver) as raised:
        scan(relation, strategy="merge", on_progress=meanwhile)
    (result,) = results
    assert (result.resumed, result.distinct_keys) == (1, 30)
    assert len(findings(result.run_id)) == 30
    assert str(raised.value) == (
        f"{RELATION}: run {result.run_id}, or the range of it that was scanned here, has been "
        f"taken over by another process, since its lease had expired. Nothing is lost; a "
        f'longer XDBREL["SCAN_LEASE_SECONDS"] avoids it.'
    )
    assert ScanRun.objects.get().status == ScanRun.Status.COMPLETE


def test_lease_is_renewed(small_steps, settings, monkeypatch):
    """Whoever works keeps what it holds."""
    fill([], range(30))
    clock = SimpleNamespace(monotonic=itertools.count(10**9, 100).__next__)
    monkeypatch.setattr(claims, "time", clock)
    seen = []

    def note(progress):
        seen.append((ScanLease.objects.get().until, ScanRange.objects.get().until))

    scan(relations.get(RELATION), strategy="merge", on_progress=note)
    leases_until, ranges_until = zip(*seen, strict=True)
    assert leases_until[-1] > leases_until[0]
    assert ranges_until[-1] > ranges_until[0]


def test_a_process_that_died_is_known_by_its_number(monkeypatch):
    """On the same machine; nothing is known of another's processes."""
    holder = holders.name()
    machine, pid, token = holder.split(":")
    assert not holders.has_died(holder)
    assert holders.has_died(f"{machine}:{2**22 + 5}:{token}")
    assert not holders.has_died(f"elsewhere:{2**22 + 5}:{token}")
    assert not holders.has_died("")
    assert holders.shown(holder) == f"process {pid} on {machine}"


class TestRanges:
    """A run of several ranges, as workers share it."""

    @pytest.fixture
    def ends(self):
        return ends.of(relations.get(RELATION))

    @pytest.fixture
    def run(self, ends, small_steps):
        fill([2, 15, 25], range(30))
        source, target = ends
        plan = runs.Plan(
            mode="full",
            strategy="merge",
            reason="",
            ranges=[KeyRange(None, 9), KeyRange(9, 19), KeyRange(19, None)],
        )
        return runs.begin(source, target, plan, holders.name())

    def test_each_range_is_one_workers(self, run, ends):
        source, target = ends
        held = [claims.claim(run, holders.name(), source, target) for _ in range(4)]
        assert [claim and claim.within for claim in held] == [
            KeyRange(None, 9),
            KeyRange(9, 19),
            KeyRange(19, None),
            None,
        ]

    def test_whoever_ends_last_ends_the_run(self, run, ends):
        """Ranges are done in any order; the run has all of them."""
        source, target = ends
        work = Work(run, Throttle())
        held = [claims.claim(run, holders.name(), source, target) for _ in range(3)]
        for number in (2, 0):
            assert work.scan(held[number])
            assert runs.complete(held[number], seconds=None) is None
        state = runs.state(run)
        assert (state.status, state.ranges, state.complete, state.held) == ("running", 3, 2, 1)
        assert (state.seen, state.distinct_keys, state.failed) == (20, 18, {})
        assert work.scan(held[1])
        ended = runs.complete(held[1], seconds=None)
        assert ended.status == ScanRun.Status.COMPLETE
        assert (ended.seen, ended.orphans, ended.distinct_keys) == (30, 27, 27)
        assert len(findings(run.pk)) == 27
        assert not ScanLease.objects.exists()

    def test_take_part(self, run):
        """One worker that stays takes range after range, and ends the run."""
        share = sharing.take_part(run.pk)
        assert (share.left, share.state.status, share.state.complete) == (False, "complete", 3)
        assert len(findings(run.pk)) == 27
        assert sharing.take_part(run.pk) is None

    def test_stopped_worker_gives_its_range_back(self, run):
        """... at its position, so that another one goes on within it."""
        reached = ScanRange.objects.filter(number=1, position__isnull=False)
        share = sharing.take_part(run.pk, stop=reached.exists)
        assert share.left
        assert share.state.status == "running"
        first = ScanRange.objects.get(number=1)
        assert (first.claimed_by, first.status) == ("", "pending")
        assert first.position == 2
        assert first.attempts == 0
        assert sharing.take_part(run.pk).state.distinct_keys == 27
        assert len(findings(run.pk)) == 27

    def test_failing_range_is_tried_again(self, run, monkeypatch):
        """A range that fails waits, longer each time, and holds up no other."""
        from xdbrel.integrity import scan as module

        strategies = module.STRATEGIES
        failing = [True]

        def fail(source, target, within, readers):
            if failing and within.after == 9:
                raise ValueError("a row that no driver understands")
            return strategies["merge"](source, target, within)

        monkeypatch.setattr(module, "STRATEGIES", {"merge": fail})
        with pytest.raises(ValueError, match="a row that no driver"):
            sharing.take_part(run.pk)
        share = sharing.take_part(run.pk)
        assert (share.state.complete, share.left, share.state.status) == (2, False, "running")
        second = ScanRange.objects.get(number=2)
        assert (second.attempts, second.claimed_by) == (1, "")
        assert second.last_error == "ValueError: a row that no driver understands"
        assert second.until > timezone.now()
        assert sharing.idle() == {}
        ScanRange.objects.update(until=timezone.now())
        assert sharing.idle() == {run.pk: 1}
        failing.clear()
        assert sharing.take_part(run.pk).state.status == "complete"
        assert len(findings(run.pk)) == 27

    def test_what_is_missing_is_said(self, run, monkeypatch, settings):
        """After the last attempt the run has failed, and says which ranges it lacks."""
        settings.XDBREL = {**settings.XDBREL, "MAX_ATTEMPTS": 1}
        from xdbrel.integrity import scan as module

        strategies = module.STRATEGIES

        def fail(source, target, within, readers):
            if within.after is not None:
                raise ValueError("not today")
            return strategies["merge"](source, target, within)

        monkeypatch.setattr(module, "STRATEGIES", {"merge": fail})
        for _ in range(2):
            with pytest.raises(ValueError):
                sharing.take_part(run.pk)
        failed = dict.fromkeys((2, 3), "ValueError: not today")
        assert (runs.state(run).complete, runs.state(run).failed) == (1, failed)
        assert sharing.take_part(run.pk) is None
        run.refresh_from_db()
        assert run.status == ScanRun.Status.FAILED
        assert run.last_error == "Ranges given up: 2, 3. Last error: ValueError: not today"
        monkeypatch.setattr(module, "STRATEGIES", strategies)
        result = scan(relations.get(RELATION))
        assert (result.run_id, result.distinct_keys) == (run.pk, 27)

    def test_worker_that_dies_of_a_range_again_and_again(self, run, ends, dead, settings):
        """It is given up in the end, rather than killing worker after worker."""
        settings.XDBREL = {**settings.XDBREL, "MAX_ATTEMPTS": 3}
        source, target = ends
        numbers = []
        for _ in range(9):
            claim = claims.claim(run, holders.name(), source, target)
            numbers.append(claim and claim.number)
        assert numbers == [1, 1, 1, 2, 2, 2, 3, 3, 3]
        assert claims.claim(run, holders.name(), source, target) is None
        state = runs.state(run)
        assert state.failed == dict.fromkeys((1, 2, 3), "The processes that scanned it died")
        assert sharing.take_part(run.pk).state.status == "failed"

    def test_incomplete_scan_raises(self, run, dead, monkeypatch):
        """A call that ends without some ranges does not look like one that found nothing."""
        ScanRange.objects.filter(number__lt=3).update(status="complete")
        leases.give_up(run, using="default")

        def give_up(*args):
            ScanRange.objects.filter(number=3).update(status="failed", last_error="too often")

        monkeypatch.setattr(claims, "claim", give_up)
        with pytest.raises(ScanIncomplete) as raised:
            scan(relations.get(RELATION))
        assert str(raised.value) == (
            f"{RELATION}: run {run.pk} is not complete. Ranges given up: 3. Last error: too "
            f"often. Remove the cause; the next scan of the relation goes on with what is "
            f"missing."
        )

    def test_another_scan_begun_anew_ends_this_one(self, run):
        """A worker whose run was given up for a fresh one does no more at it."""
        leases.give_up(run, using="default")
        fresh = scan(relations.get(RELATION), fresh=True)
        other = runs.begin(
            *ends.of(relations.get(RELATION)),
            runs.Plan(mode="full", strategy="merge", reason="", ranges=[KeyRange()]),
            holders.name(),
        )
        assert sharing.take_part(run.pk) is None
        run.refresh_from_db()
        assert (run.status, run.last_error) == (
            ScanRun.Status.FAILED,
            "Another scan of the relation was begun anew",
        )
        assert fresh.distinct_keys == 27
        assert ScanLease.objects.get().run_id == other.pk

    def test_run_whose_last_worker_died_before_it_ended_it(self, run):
        """The schedule ends it."""
        ScanRange.objects.update(status="complete")
        assert sharing.idle() == {}
        run.refresh_from_db()
        assert run.status == ScanRun.Status.COMPLETE

    def test_a_worker_that_comes_as_the_last_range_ends_leaves_no_lease(self, run, monkeypatch):
        """Who ended the run gave the lease up; nobody else would, of a run that is over."""
        renew = leases.renew

        def ended_before(asked, holder, *, using):
            monkeypatch.setattr(leases, "renew", renew)
            assert sharing.take_part(asked.pk).state.status == "complete"
            return renew(asked, holder, using=using)

        monkeypatch.setattr(leases, "renew", ended_before)
        assert sharing.take_part(run.pk) is None
        run.refresh_from_db()
        assert (run.status, run.last_error) == (ScanRun.Status.COMPLETE, "")
        assert not ScanLease.objects.exists()
