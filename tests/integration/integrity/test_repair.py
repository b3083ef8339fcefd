"""Repair: each policy, the look before the act, batches, dry runs, refusals."""

import re

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import signals as django_signals

from tests.apps.archive.models import CASELESS, Entry, Loan, Shelf, Topic
from tests.apps.blog.models import Comment, Post, Visit
from tests.apps.people.models import Country, Device
from tests.apps.shop.models import Review
from xdbrel import relations
from xdbrel.integrity.confirm import confirm
from xdbrel.integrity.exceptions import CannotRepair, NoScan, NotConfirmed, UnknownPolicy
from xdbrel.integrity.repair import RepairProgress, RepairResult, repair
from xdbrel.integrity.scan import scan
from xdbrel.models import RepairRun, ScanRun

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def author():
    return User.objects.create(username="ada")


@pytest.fixture
def orphans(author):
    """Three orphans with two keys, and one post whose author is there; scanned."""
    gone = author.pk + 100
    Post.objects.create(title="kept", author_id=author.pk)
    for title, key in (("a", gone), ("b", gone), ("c", gone + 1)):
        Post.objects.create(title=title, author_id=key)
    return scan(relations.get("blog.Post.author"))


def titles():
    return sorted(Post.objects.values_list("title", flat=True))


def test_delete(orphans):
    """The sources of orphaned keys are deleted in their home, and nothing else."""
    result = repair(relations.get("blog.Post.author"), "delete")
    assert titles() == ["kept"]
    assert result == RepairResult(
        relation="blog.Post.author",
        policy="delete",
        dry_run=False,
        run_id=orphans.run_id,
        source_alias="blog",
        target_alias="default",
        keys=2,
        healed=0,
        rows=3,
        seconds=result.seconds,
        counts={"blog.Post": 3},
        repair_id=RepairRun.objects.get().pk,
        token=result.token,
    )
    assert result.as_dict() == {
        "relation": "blog.Post.author",
        "policy": "delete",
        "dry_run": False,
        "run": orphans.run_id,
        "repair": result.repair_id,
        "token": result.token,
        "source_alias": "blog",
        "target_alias": "default",
        "keys": 2,
        "healed": 0,
        "left": 0,
        "rows": 3,
        "counts": {"blog.Post": 3},
        "stopped": False,
        "resumed": False,
        "seconds": result.seconds,
    }
    assert scan(relations.get("blog.Post.author")).orphans == 0


def test_delete_takes_what_django_takes(orphans, author):
    """A delete goes through Django's collector: cascades and signals happen."""
    orphaned = Post.objects.get(title="a")
    Comment.objects.create(post=orphaned, author=author)
    deleted = []

    def receiver(instance, using, **kwargs):
        deleted.append((instance.title, using))

    django_signals.post_delete.connect(receiver, sender=Post)
    try:
        result = repair(relations.get("blog.Post.author"), "delete")
    finally:
        django_signals.post_delete.disconnect(receiver, sender=Post)
    assert sorted(deleted) == [("a", "blog"), ("b", "blog"), ("c", "blog")]
    assert not Comment.objects.exists()
    assert result.rows == 3
    assert result.counts == {"blog.Post": 3, "blog.Comment": 1}


def test_report(orphans):
    """Reporting looks again, counts, and writes nothing."""
    result = repair(relations.get("blog.Post.author"), "report")
    assert (result.keys, result.rows, result.counts) == (2, 3, {})
    assert titles() == ["a", "b", "c", "kept"]


@pytest.mark.parametrize("policy", ["delete", "report"])
def test_dry_run(orphans, policy):
    """A dry run tells the same numbers as the act, and writes nothing."""
    written = []

    def wrapper(execute, sql, params, many, context):
        if sql.startswith(("DELETE", "UPDATE", "INSERT")):
            written.append(sql)
        return execute(sql, params, many, context)

    with connections["blog"].execute_wrapper(wrapper):
        result = repair(relations.get("blog.Post.author"), policy, dry_run=True)
    assert (result.dry_run, result.keys, result.rows, result.counts) == (True, 2, 3, {})
    assert written == []
    assert titles() == ["a", "b", "c", "kept"]


def test_set_null(author):
    """Nullable keys become null; the other columns stay."""
    Post.objects.create(title="x", author=author, editor_id=author.pk + 5)
    Post.objects.create(title="y", author=author, editor=author)
    scan(relations.get("blog.Post.editor"))
    result = repair(relations.get("blog.Post.editor"), "set_null")
    assert (result.rows, result.counts) == (1, {"blog.Post": 1})
    assert list(Post.objects.order_by("title").values_list("title", "author_id", "editor_id")) == [
        ("x", author.pk, None),
        ("y", author.pk, author.pk),
    ]


def test_set_default():
    """Keys become the field's default, whose target is there."""
    Shelf.objects.create(number=1)
    Loan.objects.bulk_create([Loan(shelf_id=1), Loan(shelf_id=8), Loan(shelf_id=8)])
    scan(relations.get("archive.Loan.shelf"))
    result = repair(relations.get("archive.Loan.shelf"), "set_default")
    assert (result.keys, result.rows, result.counts) == (1, 2, {"archive.Loan": 2})
    assert list(Loan.objects.values_list("shelf_id", flat=True)) == [1, 1, 1]


def test_healed_keys_are_left_alone(orphans, author):
    """A key whose target came back since the second look is no orphan any more."""
    confirm(ScanRun.objects.get())
    User.objects.create(pk=author.pk + 100, username="back")
    result = repair(relations.get("blog.Post.author"), "delete")
    assert (result.keys, result.healed, result.rows) == (1, 1, 1)
    assert titles() == ["a", "b", "kept"]


def test_look_right_before_the_act(orphans, author):
    """A target that comes back after the first look still saves its sources."""
    looks = []

    def wrapper(execute, sql, params, many, context):
        if "FROM " in sql and "auth_user" in sql:
            looks.append(sql)
            # The first is that of whoever confirms the findings.
            if len(looks) == 3:
                User.objects.create(pk=author.pk + 101, username="back")
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(wrapper):
        result = repair(relations.get("blog.Post.author"), "delete")
    assert len(looks) >= 3
    assert titles() == ["c", "kept"]
    assert (result.keys, result.rows) == (1, 2)


def test_repointed_sources_are_left_alone(orphans, author):
    """A source that was given another key since the scan is not touched."""
    Post.objects.filter(title="a").update(author_id=author.pk)
    assert repair(relations.get("blog.Post.author"), "delete").rows == 2
    assert titles() == ["a", "kept"]


def test_twice(orphans):
    """Repairing the same run again finds nothing left to do."""
    relation = relations.get("blog.Post.author")
    repair(relation, "delete")
    again = repair(relation, "delete")
    assert (again.keys, again.rows, again.counts) == (0, 0, {})


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_batches(author, size, dry_run):
    """Every orphan is dealt with once, whatever the size of a batch."""
    first = author.pk + 100
    rows = [first] * 7 + [first + 1] * 2 + [first + 2, first + 3, first + 3, first + 4]
    Post.objects.bulk_create([Post(title=str(n), author_id=key) for n, key in enumerate(rows)])
    relation = relations.get("blog.Post.author")
    scan(relation)
    result = repair(relation, "delete", batch_size=size, dry_run=dry_run)
    assert (result.keys, result.rows) == (5, 13)
    assert Post.objects.count() == (13 if dry_run else 0)


def test_each_batch_commits_on_its_own(orphans):
    """What was repaired before a failure stays repaired."""
    deleted = []

    def receiver(instance, **kwargs):
        deleted.append(instance)
        if len(deleted) == 3:
            raise RuntimeError("no more")

    django_signals.pre_delete.connect(receiver, sender=Post)
    try:
        with pytest.raises(RuntimeError, match="no more"):
            repair(relations.get("blog.Post.author"), "delete", batch_size=2)
    finally:
        django_signals.pre_delete.disconnect(receiver, sender=Post)
    assert len(titles()) == 2


def test_progress(orphans):
    steps = []
    repair(relations.get("blog.Post.author"), "delete", batch_size=1, on_progress=steps.append)
    assert steps[-1] == RepairProgress("blog.Post.author", 2, 2, 3)


def test_deleted_sources_cascade_on():
    """Sources that are targets themselves take their own sources along, across databases."""
    post = Post.objects.create(title="x", author_id=7)
    Review.objects.create(post_id=post.pk)
    scan(relations.get("blog.Post.author"))
    repair(relations.get("blog.Post.author"), "delete")
    assert not Post.objects.exists()
    assert not Review.objects.exists()


@pytest.mark.parametrize("handle", ["blog.Visit.device", "blog.Visit.country"])
def test_other_keys(handle):
    """Findings with keys that are no integers find their sources again."""
    there, gone = Device(), Device()
    there.save()
    Country.objects.create(code="de")
    Visit.objects.bulk_create(
        [
            Visit(device_id=there.pk, country_id="de"),
            Visit(device_id=gone.pk, country_id="xx"),
        ]
    )
    relation = relations.get(handle)
    scan(relation)
    assert repair(relation, "delete").rows == 1
    (visit,) = Visit.objects.all()
    assert (visit.device_id, visit.country_id) == (there.pk, "de")


@pytest.mark.skipif(CASELESS is not None, reason="both ends take the two keys for one")
def test_rows_that_only_resemble_an_orphan():
    """A source whose key equals an orphan's by its own collation alone is left alone."""
    Topic.objects.create(slug="abc")
    Entry.objects.create(number=1, topic_id="abc")
    Entry.objects.create(number=2, topic_id="ABC")
    relation = relations.get("archive.Entry.topic")
    scan(relation)
    assert repair(relation, "delete").rows == 1
    assert list(Entry.objects.values_list("number", flat=True)) == [1]


def test_latest_complete_run(orphans, author):
    """A later run that failed or is running does not count; a later complete one does."""
    relation = relations.get("blog.Post.author")
    for status in (ScanRun.Status.FAILED, ScanRun.Status.RUNNING):
        ScanRun.objects.create(
            relation=relation.handle, source_alias="blog", target_alias="default", status=status
        )
    assert repair(relation, "report").run_id == orphans.run_id
    later = scan(relation)
    assert repair(relation, "report").run_id == later.run_id


@pytest.mark.parametrize("policy", ["delete", "quarantine"])
def test_findings_that_are_not_confirmed(orphans, settings, policy):
    """Before the second look nothing is done; those who only look need not wait."""
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 3_600}
    relation = relations.get("blog.Post.author")
    with pytest.raises(NotConfirmed) as raised:
        repair(relation, policy)
    assert re.fullmatch(
        f"blog.Post.author: the findings of run {orphans.run_id} have not been confirmed: its "
        r"time has not come, 3\d\d\d seconds are left. Try again later; the policy 'report' and "
        "a dry run look at them already.",
        str(raised.value),
    )
    assert not RepairRun.objects.exists()
    assert repair(relation, "report").rows == 3
    assert repair(relation, policy, dry_run=True).rows == 3


def test_the_run_that_is_confirmed(orphans, settings):
    """As long as the latest run waits for its second look, the one before it stands."""
    relation = relations.get("blog.Post.author")
    assert repair(relation, "delete", max_rows=1).run_id == orphans.run_id
    assert ScanRun.objects.get().confirmed_at is not None
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 3_600}
    later = scan(relation)
    assert later.run_id != orphans.run_id
    result = repair(relation, "delete")
    assert (result.run_id, result.resumed, result.rows) == (orphans.run_id, True, 3)


def test_no_scan():
    with pytest.raises(NoScan) as raised:
        repair(relations.get("blog.Post.author"), "delete")
    assert str(raised.value) == (
        "blog.Post.author has no complete scan in database 'default', so there are no "
        'findings to repair. Run "manage.py xdbrel_scan blog.Post.author" first.'
    )


def test_unknown_policy():
    with pytest.raises(UnknownPolicy) as raised:
        repair(relations.get("blog.Post.author"), "set-null")
    assert str(raised.value) == (
        "There is no repair policy 'set-null'. Did you mean set_null? Known are delete, "
        "quarantine, repoint, report, set_default, set_null."
    )


@pytest.mark.parametrize(
    ("handle", "policy", "message"),
    [
        (
            "blog.Post.author",
            "set_null",
            "blog.Post.author: policy 'set_null' is not possible, since the field is not "
            "null=True; nothing was written. Use 'delete', or 'set_default' with a default, "
            "or let the field be null.",
        ),
        (
            "blog.Post.author",
            "set_default",
            "blog.Post.author: policy 'set_default' is not possible, since the field has no "
            "default; nothing was written. Use another policy, or give it one.",
        ),
        (
            "archive.Loan.shelf",
            "set_default",
            "archive.Loan.shelf: policy 'set_default' is not possible, since the default 1 "
            "has no archive.Shelf in database 'default' itself; nothing was written. Create "
            "that row first, or give the field another default.",
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_impossible_policies(handle, policy, message, dry_run):
    """A policy that the field rules out is refused before anything is read or written."""
    with pytest.raises(CannotRepair) as raised:
        repair(relations.get(handle), policy, dry_run=dry_run)
    assert str(raised.value) == message


def test_sources_are_locked(orphans):
    """Where the database can, rows are locked before the last look at their targets."""
    if not connections["blog"].features.has_select_for_update:
        pytest.skip("this database locks no rows")
    statements = []

    def wrapper(execute, sql, params, many, context):
        statements.append((context["connection"].alias, sql))
        return execute(sql, params, many, context)

    with (
        connections["blog"].execute_wrapper(wrapper),
        connections["default"].execute_wrapper(wrapper),
    ):
        repair(relations.get("blog.Post.author"), "delete")
    locks = [n for n, (_, sql) in enumerate(statements) if sql.endswith("FOR UPDATE")]
    (locking,) = [n for n in locks if statements[n][0] == "blog"]
    following = [alias for alias, _ in statements[locking + 1 :]]
    assert following[:2] == ["default", "blog"]
