"""Quarantine and restore: rows out of their table whole, and back as they were."""

import json

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models import JSONField, Value
from django.db.models import signals as django_signals

from tests.apps.archive.models import Entry, Loan, Pigeonhole, Shelf, Slip
from tests.apps.blog.models import Article, Branch, Comment, Essay, Post, Signature, Tag
from tests.apps.freight.models import Crate, Waybill
from tests.apps.people.models import Person
from tests.apps.shop.models import Review
from tests.integration.integrity.test_commands import run
from tests.integration.query.test_types import VALUES
from xdbrel import relations
from xdbrel.integrity.exceptions import CannotQuarantine
from xdbrel.integrity.repair import repair
from xdbrel.integrity.restore import restore
from xdbrel.integrity.scan import scan
from xdbrel.management.commands import xdbrel_restore
from xdbrel.models import QuarantinedRow, RepairRun

pytestmark = pytest.mark.django_db(databases="__all__")

GONE = 10**6


def quarantine(handle, **options):
    relation = relations.get(handle)
    scan(relation)
    return repair(relation, "quarantine", **options)


def rows_of(model, using):
    """Return the rows as they stand in the table, told apart by how the database has them."""
    connection = connections[using]
    name = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {name(model._meta.db_table)} LIMIT 0")
        columns = [column[0] for column in cursor.description]
        if connection.vendor == "postgresql":
            shown = [f"{name(column)}::text" for column in columns]
        elif connection.vendor == "sqlite":
            shown = [f"quote({name(column)})" for column in columns]
        else:
            shown = [f"HEX({name(column)})" for column in columns]
        pk = name(model._meta.pk.column)
        cursor.execute(
            f"SELECT {', '.join(shown)} FROM {name(model._meta.db_table)} ORDER BY {pk}"
        )
        return cursor.fetchall()


def test_every_column_of_every_type():
    """What goes back is, to the database, what was taken: nulls of JSON and of SQL included."""
    for field, value in VALUES:
        Waybill.objects.create(crate_id=GONE, number=1, half=7, **{field: value})
    Waybill.objects.create(crate_id=GONE, data=Value(None, JSONField()))
    before = rows_of(Waybill, "default")
    result = quarantine("freight.Waybill.crate", batch_size=20)
    assert result.counts == {"freight.Waybill": len(VALUES) + 1}
    assert not Waybill.objects.exists()
    Crate.objects.create(pk=GONE)
    back = restore(relations.get("freight.Waybill.crate"), batch_size=25)
    assert (back.rows, back.waiting, back.conflicting, back.clean) == (len(VALUES) + 1, 0, 0, True)
    assert rows_of(Waybill, "default") == before
    assert not QuarantinedRow.objects.using("default").exists()


def test_a_child_of_a_table_and_its_parent():
    """Rows of a multi-table child leave both tables, and come back to both."""
    essay = Essay.objects.create(writer_id=GONE, title="x", pages=3)
    Article.objects.create(writer_id=GONE, title="y")
    result = quarantine("blog.Article.writer")
    assert result.rows == 2
    assert result.counts == {"blog.Article": 2, "blog.Essay": 1}
    assert not Article.objects.exists()
    Person.objects.create(pk=GONE, name="back")
    assert restore(relations.get("blog.Article.writer")).counts == result.counts
    again = Essay.objects.get()
    assert (again.pk, again.title, again.pages, again.writer_id) == (essay.pk, "x", 3, GONE)


@pytest.mark.parametrize("policy", ["delete", "set_null", "quarantine"])
def test_a_primary_key_of_two_columns(policy):
    """Rows are found, told apart and put back by both, in batches of one."""
    Shelf.objects.create(number=1)
    places = [(1, "a"), (1, "b"), (2, "a")]
    Pigeonhole.objects.bulk_create(
        [Pigeonhole(row=row, column=column, shelf_id=GONE) for row, column in places]
        + [Pigeonhole(row=3, column="a", shelf_id=1)]
    )
    relation = relations.get("archive.Pigeonhole.shelf")
    scan(relation)
    assert repair(relation, policy, batch_size=1).rows == 3
    assert not Pigeonhole.objects.filter(shelf_id=GONE).exists()
    if policy == "quarantine":
        Pigeonhole.objects.create(row=1, column="b", shelf_id=1)
        result = restore(relation, without_targets=True)
        assert (result.rows, result.conflicting) == (2, 1)
        assert result.conflicts[0].key == [1, "b"]
        left = Pigeonhole.objects.filter(shelf_id=GONE).order_by("pk")
        assert list(left.values_list("pk", flat=True)) == [(1, "a"), (2, "a")]


def test_what_hangs_on_a_row_goes_along():
    """Cascades of the same database are quarantined with their row, and signals are sent."""
    author = User.objects.create(pk=1, username="ada")
    post = Post.objects.create(title="x", author_id=GONE)
    post.tags.add(Tag.objects.create(name="a"), Tag.objects.create(name="b"))
    Comment.objects.create(post=post, author=author, content="c")
    deleted = []

    def receiver(instance, using, **kwargs):
        deleted.append((type(instance).__name__, using))

    django_signals.post_delete.connect(receiver)
    try:
        result = quarantine("blog.Post.author")
    finally:
        django_signals.post_delete.disconnect(receiver)
    assert result.counts == {"blog.Post": 1, "blog.Comment": 1, "blog.Post_tags": 2}
    assert sorted(deleted) == [("Comment", "blog"), ("Post", "blog")]
    assert len(set(QuarantinedRow.objects.using("blog").values_list("unit", flat=True))) == 1

    User.objects.create(pk=GONE, username="back")
    assert restore(relations.get("blog.Post.author")).rows == 4
    again = Post.objects.get()
    assert sorted(tag.name for tag in again.tags.all()) == ["a", "b"]
    assert again.comments.get().content == "c"


def test_a_row_that_hangs_on_another():
    """A tree goes and comes as one, whatever the order of its rows."""
    child = Branch.objects.create(parent_id=GONE)
    top = Branch.objects.create(parent_id=GONE + 1)
    Branch.objects.create(parent_id=child.pk)
    Branch.objects.filter(pk=child.pk).update(parent_id=GONE)
    result = quarantine("blog.Branch.parent")
    assert result.counts == {"blog.Branch": 3}
    assert len(set(QuarantinedRow.objects.using("blog").values_list("unit", flat=True))) == 2
    Branch.objects.create(pk=GONE + 1)
    back = restore(relations.get("blog.Branch.parent"))
    assert (back.rows, back.waiting) == (1, 2)
    assert Branch.objects.get(parent_id=GONE + 1).pk == top.pk
    assert restore(relations.get("blog.Branch.parent"), without_targets=True).rows == 2
    assert Branch.objects.count() == 4


def test_rows_elsewhere_refuse():
    """What is in another database would not go in the same transaction: nothing is taken."""
    post = Post.objects.create(title="x", author_id=GONE)
    Review.objects.create(post_id=post.pk)
    with pytest.raises(CannotQuarantine) as raised:
        quarantine("blog.Post.author")
    assert str(raised.value) == (
        "blog.Post.author: rows in database 'shop' cannot be quarantined, since 1 rows of "
        "shop.Review hang on them, which are in this other database; nothing of their batch was "
        "written. Deal with those first, or use 'delete'."
    )
    assert (Post.objects.count(), Review.objects.count()) == (1, 1)
    assert not QuarantinedRow.objects.using("blog").exists()
    assert RepairRun.objects.get().status == "failed"


def test_rows_that_would_be_changed_refuse():
    loan = Loan.objects.create(shelf_id=9)
    Slip.objects.create(loan=loan)
    with pytest.raises(CannotQuarantine) as raised:
        quarantine("archive.Loan.shelf")
    assert "1 rows of archive.Slip would get another loan" in str(raised.value)
    assert Slip.objects.get().loan == loan


def test_columns_that_the_model_does_not_know_refuse():
    if connections["blog"].vendor == "mysql":
        pytest.skip("there a change of a table commits")
    with connections["blog"].cursor() as cursor:
        cursor.execute("ALTER TABLE archive_loan ADD COLUMN extra integer")
    loan = Loan.objects.create(shelf_id=9)
    with pytest.raises(CannotQuarantine) as raised:
        quarantine("archive.Loan.shelf")
    assert "archive.Loan has columns that the model does not know: extra" in str(raised.value)
    assert Loan.objects.get() == loan


@pytest.fixture
def taken():
    """Two posts in quarantine, whose author is back; a third whose author is not."""
    for title, key in (("a", GONE), ("b", GONE), ("c", GONE + 1)):
        Post.objects.create(title=title, author_id=key)
    pks = list(Post.objects.values_list("pk", flat=True))
    quarantine("blog.Post.author")
    User.objects.create(pk=GONE, username="back")
    return pks


def titles():
    return sorted(Post.objects.values_list("title", flat=True))


def held():
    return QuarantinedRow.objects.using("blog").count()


def test_targets_that_are_not_there(taken):
    """A row goes back where its target is there again, or where it is told to."""
    relation = relations.get("blog.Post.author")
    result = restore(relation)
    assert (result.rows, result.waiting, result.clean) == (2, 1, False)
    assert (titles(), held()) == (["a", "b"], 1)
    assert restore(relation, without_targets=True).rows == 1
    assert (titles(), held()) == (["a", "b", "c"], 0)


def test_primary_keys_in_use(taken):
    """A row whose key somebody else has now stays, and is told of; the others go."""
    Post.objects.create(pk=taken[0], title="new", author_id=GONE)
    result = restore(relations.get("blog.Post.author"))
    assert (result.rows, result.waiting, result.conflicting) == (1, 1, 1)
    assert [str(conflict) for conflict in result.conflicts] == [
        f"blog.Post {taken[0]}: its primary key is in use"
    ]
    assert (titles(), held()) == (["b", "new"], 2)


def test_unique_values_in_use():
    """The database's own refusal holds up one row, not its neighbours."""
    keys = [GONE, GONE + 1, GONE + 2]
    Signature.objects.bulk_create([Signature(person_id=key, text="old") for key in keys])
    quarantine("blog.Signature.person")
    Person.objects.bulk_create([Person(pk=key, name="back") for key in keys])
    Signature.objects.create(pk=GONE, person_id=GONE + 1, text="new")
    result = restore(relations.get("blog.Signature.person"))
    assert (result.rows, result.conflicting) == (2, 1)
    reason = result.conflicts[0].reason.lower()
    assert "unique" in reason or "duplicate" in reason
    texts = Signature.objects.order_by("person_id").values_list("text", flat=True)
    assert list(texts) == ["old", "new", "old"]
    assert QuarantinedRow.objects.using("blog").get().target_key == GONE + 1


@pytest.mark.parametrize("without_targets", [True, False])
def test_what_else_a_row_points_at(without_targets):
    """A row that would point at nothing by another field stays; so does its constraint's."""
    Shelf.objects.create(number=1)
    entry = Entry.objects.create(number=1)
    Loan.objects.create(shelf_id=9, entry=entry)
    post = Post.objects.create(title="x", author_id=GONE, editor_id=GONE + 1)
    quarantine("archive.Loan.shelf")
    quarantine("blog.Post.author")
    Shelf.objects.create(number=9)
    User.objects.create(pk=GONE, username="back")
    entry_pk = entry.pk
    Entry.objects.all()._raw_delete("blog")

    loans = restore(relations.get("archive.Loan.shelf"), without_targets=without_targets)
    assert (loans.rows, loans.conflicting) == (0, 1)
    if connections["blog"].features.can_defer_constraint_checks:
        reason = f"its entry {entry_pk} is no archive.Entry in 'blog'"
        assert loans.conflicts[0].reason == reason
    posts = restore(relations.get("blog.Post.author"), without_targets=without_targets)
    if without_targets:
        assert posts.rows == 1
    else:
        assert [str(one) for one in posts.conflicts] == [
            f"blog.Post {post.pk}: its editor {GONE + 1} is no auth.User in 'default'"
        ]


def test_dry_run(taken):
    """It tells what would go back, and takes it all back."""
    relation = relations.get("blog.Post.author")
    result = restore(relation, dry_run=True)
    assert (result.rows, result.waiting) == (2, 1)
    assert (titles(), held()) == ([], 3)
    assert restore(relation).rows == 2


def test_limit(taken):
    """After so many rows the rest waits for the next call."""
    relation = relations.get("blog.Post.author")
    result = restore(relation, max_rows=1, batch_size=1)
    assert (result.rows, result.stopped) == (1, True)
    result = restore(relation, batch_size=1)
    assert (result.rows, result.waiting, result.stopped) == (1, 1, False)


def test_one_repair_among_others(taken):
    """One repair can be undone by its token; what others took stays."""
    Post.objects.create(title="d", author_id=GONE + 2)
    later = quarantine("blog.Post.author")
    relation = relations.get("blog.Post.author")
    assert restore(relation, repair=later.token, without_targets=True).rows == 1
    assert (titles(), held()) == (["d"], 3)


def test_a_column_that_is_gone(taken):
    """Values whose column is no more are not dropped: the row stays."""
    for row in QuarantinedRow.objects.using("blog"):
        row.data["slug"] = "x"
        row.save(using="blog")
    result = restore(relations.get("blog.Post.author"))
    assert result.conflicts[0].reason == "its table has no slug any more"
    assert (titles(), held()) == ([], 3)


def test_a_column_that_is_new():
    """A field that was added since takes its default."""
    Comment.objects.create(post=Post.objects.create(title="x", author_id=GONE), author_id=GONE)
    quarantine("blog.Comment.author")
    row = QuarantinedRow.objects.using("blog").get()
    del row.data["content"]
    row.save(using="blog")
    restore(relations.get("blog.Comment.author"), without_targets=True)
    assert Comment.objects.get().content == ""


def test_a_model_that_is_gone(taken):
    QuarantinedRow.objects.using("blog").update(model="blog.Former")
    result = restore(relations.get("blog.Post.author"))
    assert result.conflicts[0].reason == "there is no such model any more"
    assert held() == 3


def test_a_failure_takes_nothing():
    """Rows leave their table and enter quarantine together, or neither."""
    Post.objects.create(title="x", author_id=GONE)

    def receiver(**kwargs):
        raise RuntimeError("no")

    django_signals.post_delete.connect(receiver, sender=Post)
    try:
        with pytest.raises(RuntimeError):
            quarantine("blog.Post.author")
    finally:
        django_signals.post_delete.disconnect(receiver, sender=Post)
    assert (titles(), held()) == (["x"], 0)


def test_command(taken):
    """What is put back goes to standard output; 1 where something stays."""
    token = QuarantinedRow.objects.using("blog").first().repair
    status, out, _ = run(xdbrel_restore, "blog.Post.author", "--repair", token)
    assert out.splitlines() == [
        "blog.Post.author: 2 rows put back in blog",
        "  blog.Post: 2",
        "1 rows wait for their target",
    ]
    assert status == 1
    status, out, _ = run(
        xdbrel_restore, "blog.Post.author", "--without-targets", "--format", "json"
    )
    result = json.loads(out)
    record = RepairRun.objects.get(pk=result["repair"])
    assert (status, result["rows"]) == (0, 1)
    assert (record.policy, record.rows, record.status) == ("restore", 1, "complete")
    status, _, err = run(xdbrel_restore, "blog.Post.nobody")
    assert status == 2
    assert "blog.Post.nobody" in err


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_commits():
    """Outside of any transaction, constraints are judged at the commit of each batch."""
    post = Post.objects.create(title="x", author_id=GONE)
    Comment.objects.create(post=post, author_id=GONE)
    quarantine("blog.Post.author")
    assert not Comment.objects.exists()
    assert restore(relations.get("blog.Post.author"), without_targets=True).rows == 2
    with transaction.atomic(using="blog"):
        assert Comment.objects.get().post == Post.objects.get()
