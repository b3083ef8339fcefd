"""Repairs on record: who, what and how many; limits, refusals, going on after an end."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import signals as django_signals
from django.utils import timezone

from tests.apps.archive.models import Entry
from tests.apps.blog.models import Post
from tests.apps.shop.models import Review
from tests.integration.integrity.test_commands import run
from xdbrel import relations
from xdbrel.integrity import history
from xdbrel.integrity.exceptions import (
    BadMapping,
    CannotRepair,
    RepairUnderWay,
    TooManyOrphans,
)
from xdbrel.integrity.repair import repair
from xdbrel.integrity.repairing.audit import Record, default_actor
from xdbrel.integrity.scan import scan
from xdbrel.management.commands import xdbrel_repair
from xdbrel.models import Orphan, QuarantinedRow, RepairRun, ScanLease, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")

GONE = 10**6
HANDLE = "blog.Post.author"


@pytest.fixture
def relation():
    """Six orphans with four keys, scanned: two rows have the first key, two the second."""
    for title, key in zip("abcdef", (0, 0, 1, 1, 2, 3), strict=True):
        Post.objects.create(title=title, author_id=GONE + key)
    relation = relations.get(HANDLE)
    scan(relation)
    return relation


def titles():
    return "".join(sorted(Post.objects.values_list("title", flat=True)))


def test_record(relation):
    """A repair leaves who, when, what and how many."""
    result = repair(relation, "delete", actor="ada")
    record = RepairRun.objects.get(pk=result.repair_id)
    assert (record.relation, record.policy, record.dry_run) == (HANDLE, "delete", False)
    assert (record.actor, record.status, record.run_id) == ("ada", "complete", result.run_id)
    assert (record.source_alias, record.target_alias) == ("blog", "default")
    assert (record.keys, record.rows, record.counts) == (4, 6, {"blog.Post": 6})
    assert record.seconds == result.seconds
    assert record.started_at <= record.finished_at
    assert (record.claimed_by, record.until, record.last_error) == ("", None, "")


def test_actor(relation):
    """Where nobody says who it is, it is this process's user on this machine."""
    repair(relation, "report")
    assert RepairRun.objects.get().actor == default_actor()
    assert "@" in default_actor()


@pytest.mark.parametrize("policy", ["delete", "quarantine", "report"])
def test_dry_runs_are_on_record(relation, policy):
    result = repair(relation, policy, dry_run=True)
    record = RepairRun.objects.get()
    assert (record.dry_run, record.rows, record.counts) == (True, 6, {})
    assert (result.resumed, titles()) == (False, "abcdef")


def test_limit(relation):
    """It ends after so many rows, in the middle of a key; the same call goes on."""
    first = repair(relation, "delete", max_rows=3)
    assert (first.rows, first.stopped, titles()) == (3, True, "def")
    assert RepairRun.objects.get().status == "stopped"
    second = repair(relation, "delete", max_rows=3)
    assert (second.rows, second.stopped, second.resumed) == (6, False, True)
    assert (second.repair_id, titles()) == (first.repair_id, "")
    assert RepairRun.objects.get().status == "complete"
    third = repair(relation, "delete")
    assert (third.rows, third.resumed) == (0, False)


def test_limit_of_a_dry_run(relation):
    """A dry run begins at the beginning, each time."""
    for _ in range(2):
        result = repair(relation, "delete", max_rows=3, dry_run=True)
        assert (result.rows, result.stopped, result.resumed) == (3, True, False)


def test_going_on_after_an_error(relation):
    """What was done before is not done again, nor lost from the count."""
    deleted = []

    def receiver(instance, **kwargs):
        deleted.append(instance.title)
        if len(deleted) == 4:
            raise RuntimeError("no more")

    django_signals.pre_delete.connect(receiver, sender=Post)
    try:
        with pytest.raises(RuntimeError):
            repair(relation, "delete", batch_size=2)
        record = RepairRun.objects.get()
        assert (record.status, record.rows, record.keys) == ("failed", 2, 1)
        assert record.last_error == "RuntimeError: no more"
        assert titles() == "cdef"
        assert Orphan.objects.get(pk=record.position).key == GONE
        result = repair(relation, "delete", batch_size=2)
    finally:
        django_signals.pre_delete.disconnect(receiver, sender=Post)
    assert (result.resumed, result.rows, result.keys) == (True, 6, 4)
    assert deleted[:2] == ["b", "a"] or deleted[:2] == ["a", "b"]
    assert sorted(deleted[4:]) == ["c", "d", "e", "f"]


def killed(relation, **values):
    """Return the record of a repair whose process was killed before its second batch."""
    first = Orphan.objects.order_by("pk").first()
    Post.objects.filter(author_id=first.key).delete()
    return RepairRun.objects.create(
        relation=HANDLE,
        run=ScanRun.objects.get(),
        policy="delete",
        options={"repair": "0" * 32},
        source_alias="blog",
        target_alias="default",
        actor="grace",
        claimed_by="another",
        rows=2,
        keys=1,
        counts={"blog.Post": 2},
        position=first.pk,
        **values,
    )


def test_going_on_after_a_kill(relation):
    """Nobody may go on while a process is taken to be at it; afterwards anybody may."""
    record = killed(relation, until=timezone.now() + timedelta(seconds=30))
    for policy in ("delete", "set_null", "quarantine"):
        with pytest.raises((RepairUnderWay, CannotRepair)):
            repair(relation, policy)
    with pytest.raises(RepairUnderWay) as raised:
        repair(relation, "delete")
    assert str(raised.value) == (
        f"blog.Post.author is being repaired by grace (repair {record.pk}). Wait for its end; "
        f'where that process is gone, XDBREL["CLAIM_SECONDS"] later another may go on.'
    )
    RepairRun.objects.update(until=timezone.now() - timedelta(seconds=1))
    result = repair(relation, "delete", actor="ada")
    assert (result.resumed, result.rows, result.keys) == (True, 6, 4)
    record.refresh_from_db()
    assert (record.status, record.actor) == ("complete", "ada")


@pytest.mark.parametrize("policy", ["delete", "quarantine"])
def test_killed_between_two_commits(relation, policy, monkeypatch):
    """Rows were dealt with and that is not on record: nothing is lost, nothing done twice."""

    class Killed(BaseException):
        pass

    def killed(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Record, "keep", killed)
        patch.setattr(Record, "end", killed)
        with pytest.raises(Killed):
            repair(relation, policy, batch_size=2)
    record = RepairRun.objects.get()
    assert (record.status, record.rows, titles()) == ("running", 0, "cdef")
    with pytest.raises(RepairUnderWay):
        repair(relation, policy)
    RepairRun.objects.update(until=timezone.now())
    result = repair(relation, policy, batch_size=2)
    assert (result.resumed, result.rows, result.keys, titles()) == (True, 4, 3, "")
    if policy == "quarantine":
        assert result.token == record.options["repair"]
        rows = QuarantinedRow.objects.using("blog").filter(repair=result.token)
        assert sorted(row.data["title"] for row in rows) == list("abcdef")


def test_who_was_taken_over_stops(relation):
    """A process that was given up, and wakes up, does not go on beside its successor."""

    def taken_over(progress):
        RepairRun.objects.update(claimed_by="somebody else", actor="grace")

    with pytest.raises(RepairUnderWay):
        repair(relation, "delete", batch_size=1, on_progress=taken_over)
    assert RepairRun.objects.get().claimed_by == "somebody else"


@pytest.mark.parametrize("changed", ["policy", "run"])
def test_another_repair_begins_anew(relation, changed):
    """Only the same policy for the same findings goes on."""
    killed(relation, until=None)
    if changed == "run":
        scan(relation)
    result = repair(relation, "delete" if changed == "run" else "quarantine")
    assert (result.resumed, result.rows, titles()) == (False, 4, "")


def test_most_of_a_table(relation, settings):
    """More orphans than a share of the rows look like a mistake, and are left alone."""
    settings.XDBREL = {**settings.XDBREL, "MAX_ORPHAN_SHARE": 0.5}
    for dry_run in (True, False):
        with pytest.raises(TooManyOrphans) as raised:
            repair(relation, "delete", dry_run=dry_run)
    assert str(raised.value) == (
        "blog.Post.author: 6 of 6 rows are orphans, more than the share of 0.5 that "
        "XDBREL[\"MAX_ORPHAN_SHARE\"] lets 'delete' repair; nothing was written. Look first "
        "whether auth.User is empty, or its router wrong; --yes-really (yes_really=True) "
        "repairs all the same."
    )
    assert not RepairRun.objects.exists()
    assert repair(relation, "report").rows == 6
    status, _, err = run(xdbrel_repair, HANDLE, "--policy", "delete")
    assert (status, "6 of 6 rows are orphans" in err) == (1, True)
    status, _, _ = run(xdbrel_repair, HANDLE, "--policy", "delete", "--yes-really")
    assert (status, titles()) == (0, "")


def test_a_share_that_is_allowed(relation, settings):
    """Half of the rows may be orphans; what was repaired before counts no more."""
    settings.XDBREL = {**settings.XDBREL, "MAX_ORPHAN_SHARE": 0.5}
    author = User.objects.create(pk=1, username="ada")
    Post.objects.bulk_create([Post(title="x", author=author) for _ in range(6)])
    assert repair(relation, "delete", max_rows=4).rows == 4
    kept = Post.objects.filter(title="x").order_by("pk")[3].pk
    Post.objects.filter(title="x", pk__lt=kept).delete()
    assert repair(relation, "delete").rows == 6


def user(pk):
    """Return the key of a user: one that the database gives might be an orphan's."""
    return User.objects.create(pk=pk, username=str(pk)).pk


class TestRepoint:
    def test_new_keys(self, relation):
        """Rows get the key that the mapping has for theirs; others are left and counted."""
        new = [user(1), user(2)]
        mapping = {GONE: new[0], str(GONE + 1): str(new[1]), GONE + 2: new[0]}
        result = repair(relation, "repoint", mapping=mapping)
        assert (result.keys, result.rows, result.left) == (3, 5, 1)
        assert result.counts == {"blog.Post": 5}
        assert dict(Post.objects.values_list("title", "author_id")) == {
            "a": new[0],
            "b": new[0],
            "c": new[1],
            "d": new[1],
            "e": new[0],
            "f": GONE + 3,
        }
        record = RepairRun.objects.get()
        assert record.left == 1
        assert record.options["mapping"] == [
            [GONE, new[0]],
            [GONE + 1, new[1]],
            [GONE + 2, new[0]],
        ]

    def test_batches_and_limits(self, relation):
        new = user(1)
        mapping = {GONE + n: new for n in range(4)}
        first = repair(relation, "repoint", mapping=mapping, batch_size=1, max_rows=2)
        second = repair(relation, "repoint", mapping=mapping, batch_size=1)
        assert (first.rows, second.rows, second.resumed) == (2, 6, True)
        assert not Post.objects.exclude(author_id=new).exists()

    def test_dry_run(self, relation):
        new = user(1)
        result = repair(relation, "repoint", mapping={GONE: new}, dry_run=True)
        assert (result.rows, result.left) == (2, 3)
        assert not Post.objects.filter(author_id=new).exists()

    def test_new_keys_without_a_target(self, relation):
        with pytest.raises(CannotRepair) as raised:
            repair(relation, "repoint", mapping={GONE: 7, GONE + 1: 8})
        assert str(raised.value) == (
            "blog.Post.author: policy 'repoint' is not possible, since there is no auth.User in "
            "database 'default' for the new keys 7, 8; nothing was written. Create those rows "
            "first, or leave these keys out of the mapping."
        )

    def test_a_new_key_that_goes_meanwhile(self, relation):
        """A new key is looked for again right before it is written."""
        new = User.objects.create(pk=1, username="x")

        def gone(progress):
            User.objects.filter(pk=new.pk)._raw_delete("default")

        with pytest.raises(CannotRepair):
            repair(
                relation,
                "repoint",
                mapping={GONE: new.pk, GONE + 1: new.pk},
                batch_size=1,
                on_progress=gone,
            )
        assert not Post.objects.filter(title="c", author_id=new.pk).exists()

    def test_none(self):
        """A key may become none, where the field allows it."""
        Entry.objects.create(shelf_id=GONE)
        scan(relations.get("archive.Entry.shelf"))
        repair(relations.get("archive.Entry.shelf"), "repoint", mapping={GONE: None})
        assert Entry.objects.get().shelf_id is None

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({}, CannotRepair, "since it needs a mapping"),
            ({"mapping": {}}, BadMapping, "since it is empty"),
            ({"mapping": {GONE: None}}, CannotRepair, "since the field is not null=True"),
            ({"mapping": [(GONE, 1), (GONE, 2)]}, BadMapping, "has two new ones"),
            ({"mapping": [(None, 1)]}, BadMapping, "since None is no old key"),
            ({"mapping": {"x": 1}}, BadMapping, "'x' → 1: “x” value must be an integer"),
        ],
    )
    def test_mappings_that_do_not_do(self, relation, options, error, words):
        with pytest.raises(error) as raised:
            repair(relation, "repoint", **options)
        assert words in str(raised.value)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("map.csv", "old,new\n{old},{new}\n\n"),
            ("map.csv", "{old},{new}\n"),
            ("map.json", '{{"{old}": {new}}}'),
            ("map.json", "[[{old}, {new}]]"),
        ],
    )
    def test_files(self, relation, tmp_path, name, content):
        new = user(1)
        path = tmp_path / name
        path.write_text(content.format(old=GONE, new=new))
        status, out, _ = run(
            xdbrel_repair, HANDLE, "--policy", "repoint", "--mapping", str(path), "--actor", "ada"
        )
        assert out.splitlines()[0].startswith(f"{HANDLE}: 2 rows with 1 keys pointed elsewhere")
        assert (
            out.splitlines()[1] == "3 keys are left as they are: the mapping has nothing for them"
        )
        assert (status, Post.objects.filter(author_id=new).count()) == (1, 2)
        assert RepairRun.objects.get().actor == "ada"

    @pytest.mark.parametrize(
        ("content", "words"),
        [("{", "is no JSON"), ("[1]", "does not hold pairs"), (None, "No such")],
    )
    def test_bad_files(self, relation, tmp_path, content, words):
        path = tmp_path / "map.json"
        if content:
            path.write_text(content)
        status, _, err = run(xdbrel_repair, HANDLE, "--policy", "repoint", "--mapping", str(path))
        assert (status, words in err) == (2, True)


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_raw(relation):
    """Raw: no signals; what follows in other databases follows all the same."""
    Review.objects.create(post=Post.objects.get(title="a"))
    heard = []

    def receiver(**kwargs):
        heard.append(kwargs)

    django_signals.post_delete.connect(receiver, sender=Post)
    try:
        result = repair(relation, "delete", raw=True)
    finally:
        django_signals.post_delete.disconnect(receiver, sender=Post)
    assert (result.rows, result.counts, heard) == (6, {"blog.Post": 6}, [])
    assert not Review.objects.exists()
    assert RepairRun.objects.get().options["raw"] is True


@pytest.mark.parametrize("policy", ["report", "quarantine"])
def test_raw_is_for_deletes(relation, policy):
    with pytest.raises(CannotRepair) as raised:
        repair(relation, policy, raw=True)
    assert "since only 'delete' can be raw" in str(raised.value)
    with pytest.raises(CannotRepair) as raised:
        repair(relation, policy, mapping={GONE: 1})
    assert "since it takes no mapping" in str(raised.value)


def test_command_with_a_limit(relation):
    """Orphans that are left by a limit exit with 1."""
    status, out, _ = run(xdbrel_repair, HANDLE, "--policy", "delete", "--raw", "--max-rows", "2")
    assert status == 1
    assert "Stopped at the limit of rows; the same call goes on from here" in out
    status, out, _ = run(xdbrel_repair, HANDLE, "--policy", "delete", "--raw", "--format", "json")
    assert (status, json.loads(out)["resumed"]) == (0, True)


def test_command_that_quarantines(relation):
    """What undoes it is said."""
    _, out, _ = run(xdbrel_repair, HANDLE, "--policy", "quarantine")
    token = RepairRun.objects.get().options["repair"]
    assert out.splitlines()[1] == f"xdbrel_restore {HANDLE} --repair {token} puts them back"


def incremental(relation, found, **values):
    run = ScanRun.objects.create(
        relation=HANDLE,
        source_alias="blog",
        target_alias="default",
        mode="incremental",
        status="complete",
        orphans=sum(found.values()),
        distinct_keys=len(found),
        finished_at=timezone.now(),
        confirmed_at=timezone.now(),
        **values,
    )
    Orphan.objects.bulk_create(
        Orphan(run=run, key=key, sources=sources) for key, sources in found.items()
    )
    return run


def test_an_incremental_run_stands_for_itself(relation):
    """Its findings are complete: those of the full run before it count no more."""
    Post.objects.create(title="g", author_id=GONE + 9)
    later = incremental(relation, {GONE: 2, GONE + 9: 1})
    result = repair(relation, "report")
    assert (result.run_id, result.keys, result.rows) == (later.pk, 2, 3)


class TestPrune:
    @pytest.fixture
    def aged(self, relation):
        """Two full runs and an incremental one of long ago, two repairs; and a run of now."""
        old = timezone.now() - timedelta(days=100)
        scan(relation)
        incremental(relation, {GONE + 9: 1})
        repair(relation, "report")
        ScanRun.objects.update(started_at=old)
        RepairRun.objects.update(started_at=old)
        repair(relation, "report")
        return relation

    def test_what_goes_and_what_stays(self, aged):
        """Old runs go with their findings, but never those that repairs go by."""
        first = ScanRun.objects.order_by("pk").first().pk
        before = history.prune(dry_run=True)
        assert before == history.HistoryPruned(True, runs=1, findings=4, repairs=1)
        assert ScanRun.objects.count() == 3
        done = history.prune()
        assert (done.runs, done.findings, done.repairs) == (1, 4, 1)
        assert not ScanRun.objects.filter(pk=first).exists()
        modes = ScanRun.objects.order_by("pk").values_list("mode", flat=True)
        assert list(modes) == ["full", "incremental"]
        assert repair(aged, "report").run_id == ScanRun.objects.last().pk
        assert history.prune() == history.HistoryPruned()

    def test_age(self, aged):
        assert history.prune(older_than=101).runs == 0

    def test_what_is_under_way(self, aged):
        """A run that is held is kept, and so is a repair."""
        first = ScanRun.objects.order_by("pk").first()
        until = timezone.now() + timedelta(seconds=30)
        ScanLease.objects.create(relation=HANDLE, run=first, claimed_by="x", until=until)
        RepairRun.objects.update(until=until)
        result = history.prune()
        assert (result.runs, result.repairs) == (0, 0)
